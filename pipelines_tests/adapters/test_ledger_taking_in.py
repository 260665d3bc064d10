"""What is seen is recorded once, and of several versions of one name only the newest is work."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pipelines.adapters.ledger import Ledger, TakenIn
from pipelines.core.work import Reason, State
from pipelines_tests.adapters.ledgers import EXPORTS, HOUR, MINUTE, NOW, QUEUE, claim, end, new, settle_first, states


def test_what_is_known_is_not_taken_in_again(ledger: Ledger) -> None:
    assert ledger.take_in([new(), new("b.json")], NOW) == TakenIn({HOUR: 2}, 0, 20)
    before = list(ledger.items(QUEUE))
    assert ledger.take_in([new("b.json"), new()], NOW + MINUTE) == TakenIn({}, 0, 0)
    assert list(ledger.items(QUEUE)) == before


def test_an_item_is_stored_as_it_came(ledger: Ledger) -> None:
    there = replace(
        new(size=2**40, destination="https://there", cause="tick"), detail={"key": "k", "n": [1, None, "ü"]}
    )
    ledger.take_in([there], NOW)
    (item,) = ledger.items(QUEUE)
    assert (item.size, item.destination, item.cause, item.detail) == (2**40, "https://there", "tick", there.detail)
    assert (item.state, item.attempts, item.due_at, item.seen_at) == (State.PENDING, 0, NOW, NOW)
    assert item.due_at.utcoffset() == timedelta(0)


def test_five_thousand_at_once_are_all_taken_in_once(ledger: Ledger) -> None:
    many = [new(f"{number:05}.json") for number in range(5000)]
    assert ledger.take_in([*many, *many[:700]], NOW).new == {HOUR: 5000}
    assert ledger.take_in(many, NOW) == TakenIn({}, 0, 0)
    names = [item.name for item in ledger.items(QUEUE)]
    assert names == [one.name for one in many]


def test_nothing_to_take_in_changes_nothing(ledger: Ledger) -> None:
    assert ledger.take_in([], NOW) == TakenIn({}, 0, 0)


@pytest.mark.parametrize("undone", [State.PENDING, State.ASIDE, State.DEAD])
def test_a_newer_version_supersedes_an_undone_one(ledger: Ledger, undone: State) -> None:
    """The bytes that it waits for are no longer there."""
    ledger.take_in([new(state=State.ASIDE if undone is State.ASIDE else State.PENDING)], NOW)
    if undone is State.DEAD:
        ledger.settle([end(item, State.DEAD) for item in claim(ledger)], NOW)
    ledger.take_in([new(version="2")], NOW + MINUTE)
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.PENDING}


def test_of_two_versions_in_one_batch_the_last_counts(ledger: Ledger) -> None:
    """Two messages about one key may come together; both versions in hand at once would be sent in any order."""
    ledger.take_in([new(version="1"), new("b.json"), new(version="2")], NOW)
    assert [(item.name, item.version) for item in claim(ledger)] == [("a.json", "2"), ("b.json", "1")]


def test_the_same_name_elsewhere_is_another_thing(ledger: Ledger) -> None:
    ledger.take_in([new(), new(version="2", destination="https://there"), new(version="3", queue=EXPORTS)], NOW)
    assert set(states(ledger).values()) == {State.PENDING}
    assert set(states(ledger, EXPORTS).values()) == {State.PENDING}


def test_a_version_that_is_put_back_is_work_again(ledger: Ledger) -> None:
    """A, then B, then A: whatever became of B, the bytes that lie there now are A's."""
    ledger.take_in([new(version="A")], NOW)
    settle_first(ledger)
    ledger.take_in([new(version="B")], NOW + MINUTE)
    assert ledger.take_in([new(version="A")], NOW + 2 * MINUTE).new == {HOUR: 1}
    assert states(ledger) == {"a.json A": State.PENDING, "a.json B": State.SUPERSEDED}
    settle_first(ledger, now=NOW + 2 * MINUTE)
    assert ledger.take_in([new(version="A")], NOW + 3 * MINUTE).new == {}


def test_what_was_known_of_a_version_is_still_known_when_it_is_put_back(ledger: Ledger) -> None:
    ledger.take_in([new(version="A", detail={"etag": "A", "seen": 1})], NOW)
    (held,) = claim(ledger)
    ledger.settle([end(held, detail={"etag": "A", "moved": [[1, 3]]})], NOW)
    ledger.take_in([new(version="B")], NOW + MINUTE)
    ledger.take_in([new(version="A", detail={"etag": "A", "seen": 2})], NOW + 2 * MINUTE)
    back, _ = ledger.versions(QUEUE, "a.json")
    assert back.detail == {"etag": "A", "moved": [[1, 3]], "seen": 2}


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.OUTPUT_LOST])
def test_what_was_known_of_a_file_that_was_gone_is_still_known(ledger: Ledger, reason: Reason) -> None:
    ledger.take_in([new(detail={"etag": "A", "moved": [[1, 3]]})], NOW)
    ledger.settle([end(item, State.DEAD, reason=reason) for item in claim(ledger)], NOW)
    ledger.take_in([new(detail={"etag": "A"})], NOW + MINUTE)
    (item,) = ledger.items(QUEUE)
    assert (item.state, item.detail) == (State.PENDING, {"etag": "A", "moved": [[1, 3]]})


def test_versions_seen_in_the_same_instant_still_have_an_order(ledger: Ledger) -> None:
    """Clocks of several machines differ: the order of the ledger's own transactions decides, not a time."""
    for version in "ABA":
        ledger.take_in([new(version=version)], NOW)
    assert states(ledger) == {"a.json A": State.PENDING, "a.json B": State.SUPERSEDED}
    ledger.take_in([new(version="B")], NOW - MINUTE)
    assert states(ledger) == {"a.json A": State.SUPERSEDED, "a.json B": State.PENDING}


def test_a_version_put_back_while_a_run_works_on_it_needs_no_second_run(ledger: Ledger) -> None:
    ledger.take_in([new(version="A")], NOW)
    (held,) = claim(ledger)
    ledger.take_in([new(version="B")], NOW)
    ledger.take_in([new(version="A")], NOW)
    assert states(ledger) == {"a.json A": State.CLAIMED, "a.json B": State.SUPERSEDED}
    ledger.settle([end(held, State.PENDING)], NOW)
    assert [item.version for item in claim(ledger)] == ["A"]


@pytest.mark.parametrize(("reason", "back"), [(Reason.GONE, True), (Reason.REFUSED, False), (Reason.UNVERIFIED, False)])
def test_only_a_file_that_was_gone_comes_back_by_being_seen(ledger: Ledger, reason: Reason, back: bool) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.DEAD, reason=reason) for item in claim(ledger)], NOW)
    ledger.take_in([new()], NOW + MINUTE)
    (item,) = ledger.items(QUEUE)
    assert item.state is (State.PENDING if back else State.DEAD)
    assert item.attempts == (0 if back else 1)


def test_what_was_set_aside_is_work_once_its_time_has_come(ledger: Ledger) -> None:
    aside = new(state=State.ASIDE, reason=Reason.OUT_OF_RANGE)
    assert ledger.take_in([aside], NOW) == TakenIn({}, 1, 0)
    assert ledger.take_in([aside], NOW) == TakenIn({}, 0, 0)
    assert claim(ledger) == []
    assert ledger.take_in([new()], NOW + MINUTE) == TakenIn({HOUR: 1}, 0, 10)
    assert [item.reason for item in claim(ledger, now=NOW + MINUTE)] == [None]


@pytest.mark.parametrize("state", [State.PENDING, State.SETTLED, State.DEAD, State.SUPERSEDED])
def test_work_that_exists_is_never_set_aside(ledger: Ledger, state: State) -> None:
    """A first day moved forward says nothing about what was taken in before."""
    ledger.take_in([new()], NOW)
    if state is not State.PENDING:
        ledger.settle([end(item, state, reason=Reason.GONE) for item in claim(ledger)], NOW)
    assert ledger.take_in([new(state=State.ASIDE)], NOW) == TakenIn({}, 0, 0)
    assert states(ledger) == {"a.json 1": state}


def test_a_moment_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="time zone"):
        ledger.take_in([new()], NOW.replace(tzinfo=None))
    assert list(ledger.items(QUEUE)) == []


def test_a_batch_with_a_fault_is_not_taken_in_at_all(ledger: Ledger) -> None:
    many = [new(f"{number}.json") for number in range(600)]
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        ledger.take_in([*many, new("child.json", parent=999_999)], NOW)
    assert list(ledger.items(QUEUE)) == []
