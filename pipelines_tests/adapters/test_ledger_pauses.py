"""Pauses: nothing of a queue is taken, nothing of it is lost, and who did it is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from pipelines.adapters.ledger import Ledger, Span
from pipelines.core.work import Pause, State
from pipelines_tests.adapters.ledgers import EXPORTS, HOUR, LEASE, MINUTE, NOW, QUEUE, claim, end, new, release, states

DAY = timedelta(days=1)
PAUSE = Pause(QUEUE, NOW, NOW + DAY, "ops@example.org", "the endpoint moves")


def test_of_a_paused_queue_nothing_is_taken_until_the_pause_ends(ledger: Ledger) -> None:
    ledger.take_in([new(), release()], NOW)
    ledger.pause(PAUSE)
    for now in (NOW - MINUTE, NOW, NOW + DAY - timedelta(microseconds=1)):  # also by a clock that is behind
        assert claim(ledger, now=now) == []
        assert claim(ledger, now=now, span=Span(HOUR, HOUR), crash_counts=True) == []
    assert len(claim(ledger, EXPORTS)) == 1
    assert len(claim(ledger, now=NOW + DAY)) == 1


def test_what_waits_is_seen_while_it_is_paused(ledger: Ledger) -> None:
    ledger.pause(PAUSE)
    ledger.take_in([new()], NOW)
    assert [one.items for one in ledger.backlog(NOW)] == [1]
    assert ledger.next_due(QUEUE) == NOW
    assert claim(ledger) == []
    assert states(ledger) == {"a.json 1": State.PENDING}


def test_what_is_in_hand_is_renewed_and_settled(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    first, second = claim(ledger)
    ledger.pause(PAUSE)
    assert ledger.renew([first, second], NOW + MINUTE, LEASE) == {first.id, second.id}
    assert ledger.settle([end(first, releases=(release(),)), end(second, State.PENDING)], NOW) == {first.id, second.id}
    assert states(ledger) == {"a.json 1": State.SETTLED, "b.json 1": State.PENDING}
    assert claim(ledger) == []


def test_a_lease_that_ran_out_is_not_taken_over_while_it_is_paused(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    claim(ledger)
    ledger.pause(PAUSE)
    assert claim(ledger, now=NOW + 2 * LEASE) == []
    ledger.resume(QUEUE)
    assert [item.uncertain for item in claim(ledger, now=NOW + 2 * LEASE)] == [True]


def test_a_resumed_queue_goes_on_where_it_was(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.pause(PAUSE)
    for _ in range(2):  # and one that is not paused stays as it is
        ledger.resume(QUEUE)
        assert ledger.paused(QUEUE, NOW) is None
    (item,) = claim(ledger)
    assert (item.attempts, item.due_at) == (0, NOW)


def test_a_pause_says_who_and_why_until_it_ends(ledger: Ledger) -> None:
    assert ledger.paused(QUEUE, NOW) is None
    ledger.pause(PAUSE)
    assert ledger.paused(QUEUE, NOW) == PAUSE
    assert ledger.paused(EXPORTS, NOW) is None
    assert ledger.paused(QUEUE, NOW + DAY) is None


def test_a_later_pause_takes_the_place_of_an_earlier_one(ledger: Ledger) -> None:
    shorter = replace(PAUSE, until=NOW + MINUTE, who="another", why="")
    for pause in (PAUSE, shorter):
        ledger.pause(pause)
        assert ledger.paused(QUEUE, NOW) == pause
    assert ledger.paused(QUEUE, NOW + MINUTE) is None
