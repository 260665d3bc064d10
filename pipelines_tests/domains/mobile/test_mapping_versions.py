"""What differs between two versions of the mapping, and which differences may not be published."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.domains.mobile import files
from pipelines.domains.mobile.mapping import Entry, Place, PrivacyMapping
from pipelines.domains.mobile.mapping_versions import MOST_CHOICES, diff, differences_over_bounds

SAMPLE = PrivacyMapping.parse(files.read_mapping("").raw)
TERMINATED = next(entry for entry in SAMPLE.entries if entry.key == ("QA20", None))


def build(entries: Sequence[Entry]) -> PrivacyMapping:
    return PrivacyMapping(tuple(entries), "0" * 64)


def version(*cells: str, authority: str | None = "E1", absent: str = "") -> PrivacyMapping:
    """A mapping of one-letter districts: "AB" is the cell of A and B. Lines are from 2, in the alphabet's order."""
    merged = {district: "_".join(cell) for cell in cells for district in cell}
    merged |= dict.fromkeys(absent, "TERMINATED")
    return build(
        [
            Entry(line, district, authority, merged[district], authority)
            for line, district in enumerate(sorted(merged), 2)
        ]
    )


def people(authority: str | None = "E1", **cells: int) -> dict[Place, int]:
    """Populations of cells that are named as in `version`."""
    return {("_".join(cell), authority): count for cell, count in cells.items()}


def test_a_mapping_differs_in_nothing_from_itself() -> None:
    same = diff(SAMPLE, SAMPLE)

    assert same.moves == ()
    assert (same.added, same.removed, same.changed, same.changed_groups) == (0, 0, 0, 0)


def test_a_difference_counts_keys_and_cells() -> None:
    """QA3 leaves QA2_QA3, a new district comes, a terminated one goes: two cells are new, one is gone, one shrank."""
    new = [entry for entry in SAMPLE.entries if entry is not TERMINATED]
    split = {"QA2": "QA2", "QA3": "QA3"}
    new = [replace(e, merged_district=split[e.district]) if e.answer == ("QA2_QA3", "E99000001") else e for e in new]
    new.append(Entry(99, "QA99", None, "QA99", None))

    found = diff(SAMPLE, build(new))

    assert (found.added, found.removed, found.changed) == (1, 1, 2)
    assert found.changed_groups == 5
    assert {(move.before, move.after) for move in found.moves} == {
        (("QA2_QA3", "E99000001"), ("QA2", "E99000001")),
        (("QA2_QA3", "E99000001"), ("QA3", "E99000001")),
        (("TERMINATED", None), None),
        (None, ("QA99", None)),
    }


def test_a_table_of_moves_stops_at_its_limit_and_says_so() -> None:
    found = diff(build([]), SAMPLE)

    text = found.to_markdown(limit=2)

    assert text.splitlines()[2:4] == ["|  | QA2_QA4_QA5 in E99000002 | 3 |", "|  | QB5_QB6_QB7 | 3 |"]
    assert text.endswith(f"2 of {len(found.moves)} moves")


@st.composite
def versions(draw: st.DrawFn) -> PrivacyMapping:
    """The sample with some rows lost and others answered from elsewhere."""
    cells = sorted(SAMPLE.targets, key=str)
    fates = draw(st.lists(st.none() | st.sampled_from(cells), max_size=len(SAMPLE.entries)))
    entries = list(SAMPLE.entries[len(fates) :])
    for entry, fate in zip(SAMPLE.entries, fates, strict=False):
        if fate is not None:
            entries.append(replace(entry, merged_district=fate[0], merged_authority=fate[1]))
    return build(entries)


@given(old=versions(), new=versions())
def test_the_way_back_is_the_difference_turned_round(old: PrivacyMapping, new: PrivacyMapping) -> None:
    there, back = diff(old, new), diff(new, old)

    assert (there.added, there.removed, there.changed) == (back.removed, back.added, back.changed)
    assert there.changed_groups == back.changed_groups
    assert {(move.after, move.before, move.keys) for move in there.moves} == {
        (move.before, move.after, move.keys) for move in back.moves
    }
    assert there.added - there.removed == new.rows - old.rows


def test_a_version_gives_nothing_away_beside_itself() -> None:
    found = differences_over_bounds(SAMPLE, SAMPLE, {})

    assert (found.findings, found.unjudged) == ((), ())


RING = people(AB=2_400, CD=2_400, EF=4_000, BC=4_000, DE=2_400, AF=2_400)


@pytest.mark.parametrize(
    ("old", "new", "populations", "lines"),
    [
        # B moves: AB without A is B.
        (version("AB", "C"), version("A", "BC"), people(AB=1_999, A=1_000, C=1_500, BC=2_499), [(3,)]),
        # C joins: the new cell without the old one is C.
        (version("AB", "CD"), version("ABC", "D"), people(AB=3_000, ABC=3_999, CD=2_500, D=1_501), [(4,)]),
        # In a ring no single district stands out, but AB and CD without BC are A and D.
        (version("AB", "CD", "EF"), version("BC", "DE", "AF"), RING, [(2, 5)]),
        # A district that is gone: its lines are those of the cell that stayed.
        (version("AB"), version("A"), people(AB=1_999, A=1_000), [(2,)]),
        # A new district in an old cell.
        (version("A"), version("AB"), people(A=1_000, AB=1_999), [(3,)]),
        # Terminated ones count as gone, but have a line.
        (version("AB"), version("A", absent="B"), people(AB=1_999, A=1_000), [(3,)]),
        # Two ways to B that contradict each other: the worse is believed.
        (version("AB", "C"), version("A", "BC"), people(AB=1_999, A=1_000, C=1_500, BC=9_000), [(3,)]),
        (version("AB", "C"), version("A", "BC"), people(AB=9_000, A=1_000, C=1_500, BC=2_499), [(3,)]),
        # Fewer than none: the populations contradict each other.
        (version("AB"), version("A", absent="B"), people(AB=1_000, A=1_001), [(3,)]),
    ],
)
def test_too_small_a_left_over_is_found_in_its_lines(
    old: PrivacyMapping, new: PrivacyMapping, populations: dict[Place, int], lines: list[tuple[int, ...]]
) -> None:
    found = differences_over_bounds(old, new, populations)

    assert [finding.lines for finding in found.findings] == lines
    assert {finding.detail for finding in found.findings} == {
        "fewer than 1,000 people are left over beside an earlier version"
    }


@pytest.mark.parametrize(
    ("old", "new", "populations"),
    [
        (version("AB", "C"), version("A", "BC"), people(AB=2_000, A=1_000, C=1_500, BC=2_500)),
        (version("AB", "C"), version("A", "BC"), people(AB=1_000, A=1_000, C=1_500, BC=1_500)),  # nobody lives in B
        (version("AB", "C"), version("A", "B", "C"), {}),  # cells alone: each version's own bounds hold for them
        (version("A", "B"), version("AB"), {}),
        (version("A", absent="B"), version("A"), {}),
    ],
)
def test_enough_people_or_nobody_may_be_left_over(
    old: PrivacyMapping, new: PrivacyMapping, populations: dict[Place, int]
) -> None:
    found = differences_over_bounds(old, new, populations)

    assert (found.findings, found.unjudged) == ((), ())


@pytest.mark.parametrize(("left", "findings"), [(4_999, 1), (5_000, 0)])
def test_districts_alone_have_the_higher_bound(left: int, findings: int) -> None:
    old, new = version("AB", "C", authority=None), version("A", "BC", authority=None)
    populations = people(None, AB=5_000 + left, A=5_000, C=5_000, BC=5_000 + left)

    assert len(differences_over_bounds(old, new, populations).findings) == findings


def test_what_is_merged_otherwise_in_another_authority_is_no_difference() -> None:
    """AB in the one and A in the other have nobody in common, whatever their totals."""
    old = build([*version("AB").entries, *version("A", "B", authority="E2").entries])
    new = build([*version("AB").entries, *version("AB", authority="E2").entries])
    found = differences_over_bounds(old, new, people(AB=1_500) | people("E2", A=1_000, B=1_000, AB=2_000))

    assert (found.findings, found.unjudged) == ((), ())


KNOWN = people(AB=3_000, A=1_500, C=1_500, BC=3_000, B=1_500)


@pytest.mark.parametrize(
    ("old", "new", "populations", "detail", "lines"),
    [
        (version("AB", "C"), version("A", "BC"), people(A=1_500, BC=3_000), "a population is not known", (2, 3, 4)),
        (version("AB", "C"), version("A", "BC"), {}, "a population is not known", (2, 3, 4)),
        (version("AB"), version("A", absent="B"), KNOWN, "a district came from no cell or went to none", (2, 3)),
        (version("AB"), version("A"), KNOWN, "a district came from no cell or went to none", (2,)),
        (version("A"), version("AB"), KNOWN, "a district came from no cell or went to none", (2, 3)),
        (version("A", absent="B"), version("A", "B"), KNOWN, "a district came from no cell or went to none", (3,)),
        (
            version("AB", "CD"),
            version("AC", "BD"),
            {},
            "cells overlap in a ring, so that small totals may tell more than their differences",
            (2, 3, 4, 5),
        ),
    ],
)
def test_a_change_that_can_not_be_judged_in_full_is_listed_with_its_lines(
    old: PrivacyMapping, new: PrivacyMapping, populations: dict[Place, int], detail: str, lines: tuple[int, ...]
) -> None:
    found = differences_over_bounds(old, new, populations)

    assert found.findings == ()
    (unjudged,) = found.unjudged
    assert unjudged.detail.partition(" keys: ")[2] == detail
    assert unjudged.lines == lines


@pytest.mark.parametrize("lost", ["AB", "BC"])
def test_a_left_over_that_follows_in_two_ways_needs_the_populations_of_one(lost: str) -> None:
    """B is AB without A, and BC without C as well."""
    old, new = version("AB", "C"), version("A", "BC")
    for left in (999, 1_000):
        known = {"AB": 1_500 + left, "A": 1_500, "C": 1_500, "BC": 1_500 + left}
        found = differences_over_bounds(
            old, new, people("E1", **{cell: count for cell, count in known.items() if cell != lost})
        )

        assert len(found.findings) == (left < 1_000)
        assert found.unjudged == ()


def test_more_overlapping_cells_than_can_be_looked_at_are_listed() -> None:
    """In a chain each cell shares a district with the next, so all of them are one place."""
    letters = [chr(letter) for letter in range(ord("A"), ord("Z") + 1)]
    old = version(*("".join(letters[at : at + 2]) for at in range(0, 26, 2)))
    new = version("A", *("".join(letters[at : at + 2]) for at in range(1, 25, 2)), "Z")
    populations = {entry.answer: 2_000 for entry in (*old.entries, *new.entries)} | people(A=1_500)

    found = differences_over_bounds(old, new, populations)

    assert 2 ** len({entry.answer for entry in old.entries}) > MOST_CHOICES
    assert found.findings[0].lines == (3,), "single cells are looked at first: AB without A is B"
    assert "more cells overlap than were looked at" in found.unjudged[0].detail


def test_findings_name_no_place() -> None:
    found = differences_over_bounds(SAMPLE, build([replace(e, merged_district="QA1") for e in SAMPLE.entries]), {})

    texts = " ".join(finding.detail for finding in found.findings + found.unjudged)
    assert texts
    assert "QA" not in texts
    assert "E9" not in texts


DISTRICTS = "ABCDEF"


@st.composite
def partitions(draw: st.DrawFn) -> dict[str, str]:
    """Some districts by their cell; the others are in none."""
    homes = draw(st.lists(st.sampled_from(" 1234"), min_size=6, max_size=6))
    cells = {home: "".join(d for d, at in zip(DISTRICTS, homes, strict=True) if at == home) for home in homes}
    return {district: cells[home] for district, home in zip(DISTRICTS, homes, strict=True) if home != " "}


@given(
    old=partitions(),
    new=partitions(),
    lives=st.fixed_dictionaries(dict.fromkeys(DISTRICTS, st.integers(0, 9))),
)
def test_what_is_found_is_what_linear_algebra_finds(
    old: dict[str, str], new: dict[str, str], lives: dict[str, int]
) -> None:
    """Of all sets of districts, those whose total is a combination of the published ones, solved by elimination."""
    cells = sorted({*old.values(), *new.values()})
    assume(cells)  # else nothing is published
    published = {cell: sum(lives[district] for district in cell) for cell in cells}
    bound = min(published.values())
    sets = ["".join(some) for size in range(1, 7) for some in combinations(DISTRICTS, size)]
    small = [some for some in sets if 0 < sum(lives[one] for one in some) < bound and follows(some, cells)]
    smallest = {some for some in small if not any(set(other) < set(some) for other in small)}

    before, after = (version(*set(one.values()), absent="".join(set(DISTRICTS) - set(one))) for one in (old, new))
    found = differences_over_bounds(before, after, people("E1", **published), with_authority=bound)

    assert {"".join(DISTRICTS[line - 2] for line in finding.lines) for finding in found.findings} == smallest


def follows(some: str, cells: Sequence[str]) -> bool:
    """Whether a set's total is determined by those of the cells: adding it adds nothing to their rank."""
    return rank(cells) == rank([*cells, some])


def rank(sets: Sequence[str]) -> int:
    """The rank of sets as vectors of zeros and ones, exactly."""
    rows = [[Fraction(district in one) for district in DISTRICTS] for one in sets]
    found = 0
    for column in range(len(DISTRICTS)):
        pivot = next((row for row in rows if row[column]), None)
        if pivot is None:
            continue
        found += 1
        rows = [
            [value - row[column] / pivot[column] * top for value, top in zip(row, pivot, strict=True)]
            for row in rows
            if row is not pivot
        ]
    return found
