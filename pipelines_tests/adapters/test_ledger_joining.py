"""Requests that many ask for and one item answers."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.adapters.ledger import Ledger, TakenIn
from pipelines.core.work import NewItem, Reason, State
from pipelines_tests.adapters.ledgers import HOUR, LEASE, NOW, QUEUE, claim, end, new, release, settle_first, states

TABLE = "mobile/events_table"


def request(version: str, name: str = HOUR, **facts: Any) -> NewItem:
    return new(name, version, queue=TABLE, joins=True, size=0, **facts)


def test_many_requests_are_one_that_waits(ledger: Ledger) -> None:
    assert ledger.take_in([request("1"), request("2")], NOW) == TakenIn({HOUR: 1}, 0, 0)
    for version in "3456":
        assert ledger.take_in([request(version)], NOW) == TakenIn({}, 0, 0)
    assert states(ledger, TABLE) == {f"{HOUR} 2": State.PENDING}


def test_one_that_waits_for_its_next_attempt_still_waits(ledger: Ledger) -> None:
    ledger.take_in([request("1")], NOW)
    ledger.settle([end(item, State.PENDING, due_at=NOW + LEASE) for item in claim(ledger, TABLE)], NOW)
    ledger.take_in([request("2")], NOW)
    assert states(ledger, TABLE) == {f"{HOUR} 1": State.PENDING}


def test_one_in_hand_may_have_begun_too_early(ledger: Ledger) -> None:
    ledger.take_in([request("1")], NOW)
    (held,) = claim(ledger, TABLE)
    for version in "23":
        ledger.take_in([request(version)], NOW)
    assert states(ledger, TABLE) == {f"{HOUR} 1": State.CLAIMED, f"{HOUR} 2": State.PENDING}
    assert claim(ledger, TABLE) == []
    ledger.settle([end(held, made_with="1")], NOW)
    (following,) = claim(ledger, TABLE)
    ledger.settle([end(following, made_with="1")], NOW)
    assert states(ledger, TABLE) == {f"{HOUR} 1": State.SUPERSEDED, f"{HOUR} 2": State.SETTLED}


@pytest.mark.parametrize("over", [State.SETTLED, State.DEAD, State.SUPERSEDED])
def test_one_that_is_over_answers_no_later_request(ledger: Ledger, over: State) -> None:
    ledger.take_in([request("1")], NOW)
    ledger.settle([end(item, over) for item in claim(ledger, TABLE)], NOW)
    ledger.take_in([request("2")], NOW)
    assert [item.version for item in claim(ledger, TABLE)] == ["2"]


def test_other_names_destinations_and_queues_are_not_joined(ledger: Ledger) -> None:
    there = [request("1"), request("2", "another"), request("3", destination="there")]
    ledger.take_in(there, NOW)
    ledger.take_in([NewItem("other", HOUR, "4", HOUR, 0, joins=True)], NOW)
    assert set(states(ledger, TABLE).values()) == {State.PENDING}
    assert len(states(ledger, TABLE)) == 3
    assert len(states(ledger, "other")) == 1


def test_a_group_of_files_asks_for_its_hour_once(ledger: Ledger) -> None:
    ledger.take_in([new(f"{number:04}") for number in range(700)], NOW)
    for limit in (600, 100):
        items = claim(ledger, limit=limit)
        ledger.settle([end(item, releases=(request(f"{item.id} {item.fence}"),)) for item in items], NOW)
    assert len(states(ledger, TABLE)) == 1


def test_a_request_is_not_withdrawn_with_the_file_that_asked_first(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    made = settle_first(ledger, request("1"), release())
    assert [item.parent for item in ledger.items(TABLE)] == [None]
    ledger.reopen([made.id], NOW, Reason.NOT_INTACT)
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger)
    assert states(ledger, TABLE) == {f"{HOUR} 1": State.PENDING}


def test_a_request_takes_nobody_along_that_only_stands_beside_it(ledger: Ledger) -> None:
    """Of one batch some join and some are ordinary work."""
    ledger.take_in([request("1")], NOW)
    assert ledger.take_in([new(), request("2"), new("b.json")], NOW) == TakenIn({HOUR: 2}, 0, 20)
    assert set(states(ledger, QUEUE)) == {"a.json 1", "b.json 1"}
