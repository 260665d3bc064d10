"""Dagster's SQLite storages as they are, and faster.

They make an engine for each statement, which compiles it as if there had been none before, and read all migrations for
each run's file. Both are kept here: an engine without a pool holds no connection, and migrations don't change.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage

_KEPT = 32


def keep_engines(patch: pytest.MonkeyPatch) -> None:
    """From now on they are kept."""
    for storage in (sqlite_event_log, sqlite_run_storage, sqlite_schedule_storage):
        patch.setattr(storage, "create_engine", _engine)
    patch.setattr(ScriptDirectory, "from_config", lru_cache(_KEPT)(ScriptDirectory.from_config))


def _engine(url: str, *, poolclass: type[sa.NullPool], connect_args: Mapping[str, float] | None = None) -> sa.Engine:
    assert poolclass is sa.NullPool
    return _kept(url, tuple((connect_args or {}).items()))


@lru_cache(_KEPT)
def _kept(url: str, connect_args: tuple[tuple[str, float], ...]) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args=dict(connect_args))
