"""What a new version of the privacy mapping changes, and what the change would give away.

Totals of areas are released under each version that was in force, so those of two versions can be subtracted. Where
cells of the one, put together, hold every district of some cells of the other, what is left over is as good as
published: it must hold as many people as a cell must, or nobody.

Here: every left-over of two versions. Any set of districts whose total follows from sums and differences of published
totals is one of these, or is put together from them and from cells. Not here: three versions at once; cells within an
authority against districts alone; special values, whose people are not counted; what totals narrow down because none
is below zero. Where one of these may matter, or a population is not known, the change is listed as not judged in full.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, combinations, islice
from typing import TypeAlias

from pipelines.domains.mobile.mapping import Place, PrivacyMapping
from pipelines.domains.mobile.mapping_checks import DISTRICT_ALONE, SPECIAL_VALUES, WITH_AUTHORITY, Finding

Keys: TypeAlias = frozenset[Place]
Cells: TypeAlias = dict[Place, Keys]
"""The keys that are counted in each cell."""

MOST_CHOICES = 4_096
"""How many ways to put overlapping cells together are looked at: all of them up to twelve cells of one version."""


@dataclass(frozen=True, slots=True)
class Move:
    """Keys that left one cell for another; before is None for new keys, after for those that are gone."""

    before: Place | None
    after: Place | None
    keys: int


@dataclass(frozen=True, slots=True)
class MappingDiff:
    """What a change of versions does: two releases of one record, each under its version, can be intersected.

    Attributes:
        moves: what left where, the largest first.
        changed_groups: cells whose districts differ, those that only one version has included.
    """

    moves: tuple[Move, ...] = field(repr=False)
    changed_groups: int

    @property
    def added(self) -> int:
        """Keys that only the new version has."""
        return sum(move.keys for move in self.moves if move.before is None)

    @property
    def removed(self) -> int:
        """Keys that only the old version has."""
        return sum(move.keys for move in self.moves if move.after is None)

    @property
    def changed(self) -> int:
        """Keys that both have, with different answers."""
        return sum(move.keys for move in self.moves if move.before and move.after)

    def to_markdown(self, limit: int = 50) -> str:
        """Show the moves as a table of at most `limit` rows, which says how many there are."""
        rows = [f"| {_show(move.before)} | {_show(move.after)} | {move.keys} |" for move in self.moves[:limit]]
        total = f"{len(rows)} of {len(self.moves)} moves"
        return "\n".join(["| before | after | keys |", "|---|---|---|", *rows, "", total])


def diff(old: PrivacyMapping, new: PrivacyMapping) -> MappingDiff:
    """Compare two versions of the mapping, key by key and cell by cell."""
    before = {entry.key: entry.answer for entry in old.entries}
    after = {entry.key: entry.answer for entry in new.entries}
    moves = Counter((before.get(key), after.get(key)) for key in before.keys() | after.keys())
    moved = (Move(*cells, keys) for cells, keys in moves.items() if cells[0] != cells[1])
    old_groups, new_groups = _list_members(old), _list_members(new)
    return MappingDiff(
        moves=tuple(sorted(moved, key=lambda move: (-move.keys, _show(move.before), _show(move.after)))),
        changed_groups=sum(
            old_groups.get(cell) != new_groups.get(cell) for cell in old_groups.keys() | new_groups.keys()
        ),
    )


@dataclass(frozen=True, slots=True)
class Differences:
    """What two versions give away together.

    Attributes:
        findings: left-overs that hold too few people.
        unjudged: changes that could not be judged in full, and why.
    """

    findings: tuple[Finding, ...] = ()
    unjudged: tuple[Finding, ...] = ()

    def __or__(self, other: Differences) -> Differences:
        """Both together, each finding once."""
        return Differences(
            tuple(dict.fromkeys(self.findings + other.findings)), tuple(dict.fromkeys(self.unjudged + other.unjudged))
        )


def differences_over_bounds(
    old: PrivacyMapping,
    new: PrivacyMapping,
    populations: Mapping[Place, int],
    *,
    with_authority: int = WITH_AUTHORITY,
    district_alone: int = DISTRICT_ALONE,
) -> Differences:
    """What is left over between two versions holds at least as many people as its bound, or nobody.

    Of populations that contradict each other the worse is believed; that fewer than none are left over is a finding.

    Args:
        old: a version that was in force.
        new: the version to judge, whose lines are named.
        populations: people by (merged district, authority), for the cells of both versions as far as they are known.
        with_authority: the least for a left-over within one authority.
        district_alone: the least for a left-over of districts that have no authority.
    """
    lines = {entry.key: entry.line for entry in new.entries}
    findings, unjudged = list[Finding](), list[Finding]()
    for before, after in _find_overlaps(_list_places(old), _list_places(new)):
        bound = with_authority if all(authority for _, authority in (*before, *after)) else district_alone
        people = _count_left_over(before, after, populations)
        small = (left for left, counts in people.items() if any(count and count < bound for count in counts))
        for left in _leave_smallest(small):
            detail = f"fewer than {bound:,} people are left over beside an earlier version"
            where = _lines(left, lines) or _lines(_join(after), lines)
            findings.append(Finding("differences_over_bounds", detail, where))
        if reasons := list(_doubts(before, after, people)):
            keys = _join(before) | _join(after)
            detail = f"{len(keys)} keys: {', '.join(reasons)}"
            unjudged.append(Finding("differences_over_bounds", detail, _lines(keys, lines)))
    return Differences(tuple(findings), tuple(unjudged))


def _find_overlaps(old: Cells, new: Cells) -> Iterator[tuple[Cells, Cells]]:
    """The cells of both versions that share keys, directly or by way of others: nothing else can be subtracted."""
    versions = old, new
    homes = [{key: cell for cell, keys in cells.items() for key in keys} for cells in versions]
    unseen = dict.fromkeys(chain(*homes))
    while unseen:
        found: tuple[Cells, Cells] = {}, {}
        waiting = [unseen.popitem()[0]]
        while waiting:
            key = waiting.pop()
            unseen.pop(key, None)
            for side, home, cells in zip(found, homes, versions, strict=True):
                cell = home.get(key)
                if cell is not None and cell not in side:
                    side[cell] = cells[cell]
                    waiting.extend(cells[cell])
        yield found


def _count_left_over(before: Cells, after: Cells, populations: Mapping[Place, int]) -> dict[Keys, set[int]]:
    """The people in each left-over of overlapping cells: none known, or several if the populations contradict."""
    people = defaultdict[Keys, set[int]](set)
    for outer, inner in ((before, after), (after, before)):
        sizes = range(1, len(outer) + 1)
        for chosen in islice(chain.from_iterable(combinations(outer, size) for size in sizes), MOST_CHOICES):
            whole = _join({cell: outer[cell] for cell in chosen})
            within = {cell: keys for cell, keys in inner.items() if keys <= whole}
            left = whole - _join(within)
            if not within or not left:
                continue  # cells themselves: each version's own bounds hold for them
            counts = people[left]
            if all(cell in populations for cell in (*chosen, *within)):
                counts.add(sum(populations[cell] for cell in chosen) - sum(populations[cell] for cell in within))
    return people


def _doubts(before: Cells, after: Cells, people: Mapping[Keys, set[int]]) -> Iterator[str]:
    """Why overlapping cells could not be judged in full."""
    if not all(people.values()):
        yield "a population is not known"
    if _join(before) != _join(after):
        yield "a district came from no cell or went to none"
    shared = sum(not keys.isdisjoint(others) for keys in before.values() for others in after.values())
    if shared >= len(before) + len(after):
        yield "cells overlap in a ring, so that small totals may tell more than their differences"
    if 2 ** max(len(before), len(after)) > MOST_CHOICES:
        yield "more cells overlap than were looked at"


def _leave_smallest(sets: Iterable[Keys]) -> list[Keys]:
    """The sets that hold none of the others."""
    kept = list[Keys]()
    for keys in sorted(sets, key=len):
        if not any(smaller <= keys for smaller in kept):
            kept.append(keys)
    return kept


def _list_members(mapping: PrivacyMapping) -> Cells:
    members = defaultdict[Place, set[Place]](set)
    for entry in mapping.entries:
        members[entry.answer].add(entry.key)
    return {cell: frozenset(keys) for cell, keys in members.items()}


def _list_places(mapping: PrivacyMapping) -> Cells:
    return {cell: keys for cell, keys in _list_members(mapping).items() if cell[0] not in SPECIAL_VALUES}


def _join(cells: Cells) -> Keys:
    return frozenset().union(*cells.values())


def _lines(keys: Keys, lines: Mapping[Place, int]) -> tuple[int, ...]:
    return tuple(sorted(lines[key] for key in keys if key in lines))


def _show(cell: Place | None) -> str:
    if cell is None:
        return ""
    merged, authority = cell
    return f"{merged} in {authority}" if authority else merged
