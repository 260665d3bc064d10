"""What must hold before a version of the privacy mapping may be used.

Each check is a sentence that is true when it passes, and gives a finding for each breach. Findings name lines and
kinds of breach, never the values. Here: what a version says by itself. Not here: what it gives away together with an
earlier one, which `mapping_versions` judges; what follows from a finding, which is the caller's business.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipelines.domains.mobile.mapping import UNKNOWN, Entry, Fault, MappingError, Place, PrivacyMapping, read_records

SPECIAL_VALUES = frozenset({"TERMINATED", "NON-GEOGRAPHIC", "DOES NOT EXIST", "NOT SET", UNKNOWN})
POPULATION_COLUMNS = ("postcode", "lad20cd", "merged_postcode_district_population")
WITH_AUTHORITY = 1_000
"""The least people of a cell within one authority."""
DISTRICT_ALONE = 5_000
"""The least people of a cell that has no authority."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: the check that it fails, what is wrong, and the lines of the mapping's file that are in it."""

    check: str
    detail: str
    lines: tuple[int, ...]


def check_mapping(mapping: PrivacyMapping, populations: Mapping[Place, int] | None = None) -> dict[str, list[Finding]]:
    """Run every check, that of the populations only where they are known.

    Returns:
        The findings by the check's name; an empty list is a check that passed.
    """
    findings = {
        check.__name__: check(mapping)
        for check in (keys_are_unique, groups_are_closed, members_are_right, special_values_are_known)
    }
    if populations is not None:
        findings[populations_over_bounds.__name__] = populations_over_bounds(mapping, populations)
    return findings


def keys_are_unique(mapping: PrivacyMapping) -> list[Finding]:
    """No two rows answer for one district and authority."""
    lines = defaultdict[Place, list[int]](list)
    for entry in mapping.entries:
        lines[entry.key].append(entry.line)
    return [
        Finding("keys_are_unique", "several rows have one key", tuple(same)) for same in lines.values() if len(same) > 1
    ]


def groups_are_closed(mapping: PrivacyMapping) -> list[Finding]:
    """The districts counted in a cell are those its name lists, no more and no fewer: nothing to subtract."""
    return [
        Finding("groups_are_closed", "the districts mapped here are not those of the merged name", _lines(entries))
        for (merged, _), entries in _group_by_cell(mapping).items()
        if merged not in SPECIAL_VALUES and sorted({entry.district for entry in entries}) != sorted(merged.split("_"))
    ]


def members_are_right(mapping: PrivacyMapping) -> list[Finding]:
    """A row's district is listed in its merged name, and its answer keeps the authority of its key."""
    findings = list[Finding]()
    for entry in mapping.entries:
        if entry.merged_district not in SPECIAL_VALUES and entry.district not in entry.merged_district.split("_"):
            findings.append(Finding("members_are_right", "the district is not in its merged name", (entry.line,)))
        if (entry.authority or None) != entry.merged_authority:
            findings.append(Finding("members_are_right", "the answer has another authority", (entry.line,)))
    return findings


def special_values_are_known(mapping: PrivacyMapping) -> list[Finding]:
    """What is not a group of the mapping's own districts is a special value we know, in a row without authority."""
    districts = {entry.district for entry in mapping.entries}
    findings = list[Finding]()
    for entry in mapping.entries:
        special = entry.merged_district in SPECIAL_VALUES
        if special and entry.authority:
            detail = "a special value answers for an authority"
        elif not special and districts.isdisjoint(entry.merged_district.split("_")):
            detail = "neither a group of districts nor a known special value"
        else:
            continue
        findings.append(Finding("special_values_are_known", detail, (entry.line,)))
    return findings


def populations_over_bounds(
    mapping: PrivacyMapping,
    populations: Mapping[Place, int],
    *,
    with_authority: int = WITH_AUTHORITY,
    district_alone: int = DISTRICT_ALONE,
) -> list[Finding]:
    """Every cell holds at least as many people as its bound.

    Args:
        mapping: the mapping to judge.
        populations: people by (merged district, authority), as `parse_population` gives them.
        with_authority: the least for a cell within one authority.
        district_alone: the least for a cell that has no authority.
    """
    findings = list[Finding]()
    for cell, entries in _group_by_cell(mapping).items():
        merged, authority = cell
        if merged in SPECIAL_VALUES:
            continue
        people = populations.get(cell)
        bound = with_authority if authority else district_alone
        if people is None:
            findings.append(Finding("populations_over_bounds", "the population is not known", _lines(entries)))
        elif people < bound:
            detail = f"the population is below {bound:,}"
            findings.append(Finding("populations_over_bounds", detail, _lines(entries)))
    return findings


def parse_population(raw: bytes) -> dict[Place, int]:
    """Read how many people live in each cell.

    Args:
        raw: a CSV with at least the columns of `POPULATION_COLUMNS`; an empty authority is a district alone.

    Raises:
        MappingError: with every bad row.
    """
    table = "population table"
    header, records, faults = read_records(raw, table)
    if missing := [name for name in POPULATION_COLUMNS if header.count(name) != 1]:
        raise MappingError(table, [Fault(1, "missing or repeated column", name) for name in missing])
    places = [header.index(name) for name in POPULATION_COLUMNS]
    populations = dict[Place, int]()
    for line, cells in records:
        merged, authority, people = (cells[place] for place in places)
        cell = (merged, authority or None)
        if not (people.isascii() and people.isdigit()):
            faults.append(Fault(line, "not a whole number", POPULATION_COLUMNS[2]))
        elif cell in populations:
            faults.append(Fault(line, "duplicate key", POPULATION_COLUMNS[0]))
        else:
            populations[cell] = int(people)
    if faults:
        raise MappingError(table, sorted(faults, key=lambda fault: fault.line))
    return populations


def _group_by_cell(mapping: PrivacyMapping) -> dict[Place, list[Entry]]:
    cells = defaultdict[Place, list[Entry]](list)
    for entry in mapping.entries:
        cells[entry.answer].append(entry)
    return cells


def _lines(entries: Iterable[Entry]) -> tuple[int, ...]:
    return tuple(entry.line for entry in entries)
