"""What Dagster was not told yet: partitions whose items changed, kept in the transaction that changed them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger.rows import insert
from pipelines.adapters.ledger.schema import changes

Place = tuple[str, str]
"""A queue and one of its partitions."""

_NOTED = "changes noted"


@cache
def _count(dialect: str) -> sa.Insert:
    statement = insert(dialect, changes)
    return statement.on_conflict_do_update(
        index_elements=["queue", "partition"], set_={"made": changes.c.made + statement.excluded.made}
    )


@contextmanager
def collected(connection: sa.Connection) -> Iterator[None]:
    """What is noted meanwhile is written at the end, in one order.

    All that change one partition write to one row: held until the commit, it would keep the others waiting for as long
    as the rest of the transaction takes; and written in another order each time, two could wait for each other.
    """
    noted: Counter[Place] = Counter()
    connection.info[_NOTED] = noted
    yield
    if noted:
        rows = [
            {"queue": place[0], "partition": place[1], "made": made, "told": 0} for place, made in sorted(noted.items())
        ]
        connection.execute(_count(connection.dialect.name), rows)


def note(connection: sa.Connection, places: Iterable[Place]) -> None:
    """Count a change for each time that a place is given."""
    connection.info[_NOTED].update(places)


def untold(queue: str) -> sa.Select[Any]:
    """The partitions of a queue that changed since Dagster was told, with the counts of their changes."""
    return sa.select(changes.c.partition, changes.c.made).where(
        changes.c.queue == queue, changes.c.told != changes.c.made
    )


def tell(connection: sa.Connection, queue: str, counts: Mapping[str, int]) -> None:
    """Dagster was told of these partitions up to these counts."""
    if not counts:
        return
    place = sa.and_(changes.c.queue == queue, changes.c.partition == sa.bindparam("of"))
    now_told = sa.update(changes).where(place, changes.c.made == sa.bindparam("upto")).values(told=changes.c.made)
    connection.execute(now_told, [{"of": partition, "upto": made} for partition, made in sorted(counts.items())])
