"""Engines and migrations of the ledger's databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from pipelines.adapters.ledger.locks import lock_migration

HEAD = "0003"
"""The newest migration; a test compares it with the folder."""


def sqlite_engine(url: str) -> sa.Engine:
    """An engine for one SQLite file: writers queue up from their first statement, and a commit survives a power cut."""
    path = Path(sa.make_url(url).database or "")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = sa.create_engine(url, connect_args={"timeout": 60, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=60000"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A deferred transaction that reads first and writes later fails with "locked" instead of waiting.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with FileLock(path.with_suffix(".migrating")):
            migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate(engine: sa.Engine) -> None:
    """Bring the tables up to the newest form; costs one small query when they are."""
    with engine.begin() as connection:
        if _is_current(connection):
            return
        lock_migration(connection)
        if _is_current(connection):  # another process was faster
            return
        from alembic import command  # noqa: PLC0415 (needed once in the life of a ledger, slow to import)
        from alembic.config import Config  # noqa: PLC0415 (as above)

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def version_table(connection: sa.Connection) -> str:
    """Where the tables' version is kept: a server's database may hold Dagster's tables too, which have a name first."""
    return "alembic_version" if connection.dialect.name == "sqlite" else "ledger_version"


def _is_current(connection: sa.Connection) -> bool:
    name = version_table(connection)
    if not sa.inspect(connection).has_table(name):
        return False
    return connection.execute(sa.select(sa.column("version_num")).select_from(sa.table(name))).scalar() == HEAD
