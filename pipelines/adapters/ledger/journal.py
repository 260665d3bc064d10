"""The journal: what persons had done, by whose decision and why, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger.schema import journal
from pipelines.core.work import Entry


def begin(connection: sa.Connection, facts: Mapping[str, Any]) -> int:
    """Note what is about to be done; returns the entry's id."""
    entry: int = connection.execute(sa.insert(journal).values(**facts).returning(journal.c.id)).scalar_one()
    return entry


def finish(connection: sa.Connection, entry: int, effect: Mapping[str, Any], now: datetime) -> None:
    """Note what came of it, unless that is noted already."""
    unfinished = sa.and_(journal.c.id == entry, journal.c.effect.is_(None))
    connection.execute(sa.update(journal).where(unfinished).values(effect=dict(effect), ended_at=now))


def last(limit: int) -> sa.Select[Any]:
    """The last entries, the newest first."""
    return sa.select(journal).order_by(journal.c.id.desc()).limit(limit)


def read_entry(row: sa.Row[Any]) -> Entry:
    """The entry of a row."""
    return Entry(**row._mapping)  # noqa: SLF001 (SQLAlchemy's documented accessor)
