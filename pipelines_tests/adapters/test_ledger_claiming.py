"""Due work is in one hand at a time, and what a run held that ended without a word is taken over."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.adapters.ledger import Ledger, Span
from pipelines.core.retry import LONGEST_PAUSE
from pipelines.core.work import Backlog, State
from pipelines_tests.adapters.ledgers import (
    EXPORTS,
    HOUR,
    LEASE,
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


def test_the_oldest_due_are_claimed_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in (2, 0, 1):
        ledger.take_in([new(f"{number}.json")], NOW + number * MINUTE)
    later = NOW + 5 * MINUTE
    assert [item.name for item in claim(ledger, now=later, limit=2)] == ["0.json", "1.json"]
    assert [item.name for item in claim(ledger, now=later, limit=2)] == ["2.json"]
    assert claim(ledger, now=later) == []


def test_what_is_not_due_yet_is_not_claimed(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.PENDING, due_at=NOW + MINUTE) for item in claim(ledger)], NOW)
    assert claim(ledger, now=NOW + MINUTE - timedelta(microseconds=1)) == []
    assert ledger.backlog(NOW) == []
    assert ledger.next_due(QUEUE) == NOW + MINUTE
    assert len(claim(ledger, now=NOW + MINUTE)) == 1


def test_a_next_attempt_that_a_clock_put_far_ahead_is_not_waited_for(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    first, second = claim(ledger)
    ledger.settle([end(first, State.PENDING, due_at=NOW + timedelta(days=3650))], NOW)
    ledger.settle([end(second, State.PENDING, due_at=NOW + LONGEST_PAUSE)], NOW)
    assert [one.items for one in ledger.backlog(NOW)] == [1]
    (item,) = claim(ledger)
    assert item.name == "a.json"
    ledger.settle([end(item, State.PENDING, due_at=NOW + MINUTE)], NOW)
    assert claim(ledger) == []
    assert [item.name for item in claim(ledger, now=NOW + MINUTE)] == ["a.json"]


def test_a_claim_keeps_to_its_queue_destination_and_span(ledger: Ledger) -> None:
    hours = [f"2026-03-01-0{hour}:00" for hour in range(5)]
    ledger.take_in([new(f"{hour}.json", partition=hour) for hour in hours], NOW)
    ledger.take_in([new("there.json", destination="https://there"), new("b.json", queue="other")], NOW)
    within = claim(ledger, span=Span(hours[1], hours[3]))
    assert [item.partition for item in within] == hours[1:4]
    assert [item.name for item in claim(ledger, destination="https://there")] == ["there.json"]
    assert [item.partition for item in claim(ledger)] == [hours[0], hours[4]]


def test_a_claim_says_who_holds_it_and_until_when(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (item,) = claim(ledger)
    assert (item.state, item.owner, item.lease_until, item.fence) == (State.CLAIMED, "run", NOW + LEASE, 1)
    assert not item.uncertain
    assert [*ledger.items(QUEUE)] == [item]


@pytest.mark.parametrize("crash_counts", [True, False])
def test_a_lease_that_ran_out_is_taken_over_as_uncertain(ledger: Ledger, crash_counts: bool) -> None:
    """The run that held it may have sent it before it ended without a word."""
    ledger.take_in([new()], NOW)
    (lost,) = claim(ledger)
    assert claim(ledger, now=NOW + LEASE) == []
    assert ledger.next_due(QUEUE) == NOW + LEASE
    later = NOW + LEASE + timedelta(microseconds=1)
    assert [one.items for one in ledger.backlog(later)] == [1]
    (taken,) = claim(ledger, now=later, crash_counts=crash_counts)
    assert (taken.uncertain, taken.attempts, taken.fence) == (True, int(crash_counts), lost.fence + 1)


def test_a_renewed_lease_is_not_taken_over(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    held = claim(ledger)
    ledger.settle([end(held[0])], NOW)
    assert ledger.renew(held, NOW + LEASE, LEASE) == {held[1].id}
    assert claim(ledger, now=NOW + 2 * LEASE) == []
    (taken,) = claim(ledger, now=NOW + 3 * LEASE)
    assert ledger.renew(held, NOW + 3 * LEASE, LEASE) == set()
    assert taken.id == held[1].id


def test_two_versions_of_one_name_are_never_in_hand_together(ledger: Ledger) -> None:
    """Nor does the waiting one make anybody start a run."""
    ledger.take_in([new()], NOW)
    (older,) = claim(ledger)
    ledger.take_in([new(version="2")], NOW)
    assert claim(ledger) == []
    assert ledger.backlog(NOW) == []
    assert ledger.next_due(QUEUE) == NOW + LEASE
    ledger.settle([end(older)], NOW)
    assert [item.version for item in claim(ledger)] == ["2"]


def test_an_older_version_whose_run_died_is_not_done_after_the_newer(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (older,) = claim(ledger)
    ledger.take_in([new(version="2")], NOW)
    later = NOW + 2 * LEASE
    assert sum(one.items for one in ledger.backlog(later)) == 1
    assert [item.version for item in claim(ledger, now=later)] == ["2"]
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.CLAIMED}
    assert ledger.settle([end(older)], later) == set()


@pytest.mark.parametrize("state", [State.PENDING, State.DEAD])
def test_an_older_version_that_failed_makes_way_for_the_newer(ledger: Ledger, state: State) -> None:
    ledger.take_in([new()], NOW)
    (older,) = claim(ledger)
    ledger.take_in([new(version="2")], NOW)
    assert ledger.settle([end(older, state, due_at=NOW)], NOW) == {older.id}
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.PENDING}


def test_backlog_counts_due_work_by_queue_destination_and_partition(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json"), new("c.json", partition="2026-03-01-10:00")], NOW)
    ledger.take_in([release(destination="https://there"), release("x", "b.parquet")], NOW + MINUTE)
    assert sorted(ledger.backlog(NOW + MINUTE), key=str) == sorted(
        [
            Backlog(QUEUE, "", HOUR, 2, NOW),
            Backlog(QUEUE, "", "2026-03-01-10:00", 1, NOW),
            Backlog(EXPORTS, "", HOUR, 1, NOW + MINUTE),
            Backlog(EXPORTS, "https://there", HOUR, 1, NOW + MINUTE),
        ],
        key=str,
    )
    assert {one.queue for one in ledger.backlog(NOW)} == {QUEUE}


def test_a_queue_without_open_work_is_never_due(ledger: Ledger) -> None:
    assert ledger.next_due(QUEUE) is None
    ledger.take_in([new()], NOW)
    assert ledger.next_due(QUEUE) == NOW
    settle_first(ledger)
    assert ledger.next_due(QUEUE) is None
