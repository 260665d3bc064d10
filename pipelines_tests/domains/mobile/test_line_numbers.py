"""Numbers of lines as ranges: as good as a set of them."""

from __future__ import annotations

from itertools import pairwise

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.mobile.line_numbers import Collected, LineNumbers

numbers = st.frozensets(st.integers(1, 60))


def collect(some: frozenset[int]) -> LineNumbers:
    collected = Collected()
    for number in sorted(some):
        collected.add(number)
    return collected.numbers


@given(numbers, numbers)
def test_they_hold_what_either_of_two_held_and_nothing_else(first: frozenset[int], second: frozenset[int]) -> None:
    both = collect(first) | collect(second)
    assert {number for number in range(70) if number in both} == first | second
    assert bool(both) == bool(first | second)
    assert len(both) == len(first | second)


@given(numbers, numbers)
def test_no_two_ranges_touch(first: frozenset[int], second: frozenset[int]) -> None:
    ranges = (collect(first) | collect(second)).ranges
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@given(numbers)
def test_they_survive_being_stored_as_json(some: frozenset[int]) -> None:
    stored = orjson.loads(orjson.dumps(collect(some).stored))
    assert LineNumbers.read(stored) == collect(some)


def test_all_lines_of_a_long_file_are_one_range() -> None:
    assert collect(frozenset(range(1, 100_001))).stored == [[1, 100_000]]
