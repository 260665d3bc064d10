"""Engines and migrations of the ledger's databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

HEAD = "0002"
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
        if sa.inspect(connection).has_table("alembic_version"):
            current = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            if current == HEAD:
                return
        from alembic import command  # noqa: PLC0415 (needed once in the life of a ledger, slow to import)
        from alembic.config import Config  # noqa: PLC0415 (as above)

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
