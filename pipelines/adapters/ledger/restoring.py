"""A lost ledger filled again: what receipts tell of is inserted where it is absent; what is known stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from pipelines.adapters.ledger import Family, changes
from pipelines.adapters.ledger.locks import lock_recording
from pipelines.adapters.ledger.recording import UNDONE, Identity, identity, versions
from pipelines.adapters.ledger.rows import IDENTITY, chunks, insert, new_row
from pipelines.adapters.ledger.schema import work
from pipelines.core.work import NewItem, State

_AT_ONCE = 200
"""Families whose rows are inserted together."""


def restore(connection: sa.Connection, families: Iterable[Family], now: datetime) -> int:
    """Insert the landed files, then what was released from them; returns how many rows were absent."""
    lock_recording(connection)
    inserted = 0
    remaining = iter(families)
    while group := list(islice(remaining, _AT_ONCE)):
        files = [family.item for family in group if family.item is not None]
        ids, absent = _insert(connection, files, now)
        releases = [
            item if family.item is None else replace(item, parent=ids[identity(family.item)])
            for family in group
            for item in family.releases
        ]
        inserted += absent + sum(_insert(connection, chunk, now)[1] for chunk in chunks(releases))
    return inserted


def _insert(connection: sa.Connection, items: Sequence[NewItem], now: datetime) -> tuple[dict[Identity, int], int]:
    """Insert what is absent; returns the ids of all that are there now, and how many were absent."""
    if not items:
        return {}, 0
    columns = [work.c[name] for name in IDENTITY]
    statement = (
        insert(connection.dialect.name, work).on_conflict_do_nothing(index_elements=columns).returning(work.c.id)
    )
    rows = [{**new_row(item, now), "newest": False} for item in items]
    inserted = set(connection.execute(statement, rows).scalars())
    there = {identity(row): row for row in versions(connection, {identity(item) for item in items}, lock=True)}
    dead = [row for row in there.values() if row.id in inserted and row.state == State.DEAD]
    changes.note(connection, ((row.queue, row.partition) for row in dead))  # a run then raises the alarm
    _name_newest(connection, there, [identity(item) for item in items], inserted)
    return {one: row.id for one, row in there.items()}, len(inserted)


def _name_newest(
    connection: sa.Connection,
    there: Mapping[Identity, sa.Row[Any]],
    given: Sequence[Identity],
    inserted: Collection[int],
) -> None:
    """Of each name the last one given is the newest, unless the ledger came to know one; the others are over.

    What is given more than once, as with each of its releases, is in the place of the first time.
    """
    newest = {one[:-1]: there[one].id for one in dict.fromkeys(given) if there[one].id in inserted}
    newest |= {one[:-1]: row.id for one, row in there.items() if row.newest and not _is_restored(row)}
    older = [row for one, row in there.items() if row.id != newest.get(one[:-1], row.id)]
    replaced = [row for row in older if row.newest or row.id in inserted]
    for ids, values in (
        ([row.id for row in replaced], {"newest": False}),
        ([row.id for row in replaced if row.state in UNDONE], {"state": State.SUPERSEDED}),
        ([one for one in newest.values() if one in inserted], {"newest": True}),
    ):
        connection.execute(sa.update(work).where(work.c.id.in_(ids)).values(**values))


def _is_restored(row: sa.Row[Any]) -> bool:
    """Nothing is over that was never claimed, unless it was over before the ledger was lost."""
    return row.fence == 0 and row.state in (State.SETTLED, State.DEAD)
