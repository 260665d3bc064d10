from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.schedule import Schedule

rows = st.lists(st.frozensets(st.integers(0, 30), max_size=3), max_size=40)


def expected_groups(keys: list[frozenset[int]]) -> list[list[int]]:
    """The groups by their definition: each row takes in all earlier groups that it shares a key with."""
    groups = list[tuple[list[int], frozenset[int]]]()
    for index, own in enumerate(keys):
        joined = [group for group in groups if group[1] & own]
        groups = [group for group in groups if group not in joined]
        members = sorted([index, *(member for group in joined for member in group[0])])
        groups.append((members, own.union(*(group[1] for group in joined))))
    return sorted(members for members, _ in groups)


@given(rows)
def test_rows_that_share_a_key_directly_or_by_others_are_a_group_in_their_order(keys: list[frozenset[int]]) -> None:
    assert list(Schedule(keys).groups()) == expected_groups(keys)


@given(rows, st.randoms(use_true_random=False))
def test_whoever_follows_the_schedule_sends_each_row_once_and_after_those_before_it(
    keys: list[frozenset[int]], chance: random.Random
) -> None:
    schedule = Schedule(keys)
    ready, sent = list(schedule.first()), list[int]()
    while ready:
        index = ready.pop(chance.randrange(len(ready)))
        sent.append(index)
        following = schedule.after(index)
        if following is not None:
            ready.append(following)
    assert sorted(sent) == list(range(len(keys)))
    for group in schedule.groups():
        assert [index for index in sent if index in group] == group


def test_rows_without_keys_wait_for_nobody() -> None:
    schedule = Schedule([frozenset[str]()] * 3)
    assert list(schedule.first()) == [0, 1, 2]
    assert [schedule.after(index) for index in range(3)] == [None] * 3


def test_no_rows_are_no_groups() -> None:
    schedule = Schedule([])
    assert len(schedule) == 0
    assert list(schedule.groups()) == []


def test_a_chain_of_a_hundred_thousand_rows_is_one_group_in_little_memory() -> None:
    def chain() -> Iterator[frozenset[int]]:
        return (frozenset({index, index + 1}) for index in range(100_000))

    tracemalloc.start()
    try:
        schedule = Schedule(chain())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    (group,) = schedule.groups()
    assert group == list(range(100_000))
    assert peak < 300 * 100_000, "bytes a row, with a key of its own for each"
