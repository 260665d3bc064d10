"""Effects that a run is about to have: each in its hands before it happens, and found again by its name.

A claim takes whatever is due; who works in an order of its own names what it wants. Each in its caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger import changes, reading
from pipelines.adapters.ledger.locks import lock_names
from pipelines.adapters.ledger.rows import ITEM, Row, chunks, new_row, read_item
from pipelines.adapters.ledger.schema import work
from pipelines.core.work import Item, NewItem, Reason, State

_TAKEN = frozenset({State.PENDING, State.SUPERSEDED, State.CLAIMED})
"""States that an effect is taken out of. Who still holds it keeps it: that is asked before."""

_Identity = tuple[str, str, str, str]

_VERSIONS = reading.VERSIONS_OF.order_by(work.c.id).with_for_update(key_share=True)
# In any order: where they have to come back in that of the rows, SQLite would be asked for each row by itself.
_INSERT = sa.insert(work).returning(work.c.id, work.c.queue, work.c.destination, work.c.name, work.c.version)


def intend(
    connection: sa.Connection, items: Sequence[NewItem], owner: str, now: datetime, until: datetime
) -> list[Item]:
    """Take these in hand, absent ones too, where nobody holds their name; returns all versions of their names.

    Of several versions of one name only the last counts, and once it is in hand the others wait no more.
    """
    if not items:
        return []
    last = {_identity(item)[:-1]: item for item in items}
    wanted = {_identity(item): item for item in last.values()}
    lock_names(connection, (one[:-1] for one in wanted))
    found = {item.id: item for item in _versions(connection, wanted)}
    held = {_identity(item)[:-1] for item in found.values() if _is_held(item, now)}
    free = {one: item for one, item in wanted.items() if one[:-1] not in held}
    there = {_identity(item): item for item in found.values()}
    names = {one[:-1] for one in free}
    lost = [item.id for one, item in there.items() if one[:-1] in names and item.state is State.CLAIMED]
    found |= _let_go(connection, lost, now)
    hand = {"state": State.CLAIMED, "owner": owner, "lease_until": until, "changed_at": now, "newest": True}
    taken = _insert(connection, {one: item for one, item in free.items() if one not in there}, hand, now)
    again = {there[one].id: item for one, item in free.items() if one in there and there[one].state in _TAKEN}
    # What is told of the partitions that they come from is not so any more.
    changes.note(connection, ((item.queue, item.partition) for item in there.values() if item.id in again))
    taken |= _take(connection, again, hand)
    in_hand = {_identity(item)[:-1] for item in taken.values()}
    older = [item for one, item in there.items() if one[:-1] in in_hand and item.id not in taken]
    _are_older(connection, [item.id for item in older])
    found |= _end(connection, [item.id for item in older if item.state is State.PENDING], now)
    return [*(found | taken).values()]


def annotate(connection: sa.Connection, details: Mapping[int, Mapping[str, Any]], now: datetime) -> None:
    """Replace what settled items keep."""
    if not details:
        return
    which = sa.and_(work.c.id == sa.bindparam("of"), work.c.state == State.SETTLED)
    statement = sa.update(work).where(which).values(detail=sa.bindparam("facts", type_=sa.JSON), changed_at=now)
    connection.execute(statement, [{"of": one, "facts": dict(detail)} for one, detail in sorted(details.items())])
    for chunk in chunks(sorted(details)):
        of = sa.select(work.c.queue, work.c.partition).where(work.c.id.in_(chunk))
        changes.note(connection, [(row.queue, row.partition) for row in connection.execute(of)])


def _identity(item: NewItem | Item | sa.Row[Any]) -> _Identity:
    return (item.queue, item.destination, item.name, item.version)


def _is_held(item: Item, now: datetime) -> bool:
    return item.state is State.CLAIMED and item.lease_until is not None and item.lease_until >= now


def _versions(connection: sa.Connection, identities: Iterable[_Identity]) -> Iterator[Item]:
    for (queue, destination), group in groupby(sorted(identities, key=itemgetter(0, 1)), itemgetter(0, 1)):
        names = sorted({name for _, _, name, _ in group})
        for chunk in chunks(names):
            asked = {"queue": queue, "destination": destination, "names": chunk}
            yield from (read_item(row) for row in connection.execute(_VERSIONS, asked))


def _let_go(connection: sa.Connection, ids: Sequence[int], now: datetime) -> dict[int, Item]:
    """Whoever held these ended without a word: they may have happened.

    A reason for which one was allowed once more would allow it again.
    """
    return _end(connection, ids, now, uncertain=True, lease_until=None, reason=Reason.CRASHED)


def _end(connection: sa.Connection, ids: Sequence[int], now: datetime, **values: Any) -> dict[int, Item]:
    """These will not be had any more, unless they are asked for again; that they changed is noted."""
    ended = _update(connection, ids, {"state": State.SUPERSEDED, "changed_at": now, **values})
    changes.note(connection, ((item.queue, item.partition) for item in ended.values()))
    return ended


def _insert(
    connection: sa.Connection, items: Mapping[_Identity, NewItem], hand: Mapping[str, Any], now: datetime
) -> dict[int, Item]:
    if not items:
        return {}
    rows = {one: {**new_row(item, now), **hand, "fence": 1} for one, item in items.items()}
    ids = {_identity(row): row.id for row in connection.execute(_INSERT, [*rows.values()])}
    return {ids[one]: _item(ids[one], row) for one, row in rows.items()}


def _item(one: int, row: Row) -> Item:
    facts = {name: value for name, value in row.items() if name != "newest"}
    return Item(**{**facts, "id": one})


def _take(connection: sa.Connection, items: Mapping[int, NewItem], hand: Mapping[str, Any]) -> dict[int, Item]:
    """What waits belongs to the one who asks for it now, and to that one's partition."""
    taken: dict[int, Item] = {}
    for parent, partition in {(item.parent, item.partition) for item in items.values()}:
        ids = [one for one, item in items.items() if (item.parent, item.partition) == (parent, partition)]
        place = {"parent": parent, "partition": partition}
        taken |= _update(connection, ids, {**hand, **place, "fence": work.c.fence + 1})
    return taken


def _update(connection: sa.Connection, ids: Sequence[int], values: Mapping[str, Any]) -> dict[int, Item]:
    changed: dict[int, Item] = {}
    for chunk in chunks(sorted(ids)):
        statement = sa.update(work).where(work.c.id.in_(chunk)).values(**values).returning(*ITEM)
        changed |= {item.id: item for item in map(read_item, connection.execute(statement))}
    return changed


def _are_older(connection: sa.Connection, ids: Sequence[int]) -> None:
    for chunk in chunks(sorted(ids)):
        connection.execute(sa.update(work).where(work.c.id.in_(chunk)).values(newest=False))
