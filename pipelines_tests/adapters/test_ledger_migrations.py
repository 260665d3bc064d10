"""The ledger's tables: how they come to be, and that what is asked of them at every tick stays cheap."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipelines.adapters.ledger import Span, connection, open_ledger
from pipelines.adapters.ledger.schema import metadata
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import NewItem, Outcome, Reason, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=10)
HOUR = "2026-03-01-11:00"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = SqlLedger.on_sqlite(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


def test_the_migrations_make_the_tables_that_the_code_expects(ledger: SqlLedger) -> None:
    with ledger._engine.connect() as there:
        assert compare_metadata(MigrationContext.configure(there), metadata) == []


def test_the_migrations_make_the_indexes_word_for_word(ledger: SqlLedger) -> None:
    """The comparison of metadata does not look at which rows an index is over."""
    fresh = sa.create_engine("sqlite://")
    metadata.create_all(fresh)
    query = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    with fresh.connect() as expected, ledger._engine.connect() as there:
        assert dict(there.execute(query).all()) == dict(expected.execute(query).all())  # type: ignore[arg-type]  # rows are pairs
    fresh.dispose()


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(connection.__file__).parent / "migrations"))
    assert scripts.get_heads() == [connection.HEAD]


def test_a_ledger_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    """An older release can't know what the tables mean by then."""
    open_ledger(f"sqlite:///{tmp_path}/ledger.db").close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")
        file.commit()
    with pytest.raises(Exception, match="9999"):
        open_ledger(f"sqlite:///{tmp_path}/ledger.db")


def test_a_reader_does_not_wait_for_a_writer(ledger: SqlLedger, tmp_path: Path) -> None:
    """While a run records, the sensors and the UI must go on; a reader that took the lock would fail after a minute."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert ledger.backlog(NOW) == []
        assert ledger.mark("any") is None
        writer.execute("ROLLBACK")


def test_a_commit_survives_a_power_cut(ledger: SqlLedger) -> None:
    with ledger._engine.connect() as there:
        pragmas = {name: there.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def test_a_write_after_a_read_on_the_same_connection_is_still_one_transaction(ledger: SqlLedger) -> None:
    """Reading turns transactions off for a moment; a writer that gets the connection next needs them back."""
    ledger.backlog(NOW)
    with ledger._engine.begin() as there:
        there.exec_driver_sql("INSERT INTO marks (name) VALUES ('one')")
        there.rollback()
    assert ledger.mark("one") is None


# What a tick costs


@pytest.fixture
def busy(ledger: SqlLedger) -> SqlLedger:
    """Much that is settled and delivered, and a little of everything that is open."""
    ledger.take_in([item(f"{number}.json") for number in range(600)], NOW)
    claimed = ledger.claim("in", owner="run", limit=600, now=NOW, lease=LEASE)
    ledger.settle([settled(one.id, one.fence, one.name) for one in claimed[:-2]], NOW)
    sent = ledger.claim("out", owner="run", limit=590, now=NOW, lease=LEASE)
    ledger.settle([Outcome(one.id, one.fence, State.SETTLED) for one in sent], NOW)
    return ledger


def item(name: str, queue: str = "in", version: str = "1") -> NewItem:
    return NewItem(queue, name, version, HOUR, 1)


def settled(id_: int, fence: int, name: str) -> Outcome:
    return Outcome(id_, fence, State.SETTLED, made_with="m1", releases=(item(name, "out"),))


def plans(ledger: SqlLedger, *calls: Any) -> list[str]:
    """SQLite's plan of every statement that these calls execute, a text each."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    sa.event.listen(ledger._engine, "before_cursor_execute", note)
    for call in calls:
        call()
    sa.event.remove(ledger._engine, "before_cursor_execute", note)
    with ledger._engine.connect() as there:
        explained = [
            there.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            for statement, parameters in seen
            if not statement.startswith(("BEGIN", "EXPLAIN"))
        ]
    return ["\n".join(step.detail for step in steps) for steps in explained]


def scans(plan: str) -> list[str]:
    """The steps that read a whole table or index, but for the index over open work and for what a statement names."""
    steps = [step for step in plan.splitlines() if step.startswith("SCAN")]
    return [step for step in steps if not re.search("USING INDEX work_open|CONSTANT ROW|subquery", step)]


def test_the_backlog_reads_open_work_alone(busy: SqlLedger) -> None:
    (plan,) = plans(busy, lambda: busy.backlog(NOW + 2 * LEASE))
    assert "INDEX work_open" in plan
    assert scans(plan) == []


def test_when_a_queue_is_due_is_read_from_open_work_alone(busy: SqlLedger) -> None:
    (plan,) = plans(busy, lambda: busy.next_due("in"))
    assert "SEARCH work USING INDEX work_open (queue=?" in plan


def test_a_claim_reads_open_work_alone(busy: SqlLedger) -> None:
    for span in (None, Span(HOUR, HOUR)):
        outrun, due, _ = plans(
            busy, lambda span=span: busy.claim("in", owner="run", limit=9, now=NOW, lease=LEASE, span=span)
        )
        for plan in (outrun, due):
            assert "SEARCH work USING INDEX work_open (queue=? AND destination=?" in plan
            assert scans(plan) == []
        assert "USING INDEX work_in_hand" in due


def test_looking_for_outdated_outputs_does_not_read_what_is_delivered(busy: SqlLedger) -> None:
    find, *change = plans(busy, lambda: busy.reopen_outdated("in", "m2", NOW))
    assert "SEARCH work USING INTEGER PRIMARY KEY" in find
    assert "SCAN released USING INDEX work_open" in find
    assert [plan for plan in (find, *change) if scans(plan)] == []


def test_no_write_and_no_look_at_single_things_reads_the_whole_table(busy: SqlLedger) -> None:
    held = busy.claim("out", owner="run", limit=2, now=NOW, lease=LEASE)
    busy.take_in([item("p.json")], NOW)
    (parent,) = busy.claim("in", owner="run", limit=1, now=NOW, lease=LEASE)
    everything = plans(
        busy,
        lambda: busy.take_in([item("0.json"), item("2.json"), item("1.json", version="2"), item("new.json")], NOW),
        lambda: busy.renew(held, NOW, LEASE),
        lambda: busy.settle([Outcome(one.id, one.fence, State.PENDING) for one in held], NOW),
        lambda: busy.settle([settled(parent.id, parent.fence, "p.json")], NOW),
        lambda: busy.released(parent.id),
        lambda: busy.reopen([parent.id], NOW, Reason.INTERNAL),
        lambda: list(busy.items("in", Span(HOUR, HOUR))),
        lambda: busy.set_mark("m", Mark(NOW)),
        lambda: busy.mark("m"),
        lambda: busy.set_circuit("c", Circuit()),
        lambda: busy.circuit("c"),
    )
    assert len(everything) > 20
    assert [plan for plan in everything if scans(plan)] == []


def test_paging_needs_no_sorting(busy: SqlLedger) -> None:
    """Else each page of a long listing would sort all that is left of it."""
    for plan in plans(busy, lambda: list(busy.items("in"))):
        assert "work_partition" in plan
        assert "TEMP B-TREE" not in plan
