"""Rows of the ledger's work, from and to the records of ``core.work``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipelines.adapters.ledger.schema import work
from pipelines.core.work import Item, NewItem, Outcome, State

Row = dict[str, Any]

NAME = ("queue", "destination", "name")
"""What the versions of one thing share."""
IDENTITY = (*NAME, "version")
ITEM = [column for column in work.c if column.name != "newest"]
"""The columns of an ``Item``."""


_Insert = sqlite.Insert | postgresql.Insert
_INSERTS: Mapping[str, Callable[[sa.Table], _Insert]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert(dialect: str, table: sa.Table) -> _Insert:
    """An insert that may be told what to do where the row exists; each database spells that in its own way."""
    return _INSERTS[dialect](table)


def read_item(row: sa.Row[Any]) -> Item:
    """The item of a row of the ``ITEM`` columns."""
    return Item(**{**row._mapping, "state": State(row.state)})  # noqa: SLF001 (SQLAlchemy's documented accessor)


def same_name(one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Two different versions of one name."""
    return sa.and_(*(one.c[column] == other.c[column] for column in NAME), one.c.id != other.c.id)


def unindexed(column: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """The column in a form that no index serves: left to itself SQLite chooses indexes that hold all that is done."""
    return column + ""


def chunks(values: Sequence[Any], size: int = 500) -> Iterator[Sequence[Any]]:
    """Parts that one statement can name: well under every database's limit of parameters."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def new_row(item: NewItem, now: datetime) -> Row:
    """The row of an item that was never seen before."""
    return {
        "queue": item.queue,
        "destination": item.destination,
        "name": item.name,
        "version": item.version,
        "newest": True,
        "partition": item.partition,
        "size": item.size,
        "state": item.state,
        "attempts": item.attempts,
        "due_at": now,
        "owner": item.owner,
        "fence": 0,
        "uncertain": item.uncertain,
        "status": item.status,
        "reason": item.reason,
        "parent": item.parent,
        "made_with": item.made_with,
        "cause": item.cause,
        "seen_at": item.seen_at or now,
        "changed_at": item.changed_at or now,
        "settled_at": item.settled_at,
        "detail": dict(item.detail),
    }


def settled_row(outcome: Outcome, state: State, now: datetime) -> Row:
    """What an outcome changes, where the row's ``state`` becomes the given one."""
    return {
        "of": outcome.id,
        "state": state,
        "tried": int(outcome.attempted),
        "due": outcome.due_at,
        "unsure": outcome.uncertain,
        "status": outcome.status,
        "reason": outcome.reason,
        "made": outcome.made_with,
        "facts": None if outcome.detail is None else dict(outcome.detail),
        "lease_until": None,
        "changed_at": now,
        "settled_at": now if state is State.SETTLED else None,
    }
