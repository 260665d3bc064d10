"""What is over and becomes work again, and what is kept of it that it was over once."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Reason, State
from pipelines_tests.adapters.ledgers import (
    EXPORTS,
    MINUTE,
    NOW,
    QUEUE,
    claim,
    end,
    new,
    release,
    settle_first,
    states,
)


def test_a_reopened_item_is_due_and_its_waiting_release_is_withdrawn(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    made = settle_first(ledger, release())
    ledger.reopen([made.id], NOW + MINUTE, Reason.UNREADABLE)
    (item,) = ledger.items(QUEUE)
    assert (item.state, item.attempts, item.due_at, item.settled_at) == (State.PENDING, 0, NOW + MINUTE, None)
    assert item.reason == Reason.UNREADABLE
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SUPERSEDED}


@pytest.mark.parametrize("state", [State.PENDING, State.CLAIMED, State.SUPERSEDED])
def test_only_settled_and_dead_items_are_reopened(ledger: Ledger, state: State) -> None:
    ledger.take_in([new()], NOW)
    if state is not State.PENDING:
        (item,) = claim(ledger)
        if state is not State.CLAIMED:
            ledger.settle([end(item, state)], NOW)
    before = list(ledger.items(QUEUE))
    ledger.reopen([one.id for one in before], NOW + MINUTE, Reason.INTERNAL)
    assert list(ledger.items(QUEUE)) == before


def test_of_those_that_died_none_that_was_settled_meanwhile_is_reopened(ledger: Ledger) -> None:
    """Two persons replay one dead letter; the first one's is delivered before the second one's list is worked on."""
    ledger.take_in([new(), new("b.json")], NOW)
    first, second = claim(ledger)
    ledger.settle([end(first, State.SETTLED), end(second, State.DEAD)], NOW)
    assert ledger.reopen([first.id, second.id], NOW, Reason.REPLAYED, states=[State.DEAD]) == 1
    assert states(ledger) == {"a.json 1": State.SETTLED, "b.json 1": State.PENDING}


def test_a_version_whose_successor_waits_is_not_reopened(ledger: Ledger) -> None:
    """Its file is no longer there; two versions would wait under one name."""
    ledger.take_in([new()], NOW)
    made = settle_first(ledger)
    ledger.take_in([new(version="2")], NOW)
    ledger.reopen([made.id], NOW, Reason.INTERNAL)
    assert states(ledger) == {"a.json 1": State.SETTLED, "a.json 2": State.PENDING}


def test_outdated_outputs_that_nobody_has_seen_are_made_anew(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    first, second = claim(ledger)
    outcomes = [end(first, made_with="m1", releases=(release(name="a"),)), end(second, made_with="m2")]
    ledger.settle(outcomes, NOW)
    assert ledger.reopen_outdated(QUEUE, "m1", NOW) == 0
    assert ledger.reopen_outdated(QUEUE, "m2", NOW) == 1
    assert states(ledger) == {"a.json 1": State.PENDING, "b.json 1": State.SETTLED}
    assert states(ledger, EXPORTS) == {"a sha": State.SUPERSEDED}


@pytest.mark.parametrize(
    "outcome",
    [
        {"state": State.SETTLED},
        {"state": State.PENDING, "reason": Reason.SERVER_ERROR},
        {"state": State.PENDING, "attempted": False, "uncertain": True},
        {"state": State.DEAD},
        None,
    ],
)
def test_what_may_have_left_keeps_what_it_was_made_with(ledger: Ledger, outcome: dict[str, Any] | None) -> None:
    """Two releases of one record under two mappings can be intersected. ``None``: a run holds it right now."""
    ledger.take_in([new()], NOW)
    settle_first(ledger, release("sent"), release("waits", "b.parquet"))
    sent = next(item for item in claim(ledger, EXPORTS) if item.version == "sent")
    if outcome is not None:
        ledger.settle([end(sent, **outcome)], NOW)
    assert ledger.reopen_outdated(QUEUE, "m2", NOW) == 0
    assert states(ledger) == {"a.json 1": State.SETTLED}


def test_bytes_that_left_are_remembered_by_whoever_made_them_last(ledger: Ledger) -> None:
    """A file put anew with the same content makes the same bytes: they left already, and that must not be forgotten."""
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    ledger.settle([end(item) for item in claim(ledger, EXPORTS)], NOW)
    ledger.take_in([new(version="2")], NOW)
    made = settle_first(ledger, release(), release("waits", "b.parquet"))
    assert {(item.version, item.parent) for item in ledger.items(EXPORTS)} == {("sha", made.id), ("waits", made.id)}
    assert ledger.reopen_outdated(QUEUE, "m2", NOW) == 0


def test_an_attempt_is_remembered_when_a_withdrawn_release_comes_back(ledger: Ledger) -> None:
    """It begins with all its attempts, but it may have left."""
    ledger.take_in([release("one")], NOW)
    ledger.settle([end(item, State.PENDING) for item in claim(ledger, EXPORTS)], NOW)
    for version in ("two", "one"):
        ledger.take_in([release(version)], NOW)
    (back,) = claim(ledger, EXPORTS)
    assert (back.version, back.attempts, back.uncertain) == ("one", 0, True)


def test_it_says_how_many_moved(ledger: Ledger) -> None:
    many = [new(f"{number:04}") for number in range(1100)]
    ledger.take_in(many, NOW)
    items = claim(ledger, limit=1090)
    ledger.settle([end(item, State.DEAD if item.id % 2 else State.SETTLED) for item in items], NOW)
    assert ledger.reopen([item.id for item in ledger.items(QUEUE)], NOW, Reason.REPLAYED) == 1090
    assert ledger.reopen([item.id for item in items], NOW, Reason.REPLAYED) == 0
    assert ledger.reopen([], NOW, Reason.REPLAYED) == 0


def test_what_it_is_reopened_with_is_merged_into_its_detail(ledger: Ledger) -> None:
    """Only into that of what moves: the rest is not asked to be done otherwise."""
    ledger.take_in([new("a", detail={"etag": "e", "rows": 1}), new("b", detail={"etag": "f"}), new("c")], NOW)
    first, second, held = claim(ledger)
    ledger.settle([end(first), end(second, State.DEAD)], NOW)
    assert ledger.reopen([first.id, second.id, held.id], NOW, Reason.REMAPPED, {"remap": True, "rows": None}) == 2
    assert [dict(item.detail) for item in ledger.items(QUEUE)] == [
        {"etag": "e", "rows": None, "remap": True},
        {"etag": "f", "rows": None, "remap": True},
        {},
    ]


@pytest.mark.parametrize(("state", "uncertain"), [(State.SETTLED, True), (State.DEAD, False)])
def test_what_was_delivered_is_there_when_it_is_sent_again(ledger: Ledger, state: State, uncertain: bool) -> None:
    """Else "already there" would be taken for somebody else's object; a refusal of one that is not ours must stay."""
    ledger.take_in([release()], NOW)
    ledger.settle([end(item, state, status=409) for item in claim(ledger, EXPORTS)], NOW)
    ledger.reopen([item.id for item in ledger.items(EXPORTS)], NOW, Reason.REPLAYED)
    assert [item.uncertain for item in claim(ledger, EXPORTS)] == [uncertain]


def test_what_was_refused_once_has_left_though_a_person_had_it_sent_again(ledger: Ledger) -> None:
    """It has all its attempts again, but the other side has seen its bytes."""
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    ledger.settle([end(item, State.DEAD, status=400) for item in claim(ledger, EXPORTS)], NOW)
    ledger.reopen([item.id for item in ledger.items(EXPORTS)], NOW, Reason.REPLAYED)
    assert ledger.reopen_outdated(QUEUE, "m2", NOW) == 0


# Amending


def test_a_settled_item_is_amended_and_what_that_gives_is_taken_in(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (item,) = claim(ledger)
    ledger.settle([end(item, detail={"rejected": 3, "read": 9})], NOW)
    (settled,) = ledger.items(QUEUE)
    later = NOW + MINUTE
    assert ledger.amend(settled, {"rejected": 1}, [release(), release("again", "a.parquet")], later)
    (amended,) = ledger.items(QUEUE)
    assert (amended.detail, amended.state) == ({"rejected": 1, "read": 9}, State.SETTLED)
    assert (amended.changed_at, amended.settled_at, amended.attempts) == (later, NOW, 1)
    assert states(ledger, EXPORTS) == {"a.parquet again": State.PENDING}


def test_only_one_of_two_who_saw_the_same_detail_amends_it(ledger: Ledger) -> None:
    """What is re-processed is counted once, though two runs did it side by side."""
    ledger.take_in([new()], NOW)
    settle_first(ledger)
    (seen,) = ledger.items(QUEUE)
    assert ledger.amend(seen, {"again": 1}, [release("one")], NOW)
    assert not ledger.amend(seen, {"again": 2}, [release("two")], NOW)
    assert [dict(item.detail) for item in ledger.items(QUEUE)] == [{"again": 1}]
    assert states(ledger, EXPORTS) == {"a.parquet one": State.PENDING}


def test_what_is_not_settled_any_more_is_not_amended(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger)
    (seen,) = ledger.items(QUEUE)
    ledger.reopen([seen.id], NOW, Reason.NOT_INTACT)
    before = list(ledger.items(QUEUE))
    assert not ledger.amend(seen, {"again": 1}, [release()], NOW)
    assert list(ledger.items(QUEUE)) == before
    assert list(ledger.items(EXPORTS)) == []
