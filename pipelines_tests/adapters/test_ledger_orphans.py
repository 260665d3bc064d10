"""What was released from a version that another one took the place of: its bytes are nowhere any more."""

from __future__ import annotations

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


def rewrite_to_nothing(ledger: Ledger) -> None:
    """A newer version of the landed file is settled, and releases nothing."""
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger)


@pytest.fixture
def in_hand(ledger: Ledger) -> Ledger:
    """A release is in hand while the file that it came from is rewritten to nothing."""
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    assert len(claim(ledger, EXPORTS)) == 1
    rewrite_to_nothing(ledger)
    return ledger


@pytest.mark.parametrize("state", [State.PENDING, State.DEAD])
def test_a_release_in_hand_whose_file_is_rewritten_to_nothing_is_over_unless_it_is_done(
    ledger: Ledger, state: State
) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    (held,) = claim(ledger, EXPORTS)
    rewrite_to_nothing(ledger)
    ledger.settle([end(held, state, due_at=NOW)], NOW)
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SUPERSEDED}


def test_a_release_that_was_delivered_stays_so(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    (held,) = claim(ledger, EXPORTS)
    rewrite_to_nothing(ledger)
    ledger.settle([end(held)], NOW)
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SETTLED}


def test_a_release_whose_run_died_is_over_and_may_have_left(in_hand: Ledger) -> None:
    assert claim(in_hand, EXPORTS, now=NOW + LEASE + MINUTE) == []
    (item,) = in_hand.items(EXPORTS)
    assert (item.state, item.uncertain) == (State.SUPERSEDED, True)
    assert in_hand.unrecorded(EXPORTS) == {HOUR: 1}
    assert in_hand.next_due(EXPORTS) is None


def test_a_dead_release_that_is_replayed_afterwards_is_over(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    (held,) = claim(ledger, EXPORTS)
    ledger.settle([end(held, State.DEAD)], NOW)
    rewrite_to_nothing(ledger)
    ledger.reopen([held.id], NOW, "sent again")
    assert claim(ledger, EXPORTS) == []
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SUPERSEDED}


def test_a_release_of_the_same_bytes_by_the_newer_version_is_wanted(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    claim(ledger, EXPORTS)
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger, release())
    (held,) = claim(ledger, EXPORTS, now=NOW + LEASE + MINUTE)
    ledger.settle([end(held, State.PENDING, due_at=NOW)], NOW)
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.PENDING}


def test_what_waits_of_a_superseded_file_can_be_taken_back(ledger: Ledger) -> None:
    """That and nothing else: what is in hand, over, nobody's, or of what is still there stays as it is."""
    ledger.take_in([new(), new("b.json")], NOW)
    rewritten, other = claim(ledger)
    ledger.settle([end(one, State.PENDING, due_at=NOW + MINUTE) for one in (rewritten, other)], NOW)
    of_it = [release(name=name, parent=rewritten.id) for name in ("held", "done", "waits", "tried")]
    ledger.take_in([*of_it, release(name="other's", parent=other.id), release(name="nobody's")], NOW)
    held = {item.name: item for item in claim(ledger, EXPORTS)}
    ended = [end(held.pop("done")), end(held.pop("tried"), State.PENDING, due_at=NOW, uncertain=True)]
    ended += [end(held.pop(name), State.PENDING, due_at=NOW) for name in ("waits", "other's", "nobody's")]
    ledger.settle(ended, NOW)
    ledger.recorded(EXPORTS, ledger.unrecorded(EXPORTS))
    assert ledger.withdraw_orphans(EXPORTS, NOW) == 0
    ledger.take_in([new(version="2")], NOW)
    assert ledger.withdraw_orphans(QUEUE, NOW) == 0
    assert ledger.withdraw_orphans(EXPORTS, NOW + MINUTE) == 2
    found = {item.name: item for item in ledger.items(EXPORTS)}
    withdrawn = {name: item for name, item in found.items() if item.state is State.SUPERSEDED}
    assert {name: item.uncertain for name, item in withdrawn.items()} == {"waits": False, "tried": True}
    assert {item.changed_at for item in withdrawn.values()} == {NOW + MINUTE}
    assert [found[name].state for name in ("held", "done", "other's", "nobody's")] == [
        State.CLAIMED,
        State.SETTLED,
        State.PENDING,
        State.PENDING,
    ]
    assert ledger.unrecorded(EXPORTS).keys() == {HOUR}
    assert ledger.withdraw_orphans(EXPORTS, NOW + LEASE + MINUTE) == 1  # whoever held it ended without a word
    (left,) = (item for item in ledger.items(EXPORTS) if item.name == "held")
    assert (left.state, left.uncertain, left.lease_until) == (State.SUPERSEDED, True, None)
    assert left.reason == Reason.CRASHED
    assert ledger.withdraw_orphans(EXPORTS, NOW) == 0


def test_that_it_was_allowed_once_more_is_used_up_by_a_run_that_died_and_by_no_wait(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    parent = settle_first(ledger, release("1", "held"), release("1", "waits"))
    given_up = claim(ledger, EXPORTS)
    ledger.settle([end(item, State.DEAD, uncertain=True) for item in given_up], NOW)
    ledger.reopen([item.id for item in given_up], NOW, Reason.REPLAYED)
    (held,) = ledger.intend([release("1", "held", parent=parent.id)], "run", NOW, LEASE)
    assert held.reason == Reason.REPLAYED
    rewrite_to_nothing(ledger)
    ledger.withdraw_orphans(EXPORTS, NOW + LEASE + MINUTE)
    reasons = {item.name: (item.state, item.reason) for item in ledger.items(EXPORTS)}
    assert reasons == {
        "held": (State.SUPERSEDED, Reason.CRASHED),
        "waits": (State.SUPERSEDED, Reason.REPLAYED),
    }
