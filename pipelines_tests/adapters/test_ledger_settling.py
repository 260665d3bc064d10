"""Outcomes count under their own fence only, and what they release is recorded with them."""

from __future__ import annotations

from typing import cast

import pytest

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Reason, State
from pipelines_tests.adapters.ledgers import (
    EXPORTS,
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


def test_an_outcome_is_recorded(ledger: Ledger) -> None:
    ledger.take_in([new(detail={"etag": "e"}), new("b.json", detail={"etag": "f"})], NOW)
    first, second = claim(ledger)
    failed = end(second, State.PENDING, due_at=NOW + MINUTE, status=503, reason=Reason.SERVER_ERROR, uncertain=True)
    done = end(first, status=201, made_with="m1", detail={"rows": 3})
    assert ledger.settle([done, failed], NOW) == {first.id, second.id}
    one, other = ledger.items(QUEUE)
    assert (one.state, one.status, one.made_with, one.detail) == (State.SETTLED, 201, "m1", {"rows": 3})
    assert (one.settled_at, one.lease_until, one.attempts) == (NOW, None, 1)
    assert (other.state, other.status, other.reason, other.due_at) == (
        State.PENDING,
        503,
        Reason.SERVER_ERROR,
        NOW + MINUTE,
    )
    assert (other.detail, other.attempts, other.uncertain, other.settled_at) == ({"etag": "f"}, 1, True, None)


def test_an_item_put_back_untried_loses_no_attempt(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.PENDING, attempted=False) for item in claim(ledger)], NOW)
    (item,) = claim(ledger)
    assert (item.attempts, item.due_at, item.uncertain) == (0, NOW, False)


def test_what_may_have_been_sent_once_stays_so(ledger: Ledger) -> None:
    """A later attempt that certainly failed says nothing about the earlier one."""
    ledger.take_in([new()], NOW)
    for uncertain in (True, False):
        ledger.settle([end(item, State.PENDING, uncertain=uncertain) for item in claim(ledger)], NOW)
    assert [item.uncertain for item in ledger.items(QUEUE)] == [True]


def test_a_stale_fence_settles_nothing_and_releases_nothing(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    stale, _ = claim(ledger)
    later = NOW + 2 * LEASE
    fresh, _ = claim(ledger, now=later)
    assert ledger.settle([end(stale, made_with="old", releases=(release(),))], later) == set()
    assert list(ledger.items(EXPORTS)) == []
    assert ledger.settle([end(fresh, made_with="new", releases=(release(),))], later) == {fresh.id}
    assert ledger.settle([end(fresh, State.DEAD)], later) == set()
    assert next((item.state, item.made_with) for item in ledger.items(QUEUE)) == (State.SETTLED, "new")


def test_stale_and_live_outcomes_of_a_group_are_told_apart(ledger: Ledger) -> None:
    ledger.take_in([new(f"{number:04}.json") for number in range(1200)], NOW)
    stale = claim(ledger, limit=600)
    later = NOW + 2 * LEASE
    live = claim(ledger, now=later, limit=1200)
    outcomes = [end(one) for one in stale[:300]] + [end(one) for one in live[300:]]
    assert ledger.settle(outcomes, later) == {one.id for one in live[300:]}
    counts = {one.state: one.items for one in ledger.standings(QUEUE)}
    assert counts == {State.CLAIMED: 300, State.SETTLED: 900}


def test_releases_are_recorded_with_their_outcome_or_not_at_all(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (item,) = claim(ledger)
    nameless = release(name=cast("str", None))
    with pytest.raises(Exception, match=r"(?i)not.null"):
        ledger.settle([end(item, releases=(release(), nameless))], NOW)
    assert states(ledger) == {"a.json 1": State.CLAIMED}
    assert list(ledger.items(EXPORTS)) == []
    ledger.settle([end(item, releases=(release(),))], NOW)
    (released,) = ledger.items(EXPORTS)
    assert (released.queue, released.state, released.parent) == (EXPORTS, State.PENDING, item.id)


@pytest.mark.parametrize(
    ("became", "again"),
    [
        (State.SETTLED, State.SETTLED),
        (State.DEAD, State.DEAD),
        (State.SUPERSEDED, State.PENDING),
        (State.PENDING, State.PENDING),
    ],
)
def test_the_same_bytes_released_again(ledger: Ledger, became: State, again: State) -> None:
    """Delivered stays delivered, given up stays given up; only what was withdrawn or waits is sent."""
    ledger.take_in([new()], NOW)
    made = settle_first(ledger, release())
    ledger.settle([end(item, became) for item in claim(ledger, EXPORTS)], NOW)
    ledger.reopen([made.id], NOW, Reason.INTERNAL)
    settle_first(ledger, release())
    assert states(ledger, EXPORTS) == {"a.parquet sha": again}


def test_new_bytes_supersede_a_release_that_waits(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release("one"))
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger, release("two"))
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.SETTLED}
    assert states(ledger, EXPORTS) == {"a.parquet one": State.SUPERSEDED, "a.parquet two": State.PENDING}


def test_an_output_that_was_replaced_is_not_delivered(ledger: Ledger) -> None:
    """The newer version gave no output: the bytes that the older one released are no longer stored."""
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger)
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SUPERSEDED}


def test_a_delivered_older_version_stays_delivered(ledger: Ledger) -> None:
    """A delivery makes no output, so the next one of that name takes nothing's place."""
    for version in ("one", "two"):
        ledger.take_in([release(version)], NOW)
        ledger.settle([end(item) for item in claim(ledger, EXPORTS)], NOW)
    assert set(states(ledger, EXPORTS).values()) == {State.SETTLED}
