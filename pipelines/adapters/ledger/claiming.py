"""How due work comes into hand: chosen, locked and put under a lease in its caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from pipelines.adapters.ledger import Span, changes, pauses, reading
from pipelines.adapters.ledger.locks import lock_claims
from pipelines.adapters.ledger.rows import ITEM, read_item, unindexed
from pipelines.adapters.ledger.schema import work
from pipelines.core.work import Item, State


@dataclass(frozen=True, slots=True)
class Claim:
    """What is asked for, by whom and for how long; see ``Ledger.claim``."""

    queue: str
    owner: str
    limit: int
    now: datetime
    lease: timedelta
    destination: str
    span: Span | None
    crash_counts: bool


def claim(connection: sa.Connection, asked: Claim, *, skip_locked: bool) -> list[Item]:
    """Take due items under a lease; what others lock at this moment is passed over, or waited for."""
    lock_claims(connection, asked.queue, shared=True)
    mine = sa.and_(work.c.queue == asked.queue, work.c.destination == asked.destination, reading.is_due(asked.now))
    ended = _end_outrun(connection, mine, asked.now)
    items = _take(connection, mine, asked, skip_locked=skip_locked)
    changes.note(connection, ended)  # last: whoever settles locks rows first and notes then
    return items


def _take(connection: sa.Connection, mine: sa.ColumnElement[bool], asked: Claim, *, skip_locked: bool) -> list[Item]:
    within = reading.is_within(asked.span, unindexed(work.c.partition))
    paused = pauses.in_force(asked.queue, asked.now).exists()
    due = sa.select(work.c.id).where(mine, work.c.newest, ~reading.is_in_hand(), ~paused, *within)
    due = due.order_by(work.c.due_at, work.c.id).limit(asked.limit)
    ids = connection.execute(due.with_for_update(skip_locked=skip_locked, key_share=True)).scalars().all()
    if not ids:
        return []
    lost = work.c.state == State.CLAIMED
    values = {
        "state": State.CLAIMED,
        "owner": asked.owner,
        "fence": work.c.fence + 1,
        "lease_until": asked.now + asked.lease,
        "uncertain": sa.or_(work.c.uncertain, lost),
        "changed_at": asked.now,
    }
    if asked.crash_counts:
        values["attempts"] = work.c.attempts + sa.case((lost, 1), else_=0)
    claimed = sa.update(work).where(work.c.id.in_(ids)).values(**values).returning(*ITEM)
    items = [read_item(row) for row in connection.execute(claimed)]
    return sorted(items, key=lambda item: (item.due_at, item.id))


def _end_outrun(connection: sa.Connection, mine: sa.ColumnElement[bool], now: datetime) -> list[changes.Place]:
    """An older version whose lease ran out, or what was released from one: it will not be done again."""
    outrun = sa.select(work.c.id).where(mine, sa.or_(~work.c.newest, reading.is_orphaned()))
    ids = connection.execute(outrun.with_for_update(skip_locked=True, key_share=True)).scalars().all()
    if not ids:
        return []
    unsure = sa.or_(work.c.uncertain, work.c.state == State.CLAIMED)
    ended = {"state": State.SUPERSEDED, "uncertain": unsure, "lease_until": None, "changed_at": now}
    statement = sa.update(work).where(work.c.id.in_(ids)).values(**ended).returning(work.c.queue, work.c.partition)
    return [(row.queue, row.partition) for row in connection.execute(statement)]
