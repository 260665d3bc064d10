"""What Dagster was not told yet: nothing that changed is forgotten, nothing that did not is told."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Reason, State
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

EARLIER = "2026-03-01-10:00"


def told(ledger: Ledger, queue: str = QUEUE) -> None:
    """All that is known is told, so that what comes next stands out."""
    ledger.recorded(queue, ledger.unrecorded(queue))
    assert ledger.unrecorded(queue) == {}


def test_new_work_need_not_be_told_of(ledger: Ledger) -> None:
    """It will be, once something came of it; what is set aside may lie outside of the partitions that exist."""
    ledger.take_in([new(), new("b.json", state=State.ASIDE, reason=Reason.OUT_OF_RANGE)], NOW)
    claim(ledger)
    ledger.take_in([new(version="2"), new("b.json", version="2")], NOW)
    assert ledger.unrecorded(QUEUE) == {}


@pytest.mark.parametrize("state", [State.SETTLED, State.DEAD, State.PENDING, State.SUPERSEDED])
def test_whatever_came_of_an_attempt_is_to_be_told(ledger: Ledger, state: State) -> None:
    ledger.take_in([new(), new("b.json", partition=EARLIER), new("c.json")], NOW)
    ledger.settle([end(item, state) for item in claim(ledger)], NOW)
    assert ledger.unrecorded(QUEUE) == {HOUR: 2, EARLIER: 1}
    assert ledger.unrecorded(EXPORTS) == {}


def test_an_item_put_back_untried_changed_nothing(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.PENDING, attempted=False) for item in claim(ledger)], NOW)
    assert ledger.unrecorded(QUEUE) == {}


def test_one_put_back_untried_behind_a_newer_version_is_replaced(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    held = claim(ledger)
    ledger.take_in([new(version="2", partition=EARLIER)], NOW)
    ledger.settle([end(item, State.PENDING, attempted=False) for item in held], NOW)
    assert ledger.unrecorded(QUEUE) == {HOUR: 1}


def test_given_up_untried_is_to_be_told(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.DEAD, attempted=False) for item in claim(ledger)], NOW)
    assert ledger.unrecorded(QUEUE) == {HOUR: 1}


def test_an_outcome_that_does_not_count_changed_nothing(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    stale = claim(ledger)
    claim(ledger, now=NOW + 2 * LEASE)
    ledger.settle([end(item) for item in stale], NOW + 2 * LEASE)
    assert ledger.unrecorded(QUEUE) == {}


def test_what_changes_while_it_is_told_is_told_again(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json"), new("c.json", partition=EARLIER)], NOW)
    first, second, third = claim(ledger)
    ledger.settle([end(first), end(third)], NOW)
    seen = ledger.unrecorded(QUEUE)
    ledger.settle([end(second)], NOW)
    ledger.recorded(QUEUE, seen)
    assert set(ledger.unrecorded(QUEUE)) == {HOUR}
    told(ledger)


def test_a_count_that_was_told_once_never_comes_again(ledger: Ledger) -> None:
    """A slow teller would else take a later change for the one that it told."""
    ledger.take_in([new()], NOW)
    counts = []
    for _ in range(3):
        settle_first(ledger)
        counts.append(ledger.unrecorded(QUEUE)[HOUR])
        told(ledger)
        ledger.reopen([item.id for item in ledger.items(QUEUE)], NOW, Reason.INTERNAL)
        counts.append(ledger.unrecorded(QUEUE)[HOUR])
        ledger.recorded(QUEUE, {HOUR: counts[0] - 1})
        assert ledger.unrecorded(QUEUE) == {HOUR: counts[-1]}
    assert counts == sorted(set(counts))


def test_what_nobody_changed_can_be_told(ledger: Ledger) -> None:
    """A person may have an hour recorded of which nothing is new."""
    ledger.recorded(QUEUE, {HOUR: 0})
    ledger.recorded(QUEUE, {})
    assert ledger.unrecorded(QUEUE) == {}


def test_each_queue_is_told_for_itself(ledger: Ledger) -> None:
    ledger.take_in([new(), release()], NOW)
    for queue in (QUEUE, EXPORTS):
        ledger.settle([end(item) for item in claim(ledger, queue)], NOW)
    told(ledger)
    assert ledger.unrecorded(EXPORTS) == {HOUR: 1}


def test_reopened_items_and_their_withdrawn_releases_are_to_be_told(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    made = settle_first(ledger, release())
    told(ledger)
    ledger.reopen([made.id], NOW, Reason.INTERNAL)
    assert set(ledger.unrecorded(QUEUE)) == set(ledger.unrecorded(EXPORTS)) == {HOUR}
    told(ledger)
    ledger.reopen([made.id], NOW, Reason.INTERNAL)
    assert ledger.unrecorded(QUEUE) == {}


def test_outdated_outputs_that_are_made_anew_are_to_be_told(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    told(ledger)
    assert ledger.reopen_outdated(QUEUE, "m1", NOW) == 0
    assert ledger.unrecorded(QUEUE) == {}
    assert ledger.reopen_outdated(QUEUE, "m2", NOW) == 1
    assert set(ledger.unrecorded(QUEUE)) == {HOUR}


def test_what_is_withheld_is_to_be_told_if_anything_waited(ledger: Ledger) -> None:
    ledger.take_in([release()], NOW)
    ledger.withhold(EXPORTS, HOUR, "nothing.parquet", NOW)
    assert ledger.unrecorded(EXPORTS) == {}
    ledger.withhold(EXPORTS, HOUR, "a.parquet", NOW)
    assert ledger.unrecorded(EXPORTS) == {HOUR: 1}


def test_an_output_that_took_anothers_place_changed_both_partitions(ledger: Ledger) -> None:
    ledger.take_in([new(partition=EARLIER)], NOW)
    settle_first(ledger, release(partition=EARLIER))
    told(ledger)
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger)
    assert set(ledger.unrecorded(QUEUE)) == {EARLIER, HOUR}
    assert set(ledger.unrecorded(EXPORTS)) == {EARLIER}


def test_an_amended_item_is_to_be_told(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger)
    told(ledger)
    (item,) = ledger.items(QUEUE)
    ledger.amend(item, {"again": 1}, [], NOW + MINUTE)
    assert set(ledger.unrecorded(QUEUE)) == {HOUR}


@pytest.mark.parametrize("fault", [{"name": None}, {"parent": 10**9}])
def test_a_change_that_was_not_recorded_is_not_to_be_told(ledger: Ledger, fault: dict[str, Any]) -> None:
    ledger.take_in([new()], NOW)
    (item,) = claim(ledger)
    broken = release(joins=True, **fault)
    with pytest.raises(Exception, match=r"(?i)not.null|foreign key"):
        ledger.settle([end(item, releases=(broken,))], NOW)
    assert ledger.unrecorded(QUEUE) == {}
    assert states(ledger) == {"a.json 1": State.CLAIMED}
