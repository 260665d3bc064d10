"""The ledger's tables. Every change here is a new file in ``migrations/versions``; a test holds the two together."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pipelines.core.work import OPEN, UNSETTLED, State

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware moment, stored as microseconds since 1970 UTC: one order and one precision on every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        """To microseconds; a moment without a zone is refused, since it could mean anything."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes moments with a time zone only")
        return (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        """To an aware moment in UTC."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


metadata = sa.MetaData()

work = sa.Table(
    "work",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("newest", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("partition", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("lease_until", Instant),
    sa.Column("uncertain", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("parent", sa.BigInteger, sa.ForeignKey("work.id")),
    sa.Column("made_with", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("settled_at", Instant),
    sa.Column("detail", sa.JSON(none_as_null=True), nullable=False),
    sa.UniqueConstraint("queue", "destination", "name", "version", name="work_identity"),
)


def is_open(table: sa.FromClause = work) -> sa.ColumnElement[bool]:
    """Rows that still ask for work.

    The states are written into the statement: an index over some of the rows is used only where the statement itself,
    not a parameter, says that it asks for those.
    """
    return table.c.state.in_(sa.bindparam("open", sorted(OPEN), expanding=True, literal_execute=True))


def is_unsettled() -> sa.ColumnElement[bool]:
    """Rows of what is neither done nor replaced; written out for the same reason."""
    return work.c.state.in_(sa.bindparam("unsettled", sorted(UNSETTLED), expanding=True, literal_execute=True))


def is_claimed(table: sa.FromClause = work) -> sa.ColumnElement[bool]:
    """Rows that a run holds, or held when it ended without a word; written out for the same reason."""
    return table.c.state == sa.bindparam("claimed", State.CLAIMED, literal_execute=True)


def place() -> sa.ColumnElement[str]:
    """Where an item was last seen, if it keeps that; written out for the same reason."""
    name = sa.bindparam("place", "place", sa.JSON.JSONStrIndexType(), literal_execute=True)
    kept: sa.ColumnElement[str] = work.c.detail[name].as_string()
    return kept


def _index(name: str, *columns: sa.ColumnElement[Any], where: sa.ColumnElement[bool], unique: bool = False) -> None:
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


# The open work is small however much is done: ticks and claims read these two indexes alone.
_index("work_open", work.c.queue, work.c.destination, work.c.due_at, where=is_open())
_index("work_in_hand", work.c.queue, work.c.destination, work.c.name, where=is_claimed(), unique=True)
# What is dead or aside may be much, yet far less than what is done: alarms and questions of a person read this one.
_index("work_unsettled", work.c.queue, work.c.partition, work.c.name, where=is_unsettled())
# What is known by where it is, or by what it holds: its name tells neither.
_index("work_place", work.c.queue, place(), where=place().is_not(None))
_index("work_alike", work.c.queue, work.c.version, where=place().is_not(None))
sa.Index("work_partition", work.c.queue, work.c.partition, work.c.name)
sa.Index("work_parent", work.c.parent)

marks = sa.Table(
    "marks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", Instant),
    sa.Column("position", sa.Text),
)

circuits = sa.Table(
    "circuits",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("opened_at", Instant),
    sa.Column("probe_at", Instant),
    sa.Column("probes", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("objects", sa.Integer, nullable=False, server_default="0"),
    sa.Column("last", sa.BigInteger),
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("partition", sa.Text, primary_key=True),
    sa.Column("made", sa.BigInteger, nullable=False),
    sa.Column("told", sa.BigInteger, nullable=False),
)
"""How many changes were made to the items of a partition, and up to which of these Dagster was told.

A row is never taken out: a count that began anew could be taken for one that was told long ago.
"""

_index("changes_untold", changes.c.queue, changes.c.partition, where=changes.c.told != changes.c.made)

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("queue", sa.Text, primary_key=True),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

journal = sa.Table(
    "journal",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("scope", sa.JSON, nullable=False),
    sa.Column("effect", sa.JSON(none_as_null=True)),
    sa.Column("ended_at", Instant),
)
