"""Runs through a queue: in groups, side by side, for as long as there is time; what fails stops nothing beside it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice

import pytest

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.working import Held, Shift, work_through
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Outcome, Pause, Reason, State
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
    states,
)

EARLIER = "2026-03-01-10:00"
SHIFT = Shift("run", LEASE, now=lambda: NOW)
POLICY = RetryPolicy(attempts=3, jitter=0)

Work = Callable[[Item, Held], Outcome]


def settled(item: Item, _: Held) -> Outcome:
    return end(item, made_with="m1")


def work(ledger: Ledger, outcome: Work = settled, shift: Shift = SHIFT, span: Span | None = None) -> Iterator[Item]:
    return work_through(ledger, QUEUE, lambda: outcome, POLICY, shift, span)


def at(now: datetime) -> Shift:
    return replace(SHIFT, now=lambda: now)


def wait_until(holds: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < gives_up
        time.sleep(0.01)


# What is taken


def test_all_that_is_due_is_worked_on_the_oldest_first_and_recorded_with_its_releases(ledger: Ledger) -> None:
    ledger.take_in([new("late.json")], NOW)
    ledger.take_in([new("early.json")], NOW - MINUTE)
    ledger.take_in([new("later.json")], NOW + MINUTE)
    ledger.take_in([new(queue=EXPORTS)], NOW)

    def with_release(item: Item, _: Held) -> Outcome:
        return end(item, made_with="m1", releases=(release(name=f"{item.name}.parquet"),))

    assert [item.name for item in work(ledger, with_release)] == ["early.json", "late.json"]
    assert states(ledger) == {
        "early.json 1": State.SETTLED,
        "late.json 1": State.SETTLED,
        "later.json 1": State.PENDING,
    }
    assert set(states(ledger, EXPORTS)) == {"a.json 1", "early.json.parquet sha", "late.json.parquet sha"}


def test_only_the_partitions_asked_for_are_taken(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json", partition=EARLIER)], NOW)
    assert [item.name for item in work(ledger, span=Span(EARLIER, EARLIER))] == ["b.json"]
    assert states(ledger)["a.json 1"] is State.PENDING


def test_of_a_paused_queue_nothing_is_taken(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.pause(Pause(QUEUE, NOW, NOW + MINUTE, "who", "why"))
    assert list(work(ledger)) == []
    assert len(list(work(ledger, shift=at(NOW + MINUTE)))) == 1


def test_a_run_that_ended_without_a_word_used_an_attempt_up(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    claim(ledger)
    (item,) = work(ledger, shift=at(NOW + 2 * LEASE))
    assert (item.attempts, item.uncertain, item.fence) == (1, True, 2)


def test_each_group_is_recorded_before_the_next_is_taken(ledger: Ledger) -> None:
    ledger.take_in([new(name) for name in "abcde"], NOW)
    run = work(ledger, shift=replace(SHIFT, at_once=2))
    assert next(run).name == "a"
    assert list(states(ledger).values()) == [State.SETTLED, State.SETTLED, *[State.PENDING] * 3]
    assert [item.name for item in run] == ["b", "c", "d", "e"]


def test_who_stops_listening_leaves_the_rest_for_the_next_and_no_thread_behind(ledger: Ledger) -> None:
    ledger.take_in([new("a"), new("b")], NOW)
    before = threading.active_count()
    run = work(ledger)
    assert next(run).name == "a"
    run.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() == before
    assert states(ledger) == {"a 1": State.SETTLED, "b 1": State.PENDING}


# Side by side


def test_items_of_a_group_are_worked_on_side_by_side(ledger: Ledger) -> None:
    """Each waits for the two others, which it could not one after the other."""
    ledger.take_in([new(f"{number}") for number in range(6)], NOW)
    together = threading.Barrier(3, timeout=30)

    def outcome(item: Item, _: Held) -> Outcome:
        together.wait()
        return end(item)

    assert len(list(work(ledger, outcome, replace(SHIFT, at_once=3)))) == 6
    assert set(states(ledger).values()) == {State.SETTLED}


def test_what_works_on_a_group_is_made_anew_for_each(ledger: Ledger) -> None:
    """What it works with may be another by then, as a mapping that was accepted meanwhile."""
    ledger.take_in([new(f"{number}") for number in range(7)], NOW)
    made: list[int] = []

    def outcomes() -> Work:
        made.append(len(made))
        version = f"m{len(made)}"
        return lambda item, _: end(item, made_with=version)

    list(work_through(ledger, QUEUE, outcomes, POLICY, replace(SHIFT, at_once=3)))
    assert [item.made_with for item in ledger.items(QUEUE)] == ["m1"] * 3 + ["m2"] * 3 + ["m3"]


# Time


def test_a_run_without_time_takes_nothing(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    assert list(work(ledger, shift=replace(SHIFT, seconds=0))) == []
    assert states(ledger) == {"a.json 1": State.PENDING}


def test_what_was_begun_is_finished_though_the_time_is_over(ledger: Ledger) -> None:
    ledger.take_in([new("a"), new("b")], NOW)
    seconds = 0.5

    def outcome(item: Item, _: Held) -> Outcome:
        over = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() > over)
        return end(item)

    assert [item.name for item in work(ledger, outcome, replace(SHIFT, seconds=seconds))] == ["a"]
    assert states(ledger) == {"a 1": State.SETTLED, "b 1": State.PENDING}


def test_when_nothing_is_due_that_is_told_once_and_the_run_ends(ledger: Ledger) -> None:
    ledger.take_in([new("a"), new("b")], NOW)
    seen: list[set[State]] = []
    shift = replace(SHIFT, idle=lambda: seen.append({*states(ledger).values()}))
    assert len(list(work(ledger, shift=shift))) == 2
    assert seen == [{State.SETTLED}]


@pytest.mark.parametrize(("stays", "taken"), [(0.0, []), (30.0, ["late.json"])])
def test_a_run_that_stays_takes_what_comes_meanwhile(ledger: Ledger, stays: float, taken: list[str]) -> None:
    def idle() -> None:
        ledger.take_in([new("late.json")], NOW)

    run = work(ledger, shift=replace(SHIFT, stays=stays, idle=idle))
    assert [item.name for item in islice(run, 1)] == taken
    assert states(ledger) == {"late.json 1": State.SETTLED if taken else State.PENDING}


def test_a_run_stays_no_longer_than_it_is_told_to(ledger: Ledger) -> None:
    calls: list[None] = []
    assert list(work(ledger, shift=replace(SHIFT, stays=0.2, idle=lambda: calls.append(None)))) == []
    assert len(calls) >= 2


# What fails


def test_an_error_of_our_own_stops_nothing_beside_it_and_tells_no_value(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.take_in([new(name) for name in ("a.json", "b.json", "c.json", "d.json")], NOW)

    def outcome(item: Item, _: Held) -> Outcome:
        if item.name == "b.json":
            raise KeyError("ZZ9Q of a record")
        return end(item)

    with caplog.at_level(logging.DEBUG):
        done = list(work(ledger, outcome, replace(SHIFT, at_once=3)))
    assert [item.name for item in done] == ["a.json", "b.json", "c.json", "d.json"]
    assert list(states(ledger).values()) == [State.SETTLED, State.PENDING, State.SETTLED, State.SETTLED]
    failed = list(ledger.items(QUEUE))[1]
    assert (failed.reason, failed.attempts, failed.due_at) == (Reason.INTERNAL, 1, NOW + POLICY.pause(1, 0.0))
    assert "b.json: KeyError at outcome:" in caplog.text
    assert "ZZ9Q" not in caplog.text


def test_an_error_of_our_own_that_stays_is_given_up_after_the_last_attempt(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)

    def outcome(*_: object) -> Outcome:
        raise ZeroDivisionError

    for attempt in range(1, POLICY.attempts + 1):
        (item,) = ledger.items(QUEUE)
        assert item.state is State.PENDING
        list(work(ledger, outcome, at(item.due_at)))
        (item,) = ledger.items(QUEUE)
        assert item.attempts == attempt
    assert (item.state, item.reason) == (State.DEAD, Reason.INTERNAL)


def test_an_item_whose_lease_is_lost_is_told_so_and_not_recorded(ledger: Ledger) -> None:
    """Nor is it yielded: whoever took it over records it. The item beside it is."""
    ledger.take_in([new("a"), new("b")], NOW)
    lease = timedelta(seconds=3)
    taken: list[Item] = []
    both = threading.Barrier(2, timeout=30)

    def outcome(item: Item, held: Held) -> Outcome:
        both.wait()
        if item.name == "b":
            both.wait()  # until the other one is lost
            return end(item, made_with="mine")
        assert held(item)
        take_one_over(ledger, taken)
        wait_until(lambda: not held(item))
        both.wait()
        return end(item, made_with="mine", releases=(release(),))

    done = list(work(ledger, outcome, replace(SHIFT, lease=lease, at_once=2)))
    assert [item.name for item in done] == ["b"]
    one, other = ledger.items(QUEUE)
    assert (one.state, one.owner, one.fence, one.made_with) == (State.CLAIMED, "other", taken[0].fence, "")
    assert (other.state, other.made_with) == (State.SETTLED, "mine")
    assert list(ledger.items(EXPORTS)) == []


def take_one_over(ledger: Ledger, taken: list[Item]) -> None:
    """Another run, by whose clock the leases are over, takes the first item over."""
    taken.extend(ledger.claim(QUEUE, owner="other", limit=1, now=NOW + MINUTE, lease=LEASE))


def test_what_is_not_in_hand_is_not_held(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json", partition=EARLIER)], NOW)
    other = next(item for item in ledger.items(QUEUE) if item.name == "b.json")
    seen: list[tuple[bool, bool]] = []

    def outcome(item: Item, held: Held) -> Outcome:
        seen.append((held(item), held(other)))
        return end(item)

    list(work(ledger, outcome, span=Span(HOUR, HOUR)))
    assert seen == [(True, False)]


def test_what_cannot_even_begin_fails_the_run_and_costs_no_item_an_attempt(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)

    def outcomes() -> Work:
        raise OSError("the lake")

    with pytest.raises(OSError, match="the lake"):
        list(work_through(ledger, QUEUE, outcomes, POLICY, SHIFT))
    assert states(ledger) == {"a.json 1": State.PENDING}
    assert [item.attempts for item in work(ledger)] == [0]
