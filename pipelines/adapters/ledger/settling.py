"""What becomes of rows after a claim: settled, reopened, withdrawn, amended; each in its caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from pipelines.adapters.ledger import changes
from pipelines.adapters.ledger.reading import is_orphaned
from pipelines.adapters.ledger.recording import UNDONE, record
from pipelines.adapters.ledger.rows import ITEM, chunks, read_item, same_name, settled_row, unindexed
from pipelines.adapters.ledger.schema import is_claimed, is_open, work
from pipelines.core.work import Item, NewItem, Outcome, Reason, State

_PLACE = (work.c.queue, work.c.partition)

# Made once: to make a statement, and to find what it was compiled to, takes as long as to settle dozens of rows.
_HELD = (
    sa.select(work.c.id, work.c.fence, sa.and_(work.c.newest, ~is_orphaned()).label("wanted"), *_PLACE)
    .where(work.c.id.in_(sa.bindparam("ids", expanding=True)), is_claimed())
    .order_by(work.c.id)
    .with_for_update(key_share=True)
)
_SETTLE: sa.Update = (
    sa.update(work)
    .where(work.c.id == sa.bindparam("of"))
    .values(
        attempts=work.c.attempts + sa.bindparam("tried"),
        uncertain=sa.or_(work.c.uncertain, sa.bindparam("unsure", type_=sa.Boolean)),
        made_with=sa.func.coalesce(sa.bindparam("made", type_=sa.Text), work.c.made_with),
        detail=sa.func.coalesce(sa.bindparam("facts", type_=sa.JSON(none_as_null=True)), work.c.detail),
        due_at=sa.func.coalesce(sa.bindparam("due", type_=work.c.due_at.type), work.c.due_at),
    )
)


def held(connection: sa.Connection, fences: Mapping[int, int]) -> Iterator[sa.Row[Any]]:
    """The rows that are still held under these fences."""
    for chunk in chunks(sorted(fences)):
        for row in connection.execute(_HELD, {"ids": chunk}).all():
            if row.fence == fences[row.id]:
                yield row


def renew(connection: sa.Connection, fences: Mapping[int, int], until: datetime) -> set[int]:
    """Extend the leases of those still held; returns their ids."""
    alive = {row.id for row in held(connection, fences)}
    for chunk in chunks(sorted(alive)):
        connection.execute(sa.update(work).where(work.c.id.in_(chunk)).values(lease_until=until))
    return alive


def settle(connection: sa.Connection, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
    """Record outcomes and what they release; returns the ids that counted."""
    by_id = {one.id: one for one in outcomes}
    rows = list(held(connection, {one.id: one.fence for one in outcomes}))
    became = {row.id: _state(by_id[row.id], row.wanted) for row in rows}
    kept = [by_id[row.id] for row in rows]
    if kept:
        connection.execute(_SETTLE, [settled_row(one, became[one.id], now) for one in kept])
    moved = (row for row in rows if became[row.id] is not State.PENDING or by_id[row.id].attempted)
    changes.note(connection, ((row.queue, row.partition) for row in moved))
    made = [one.id for one in kept if one.state is State.SETTLED and one.made_with is not None]
    for chunk in chunks(made):
        _retire_older_outputs(connection, chunk, now)
    record(connection, [_of(one.id, item) for one in kept for item in one.releases], now)
    return set(became)


def _state(outcome: Outcome, wanted: bool) -> State:
    """What is not done will not be, once a newer version took its place, or that of what it was released from."""
    return outcome.state if wanted or outcome.state not in UNDONE else State.SUPERSEDED


def _of(parent: int, item: NewItem) -> NewItem:
    """What others ask for as well is nobody's child: it is not withdrawn with the one that asked first."""
    return item if item.joins else replace(item, parent=parent)


def _retire_older_outputs(connection: sa.Connection, made: Sequence[int], now: datetime) -> None:
    """What was made from earlier versions of a file no longer exists: the new output stands in its place."""
    newer = work.alias("newer")
    older = sa.select(work.c.id).join(newer, same_name(newer, work))
    older = older.where(newer.c.id.in_(made), work.c.state == State.SETTLED)
    ids = connection.execute(older.order_by(work.c.id).with_for_update(of=work, key_share=True)).scalars().all()
    if ids:
        _withdraw(connection, ids, now)
        _change(connection, work.c.id.in_(ids), now, state=State.SUPERSEDED)


def reopen(
    connection: sa.Connection,
    ids: Sequence[int],
    now: datetime,
    reason: str,
    detail: Mapping[str, Any] | None,
    states: Collection[State],
) -> int:
    """Make settled and dead items pending again; returns how many moved."""
    moved = 0
    merged = sa.update(work).where(work.c.id == sa.bindparam("of")).values(detail=sa.bindparam("facts", type_=sa.JSON))
    for chunk in chunks(sorted(ids)):
        over = work.c.state.in_(sorted(states))
        query = sa.select(work.c.id, work.c.detail).where(work.c.id.in_(chunk), work.c.newest, over)
        rows = connection.execute(query.order_by(work.c.id).with_for_update(key_share=True)).all()
        _reopen(connection, [row.id for row in rows], now, reason)
        if detail and rows:
            connection.execute(merged, [{"of": row.id, "facts": {**row.detail, **detail}} for row in rows])
        moved += len(rows)
    return moved


def reopen_outdated(connection: sa.Connection, queue: str, made_with: str, now: datetime) -> int:
    """Reopen what was made otherwise and did not leave; returns how many."""
    # Found from the open releases, so that the cost does not grow with what is delivered.
    released = work.alias("released")
    waiting = sa.select(released.c.parent).where(
        is_open(released), released.c.state == State.PENDING, released.c.parent.is_not(None)
    )
    outdated = sa.and_(
        work.c.id.in_(waiting),
        unindexed(work.c.queue) == queue,
        work.c.newest,
        work.c.state == State.SETTLED,
        work.c.made_with != made_with,
    )
    release = work.alias("release")
    sent = sa.or_(
        release.c.state.in_([State.SETTLED, State.CLAIMED]),
        release.c.uncertain,
        release.c.attempts > 0,
        release.c.status.is_not(None),  # it was answered before a person gave it all its attempts anew
    )
    may_have_left = sa.exists().where(release.c.parent == work.c.id, sent)
    query = sa.select(work.c.id).where(outdated, ~may_have_left)
    reopened = 0
    for chunk in chunks(connection.execute(query.order_by(work.c.id)).scalars().all()):
        # Looked at again once nobody can claim a release any more.
        for column in (work.c.id, work.c.parent):
            these = sa.select(work.c.id).where(column.in_(chunk)).order_by(work.c.id)
            connection.execute(these.with_for_update(key_share=True)).all()
        still = connection.execute(query.where(work.c.id.in_(chunk))).scalars().all()
        _reopen(connection, still, now, None)
        reopened += len(still)
    return reopened


def _reopen(connection: sa.Connection, ids: Sequence[int], now: datetime, reason: str | None) -> None:
    _withdraw(connection, ids, now)
    again = {"state": State.PENDING, "attempts": 0, "due_at": now, "reason": reason, "settled_at": None}
    # What was settled had its effect: "already there" speaks of that.
    unsure = sa.or_(work.c.uncertain, work.c.state == State.SETTLED)
    _change(connection, work.c.id.in_(ids), now, uncertain=unsure, **again)


def withhold(connection: sa.Connection, queue: str, partition: str, name: str, now: datetime) -> list[Item]:
    """Take back what waits under a name; returns all its versions, the oldest first."""
    named = sa.and_(work.c.queue == queue, work.c.partition == partition, work.c.name == name)
    _change(connection, sa.and_(named, work.c.state == State.PENDING), now, state=State.SUPERSEDED)
    return [read_item(row) for row in connection.execute(sa.select(*ITEM).where(named).order_by(work.c.id))]


def amend(
    connection: sa.Connection, item: Item, detail: Mapping[str, Any], items: Sequence[NewItem], now: datetime
) -> bool:
    """Merge into a settled item's detail and record items, if it is still as it was read."""
    settled = sa.and_(work.c.id == item.id, work.c.state == State.SETTLED, work.c.newest)
    found = connection.execute(sa.select(work.c.detail).where(settled).with_for_update(key_share=True)).scalar()
    if found != item.detail:
        return False
    _change(connection, settled, now, detail={**item.detail, **detail})
    record(connection, items, now)
    return True


def withdraw_orphans(connection: sa.Connection, queue: str, now: datetime) -> int:
    """Take back what waits, or was left in hand, though what it was released from is superseded; returns how many."""
    left = sa.or_(work.c.state == State.PENDING, sa.and_(work.c.state == State.CLAIMED, work.c.lease_until < now))
    orphans = sa.select(work.c.id, work.c.state).where(work.c.queue == queue, is_open(), left, is_orphaned())
    rows = connection.execute(orphans.order_by(work.c.id).with_for_update(of=work, key_share=True)).all()
    for chunk in chunks([row.id for row in rows if row.state == State.PENDING]):
        _change(connection, work.c.id.in_(chunk), now, state=State.SUPERSEDED)
    for chunk in chunks([row.id for row in rows if row.state == State.CLAIMED]):
        # Whoever held it ended without a word: it may have happened. A reason for which it was allowed once more would
        # allow it again.
        lost = {"state": State.SUPERSEDED, "uncertain": True, "lease_until": None, "reason": Reason.CRASHED}
        _change(connection, work.c.id.in_(chunk), now, **lost)
    return len(rows)


def _withdraw(connection: sa.Connection, parents: Sequence[int], now: datetime) -> None:
    """Take back what was released from these and waits."""
    waiting = sa.and_(work.c.parent.in_(parents), work.c.state == State.PENDING)
    _change(connection, waiting, now, state=State.SUPERSEDED)


def _change(connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime, **values: Any) -> None:
    """Change rows; that they changed is noted with it."""
    statement = sa.update(work).where(which).values(**values, changed_at=now).returning(*_PLACE)
    changes.note(connection, [(row.queue, row.partition) for row in connection.execute(statement)])
