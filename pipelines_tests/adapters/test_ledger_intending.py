"""Named items taken in hand before their effect, and looked up by their names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Item, NewItem, Reason, State
from pipelines_tests.adapters.ledgers import LEASE, NOW, QUEUE, claim, end, new, states

LATER = NOW + LEASE + timedelta(seconds=1)


def intend(ledger: Ledger, *items: NewItem, now: Any = NOW, owner: str = "run") -> list[Item]:
    return sorted(ledger.intend(items, owner, now, LEASE), key=lambda item: item.id)


def test_what_is_absent_is_in_hand_at_once_and_due_for_nobody(ledger: Ledger) -> None:
    (item,) = intend(ledger, new())
    assert (item.state, item.owner, item.fence, item.lease_until) == (State.CLAIMED, "run", 1, NOW + LEASE)
    assert (item.uncertain, item.attempts) == (False, 0)
    assert claim(ledger) == []
    assert intend(ledger, new(), owner="other") == [item]


def test_what_waits_is_taken_and_belongs_to_whom_asks_now(ledger: Ledger) -> None:
    ledger.take_in([new("old sheet"), new("new sheet")], NOW)
    parents = {item.name: item.id for item in ledger.items(QUEUE)}
    (first,) = intend(ledger, new(parent=parents["old sheet"]))
    ledger.settle([end(first, State.PENDING, attempted=False, due_at=LATER)], NOW)
    (again,) = intend(ledger, new(parent=parents["new sheet"]))
    assert (again.id, again.fence, again.parent, again.uncertain) == (first.id, 2, parents["new sheet"], False)
    assert ledger.settle([end(first)], NOW) == set()
    assert ledger.settle([end(again)], NOW) == {again.id}


def test_what_is_taken_is_of_the_partition_of_whom_asks_now_and_that_it_moved_is_noted(ledger: Ledger) -> None:
    (first,) = intend(ledger, new())
    ledger.settle([end(first, State.PENDING, attempted=False, due_at=LATER)], NOW)
    assert ledger.unrecorded(QUEUE) == {}
    (again,) = intend(ledger, new(partition="2026-03-01-12:00"))
    assert (again.id, again.partition) == (first.id, "2026-03-01-12:00")
    assert ledger.unrecorded(QUEUE) == {first.partition: 1}


def test_what_was_left_in_hand_may_have_happened(ledger: Ledger) -> None:
    (first,) = intend(ledger, new())
    (again,) = intend(ledger, new(), now=LATER, owner="other")
    assert (again.id, again.owner, again.fence, again.uncertain) == (first.id, "other", 2, True)
    assert ledger.settle([end(first)], LATER) == set()


@pytest.mark.parametrize("version", ["1", "2"])
def test_that_it_was_allowed_once_more_is_used_up_by_a_run_that_died(ledger: Ledger, version: str) -> None:
    (first,) = intend(ledger, new())
    ledger.settle([end(first, State.DEAD, uncertain=True)], NOW)
    ledger.reopen([first.id], NOW, Reason.REPLAYED)
    (held,) = intend(ledger, new())
    assert held.reason == Reason.REPLAYED
    again, *_ = intend(ledger, new(version=version), now=LATER, owner="other")
    assert (again.id, again.uncertain, again.reason) == (first.id, True, Reason.CRASHED)


def test_no_two_versions_of_a_name_are_in_hand(ledger: Ledger) -> None:
    (first,) = intend(ledger, new())
    assert intend(ledger, new(version="2"), owner="other") == [first]
    older, newer = intend(ledger, new(version="2"), owner="other", now=LATER)
    assert (older.state, older.uncertain) == (State.SUPERSEDED, True)
    assert (newer.state, newer.owner, newer.uncertain) == (State.CLAIMED, "other", False)


def test_an_older_version_comes_back_as_it_was(ledger: Ledger) -> None:
    (first,) = intend(ledger, new())
    newer = intend(ledger, new(version="2"), now=LATER)[1]
    ledger.settle([end(newer)], LATER)
    again, _ = intend(ledger, new(), now=LATER)
    assert (again.id, again.state, again.uncertain) == (first.id, State.CLAIMED, True)
    assert ledger.settle([end(again)], LATER) == {first.id}


def test_of_two_versions_that_wait_only_the_last_is_taken_and_the_other_waits_no_more(ledger: Ledger) -> None:
    (first,) = intend(ledger, new())
    ledger.settle([end(first, State.PENDING, uncertain=True)], NOW)
    newer = intend(ledger, new(version="2"))[1]
    ledger.settle([end(newer, State.PENDING)], NOW)
    older, last = intend(ledger, new(), new(version="2"))
    assert (older.id, older.state, older.uncertain) == (first.id, State.SUPERSEDED, True)
    assert (last.id, last.state, last.fence) == (newer.id, State.CLAIMED, 2)
    assert ledger.settle([end(last)], NOW) == {last.id}
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.SETTLED}


def test_of_two_versions_that_are_absent_only_the_last_is_taken(ledger: Ledger) -> None:
    (item,) = intend(ledger, new(), new(version="2"))
    assert (item.version, item.state) == ("2", State.CLAIMED)


def test_what_is_over_stays_the_newest_though_another_name_is_taken_with_it(ledger: Ledger) -> None:
    (done,) = intend(ledger, new())
    ledger.settle([end(done)], NOW)
    intend(ledger, new(), new("b"))
    assert ledger.reopen([done.id], NOW, Reason.REPLAYED) == 1


def test_that_an_older_version_is_over_is_noted(ledger: Ledger) -> None:
    (first,) = intend(ledger, new())
    intend(ledger, new(version="2"), now=LATER)
    assert ledger.unrecorded(QUEUE) == {first.partition: 1}


@pytest.mark.parametrize("state", [State.SETTLED, State.DEAD])
def test_what_is_over_stays_so(ledger: Ledger, state: State) -> None:
    (item,) = intend(ledger, new())
    ledger.settle([end(item, state, detail={"request": 7})], NOW)
    (known,) = intend(ledger, new(), now=LATER)
    assert (known.state, known.detail, known.fence) == (state, {"request": 7}, 1)


def test_many_at_once(ledger: Ledger) -> None:
    items = [new(f"{number:04}") for number in range(1200)]
    taken = intend(ledger, *items)
    assert len(taken) == len(items)
    assert {item.state for item in taken} == {State.CLAIMED}
    found = ledger.named(QUEUE, "", [item.name for item in items])
    assert {item.id for item in found} == {item.id for item in taken}


def test_only_the_names_of_one_queue_and_destination_are_found(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b"), new(destination="elsewhere"), new(queue="another")], NOW)
    assert [(item.name, item.destination) for item in ledger.named(QUEUE, "", ["a.json"])] == [("a.json", "")]
    assert ledger.named(QUEUE, "", []) == []


def test_only_what_is_settled_is_annotated(ledger: Ledger) -> None:
    done, held = intend(ledger, new(), new("b"))
    ledger.settle([end(done, detail={"request": 7})], NOW)
    details = {done.id: {"request": 7, "resident": 3}, held.id: {"resident": 4}}
    assert ledger.intend([], "run", NOW, LEASE, details=details) == []
    assert [dict(item.detail) for item in ledger.items(QUEUE)] == [{"request": 7, "resident": 3}, {}]


def test_what_is_over_is_recorded_with_what_is_next(ledger: Ledger) -> None:
    """Both or neither: a crash between them would leave an effect nobody heard of, or one that is asked for again."""
    (first,) = intend(ledger, new())
    (second,) = ledger.intend(
        [new("b")], "run", NOW, LEASE, outcomes=[end(first)], there=[new("c", state=State.SETTLED, settled_at=NOW)]
    )
    assert (second.name, second.state) == ("b", State.CLAIMED)
    assert states(ledger) == {"a.json 1": State.SETTLED, "b 1": State.CLAIMED, "c 1": State.SETTLED}
