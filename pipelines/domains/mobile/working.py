"""Landed files worked through one after another, each under a lease, each recorded as it is done."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from pipelines.adapters.ledger import Span
from pipelines.adapters.ledger.leases import Leases, steady_seconds
from pipelines.core.work import Item, Outcome, Reason, State
from pipelines.domains.mobile.filtering import Filtering, intact
from pipelines.domains.mobile.releases import QUEUE

log = logging.getLogger(__name__)

_MARGIN = 0.1
"""A file is published only if this much of its lease is surely left."""


def work_through(filtering: Filtering, *, owner: str, lease: timedelta, seconds: float, span: Span) -> Iterator[Item]:
    """Filter the due files of these partitions within the time; yields each file once it is recorded.

    A file whose lease ran out while it was worked on is not recorded here: whoever took it over records it.
    """
    ends_at = time.monotonic() + seconds
    ledger, now = filtering.ledger, filtering.now
    with Leases(ledger, lease, now) as leases:
        filtering = replace(filtering, still_held=lambda item: leases.holds(item, _MARGIN * lease.total_seconds()))
        while time.monotonic() < ends_at:
            claimed_at = steady_seconds()
            items = ledger.claim(QUEUE, owner=owner, limit=1, now=now(), lease=lease, span=span, crash_counts=True)
            if not items:
                return
            leases.hold(items, claimed_at)
            filtering = filtering.renewed()
            try:
                counted = ledger.settle([_outcome(filtering, item) for item in items], now())
            finally:
                leases.drop(item.id for item in items)
            yield from (item for item in items if item.id in counted)


def _outcome(filtering: Filtering, item: Item) -> Outcome:
    """The outcome of one file; an error of our own in it never stops the files beside it."""
    try:
        return filtering.outcome(item)
    except Exception as error:
        # Texts of errors may quote values of records: only the kind of error and where it arose are logged.
        where = traceback.extract_tb(error.__traceback__)[-1]
        log.error("%s: %s at %s:%s", item.name, type(error).__name__, where.name, where.lineno)  # noqa: TRY400 (as above)
        attempts = item.attempts + 1
        dead = filtering.policy.exhausted(attempts)
        return Outcome(
            item.id,
            item.fence,
            State.DEAD if dead else State.PENDING,
            due_at=filtering.now() + filtering.policy.pause(attempts, 0.0),
            reason=Reason.INTERNAL,
        )


def reopen_damaged(filtering: Filtering, span: Span) -> tuple[int, int]:
    """Look whether the settled outputs of these partitions are intact, and make the others due again; the dead, too.

    Returns:
        How many are intact and kept, and how many are due again.
    """
    kept = 0
    damaged: list[int] = []
    for item in filtering.ledger.items(QUEUE, span, [State.SETTLED, State.DEAD]):
        if item.state is State.SETTLED and intact(filtering.lake, item):
            kept += 1
        else:
            damaged.append(item.id)
    filtering.ledger.reopen(damaged, filtering.now(), Reason.NOT_INTACT)
    return kept, len(damaged)
