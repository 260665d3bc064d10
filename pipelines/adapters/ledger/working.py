"""Items worked through in small groups, each under a lease, each group recorded as it is done."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import Leases, steady_seconds, utc_now
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, NewItem, Outcome, Reason, State

log = logging.getLogger(__name__)

LOOKS_EVERY = 1.0
"""A run that stays for more work looks for it this often, in seconds."""

_MARGIN = 0.1
"""An effect is made visible only if this much of its lease is surely left."""

Held = Callable[[Item], bool]
"""Whether an item is still ours, so that its effect may be made visible."""

Releases = Callable[[Item], Sequence[NewItem]]
"""What an item asks for once it is given up."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How a run works through a queue; times are in seconds.

    Attributes:
        owner: the run.
        lease: how long it holds what it works on without renewing.
        seconds: the time after which it takes no more.
        stays: how long after its start it waits for more when nothing is due: to start another run costs seconds.
        at_once: items that are worked on side by side.
        idle: called whenever nothing is due, also when that ends the run.
        now: the wall clock.
    """

    owner: str
    lease: timedelta
    seconds: float = float("inf")
    stays: float = 0.0
    at_once: int = 1
    idle: Callable[[], None] = lambda: None
    now: Callable[[], datetime] = utc_now


def work_through(
    ledger: Ledger,
    queue: str,
    outcomes: Callable[[], Callable[[Item, Held], Outcome]],
    policy: RetryPolicy,
    shift: Shift,
    span: Span | None = None,
    *,
    destination: str = "",
    releases: Releases = lambda _: (),
) -> Iterator[Item]:
    """Take a queue's due items within the time; yields each item once what became of it is recorded.

    An item whose lease ran out while it was worked on is not recorded here: whoever took it over records it.

    Args:
        ledger: the ledger.
        queue: what to take items of.
        outcomes: called before each group is claimed, gives what works on one of its items.
        policy: how often an item is tried on which an error of our own came up.
        shift: how the run works.
        span: the partitions to take items of.
        destination: where the items to take are bound for.
        releases: of an item that is given up after an error of our own.
    """
    begun = time.monotonic()
    with Leases(ledger, shift.lease, shift.now) as leases, ThreadPoolExecutor(shift.at_once) as side_by_side:
        held = partial(leases.holds, seconds=_MARGIN * shift.lease.total_seconds())
        while (spent := time.monotonic() - begun) < shift.seconds:
            outcome = outcomes()  # before anything is claimed: what can't begin must cost no item an attempt
            claimed_at = steady_seconds()
            items = ledger.claim(
                queue,
                owner=shift.owner,
                limit=shift.at_once,
                now=shift.now(),
                lease=shift.lease,
                destination=destination,
                span=span,
                crash_counts=True,
            )
            if not items:
                shift.idle()
                if spent >= shift.stays:
                    return
                time.sleep(min(LOOKS_EVERY, shift.stays - spent))
                continue
            leases.hold(items, claimed_at)
            try:
                work = partial(_work_on, outcome, held, policy, shift.now, releases)
                counted = ledger.settle(_each(work, items, side_by_side), shift.now())
            finally:
                leases.drop(item.id for item in items)
            yield from (item for item in items if item.id in counted)


def _each(work: Callable[[Item], Outcome], items: Sequence[Item], pool: ThreadPoolExecutor) -> list[Outcome]:
    return [work(items[0])] if len(items) == 1 else list(pool.map(work, items))


def _work_on(
    outcome: Callable[[Item, Held], Outcome],
    held: Held,
    policy: RetryPolicy,
    now: Callable[[], datetime],
    releases: Releases,
    item: Item,
) -> Outcome:
    """The outcome of one item; an error of our own in it never stops the items beside it."""
    try:
        return outcome(item, held)
    except Exception as error:
        # Texts of errors may quote values of records: only the kind of error and where it arose are logged.
        where = traceback.extract_tb(error.__traceback__)[-1]
        log.error("%s: %s at %s:%s", item.name, type(error).__name__, where.name, where.lineno)  # noqa: TRY400 (as above)
        attempts = item.attempts + 1
        dead = policy.exhausted(attempts)
        return Outcome(
            item.id,
            item.fence,
            State.DEAD if dead else State.PENDING,
            due_at=now() + policy.pause(attempts, 0.0),
            reason=Reason.INTERNAL,
            releases=tuple(releases(item)) if dead else (),
        )
