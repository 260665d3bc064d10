"""How work enters the ledger: what is absent is inserted, what is known may come back, older versions make way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger.locks import lock_names
from pipelines.adapters.ledger.rows import Row, chunks, new_row, same_name
from pipelines.adapters.ledger.schema import work
from pipelines.core.work import NewItem, Reason, State

UNDONE = frozenset({State.PENDING, State.DEAD, State.ASIDE})
"""States that a newer version ends: the bytes that they wait for are no longer there."""

Identity = tuple[str, str, str, str]
"""A queue, a destination, a name and its version."""


def record(connection: sa.Connection, items: Sequence[NewItem], now: datetime) -> list[NewItem]:
    """Record what is not known yet, and bring back what is asked for again.

    Of several versions of one name only the last counts; what joins is left out where its name waits already.

    Returns:
        The items that ask for work now and did not before, and those newly set aside.
    """
    last = {identity(item)[:-1]: item for item in items}
    # Mostly all is known, as in a listing: that is found out without keeping anybody waiting.
    asking = [item for chunk in chunks(list(last.values())) for item in _asking(connection, chunk, now)]
    lock_names(connection, (identity(item)[:-1] for item in asking))
    return [item for chunk in chunks(asking) for item in _record(connection, chunk, now)]


def _asking(connection: sa.Connection, items: Sequence[NewItem], now: datetime) -> list[NewItem]:
    """Those of which anything would change now."""
    known = {identity(row): row for row in versions(connection, map(identity, items))}
    return [item for item in items if identity(item) not in known or _seen_again(known[identity(item)], item, now)]


def _record(connection: sa.Connection, items: Sequence[NewItem], now: datetime) -> list[NewItem]:
    wanted = {identity(item): item for item in _unjoined(connection, items)}
    if not wanted:
        return []
    known = {identity(row): row.id for row in versions(connection, wanted) if identity(row) in wanted}
    changed = [item for one, item in wanted.items() if one not in known]
    newest: list[int] = []
    if changed:
        rows = [new_row(item, now) for item in changed]
        newest += connection.execute(sa.insert(work).returning(work.c.id), rows).scalars()
    for row in _lock(connection, list(known.values())):
        item = wanted[identity(row)]
        values = _seen_again(row, item, now)
        if values:
            connection.execute(sa.update(work).where(work.c.id == row.id).values(**values))
        if "state" in values:
            changed.append(item)
        if "newest" in values:
            newest.append(row.id)
    _make_way(connection, newest, now)
    return changed


def _lock(connection: sa.Connection, ids: Sequence[int]) -> Sequence[sa.Row[Any]]:
    """These rows, which nobody else changes until the transaction ends."""
    query = sa.select(work).where(work.c.id.in_(ids)).order_by(work.c.id)
    return connection.execute(query.with_for_update(key_share=True)).all() if ids else []


def _unjoined(connection: sa.Connection, items: Sequence[NewItem]) -> list[NewItem]:
    """Without those that join one that waits: it has not begun yet, and will do what they ask for.

    Nor can it begin before this transaction ends: else it might not see what they ask for.
    """
    joining = [identity(item) for item in items if item.joins]
    waiting = {identity(row)[:-1] for row in versions(connection, joining, work.c.state == State.PENDING, lock=True)}
    return [item for item in items if not item.joins or identity(item)[:-1] not in waiting]


def versions(
    connection: sa.Connection, identities: Iterable[Identity], *which: sa.ColumnElement[bool], lock: bool = False
) -> Iterator[sa.Row[Any]]:
    """All versions of these names. Asked for as whole identities, SQLite would read all of the table."""
    for (queue, destination), group in groupby(sorted(identities, key=itemgetter(0, 1)), itemgetter(0, 1)):
        names = [name for _, _, name, _ in group]
        query = sa.select(work).where(work.c.queue == queue, work.c.destination == destination, work.c.name.in_(names))
        query = query.where(*which)
        if lock:
            query = query.order_by(work.c.id).with_for_update(key_share=True)
        yield from connection.execute(query).all()


def _seen_again(row: sa.Row[Any], item: NewItem, now: datetime) -> Row:
    """What changes in a known row; mostly nothing."""
    if _comes_back(row, item):
        # What was tried before may have left, though this round counts its attempts anew.
        uncertain = row.uncertain or row.attempts > 0 or row.state == State.SETTLED
        again = {"state": item.state, "reason": item.reason, "attempts": 0, "due_at": now, "uncertain": uncertain}
        # What it was and became before is kept: some of it can't be found anew, as which of its records have left.
        facts = {"parent": item.parent, "size": item.size, "detail": {**row.detail, **item.detail}}
        return {**again, **facts, "newest": True, "seen_at": now, "changed_at": now, "settled_at": None}
    values: Row = {}
    if item.parent not in (None, row.parent):
        values["parent"] = item.parent  # the same bytes, made anew: whether they left is to be asked of the new maker
    if row.state == State.CLAIMED and not row.newest:
        values["newest"] = True  # put back while a run still works on it
    return values


_WAS_AWAY = frozenset({Reason.GONE, Reason.OUTPUT_LOST, Reason.ALTERED})
"""Given up since bytes were not there; being recorded again says that they are."""


def _comes_back(row: sa.Row[Any], item: NewItem) -> bool:
    """Whether seeing this known version again means that it asks for work again."""
    if item.state is not State.PENDING:
        return False
    if row.state == State.DEAD:
        return row.reason in _WAS_AWAY
    if row.state == State.SETTLED:
        return not row.newest  # an older version was put back
    return row.state in (State.ASIDE, State.SUPERSEDED)  # the future has come, or an older version was put back


def _make_way(connection: sa.Connection, newest: Sequence[int], now: datetime) -> None:
    """Of the names of these no other version is the newest any more, and none of them will be done."""
    if not newest:
        return
    one = work.alias("one")
    others = (
        sa.select(work.c.id, work.c.state).join(one, same_name(one, work)).where(one.c.id.in_(newest), work.c.newest)
    )
    rows = connection.execute(others.order_by(work.c.id).with_for_update(of=work, key_share=True)).all()
    if not rows:
        return
    undone = [row.id for row in rows if row.state in UNDONE]
    connection.execute(sa.update(work).where(work.c.id.in_([row.id for row in rows])).values(newest=False))
    connection.execute(sa.update(work).where(work.c.id.in_(undone)).values(state=State.SUPERSEDED, changed_at=now))


def identity(item: NewItem | sa.Row[Any]) -> Identity:
    """Of an item, or of a row that has these columns."""
    return (item.queue, item.destination, item.name, item.version)
