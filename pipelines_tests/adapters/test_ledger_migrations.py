"""The ledger's tables: how they come to be, and that what is asked of them at every tick stays cheap."""

from __future__ import annotations

import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipelines.adapters.ledger import Family, Ledger, Span, connection
from pipelines.adapters.ledger.connection import version_table
from pipelines.adapters.ledger.postgres import _make_engine
from pipelines.adapters.ledger.schema import EPOCH, metadata
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import NewItem, Outcome, Pause, Reason, State
from pipelines_tests.adapters.ledgers import open_at
from pipelines_tests.servers.postgres import Postgres, password

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=10)
HOUR = "2026-03-01-11:00"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    ledger = SqlLedger.on_sqlite(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename != :version",
}


def indexes(there: sa.Connection) -> dict[str, str]:
    query = sa.text(INDEXES[there.dialect.name])
    values = {"version": version_table(there)} if there.dialect.name == "postgresql" else {}
    return dict(there.execute(query, values).all())  # type: ignore[arg-type]  # rows are pairs


def assert_as_the_code_expects(ledger: Ledger, fresh: sa.Engine) -> None:
    """The comparison of metadata does not look at which rows an index is over; so that is compared word for word."""
    assert isinstance(ledger, SqlLedger)
    metadata.create_all(fresh)
    with fresh.connect() as expected, ledger._engine.connect() as there:
        options = {"version_table": version_table(there)}
        with warnings.catch_warnings():
            # Of SQLite these are left out here; they are compared below, as all others are.
            warnings.filterwarnings("ignore", ".*expression-based index")
            assert compare_metadata(MigrationContext.configure(there, opts=options), metadata) == []
        assert indexes(there) == indexes(expected)
    fresh.dispose()


@pytest.fixture
def fresh(request: pytest.FixtureRequest, new_ledger_url: str) -> sa.Engine:
    """Another empty database of the same kind."""
    if new_ledger_url.startswith("sqlite"):
        return sa.create_engine("sqlite://")
    server: Postgres = request.getfixturevalue("postgres")
    return engine_of(server.fresh("another"))


def engine_of(url: str) -> sa.Engine:
    return sa.create_engine(url) if url.startswith("sqlite") else _make_engine(url, password())


def test_the_migrations_make_the_tables_and_indexes_that_the_code_expects(
    new_ledger_url: str, fresh: sa.Engine
) -> None:
    with closing(open_at(new_ledger_url)) as ledger:
        assert_as_the_code_expects(ledger, fresh)


def test_head_is_the_newest_migration() -> None:
    scripts = ScriptDirectory(str(Path(connection.__file__).parent / "migrations"))
    assert scripts.get_heads() == [connection.HEAD]


def test_a_ledger_of_a_newer_release_is_left_alone(new_ledger_url: str) -> None:
    """An older release can't know what the tables mean by then."""
    open_at(new_ledger_url).close()
    engine = engine_of(new_ledger_url)
    with engine.begin() as there:
        there.exec_driver_sql(f"UPDATE {version_table(there)} SET version_num = '9999'")
    engine.dispose()
    with pytest.raises(Exception, match="9999"):
        open_at(new_ledger_url)


def made_by_the_first_release(url: str) -> None:
    """Tables of the first migration: a file whose output waits, one that is dead, a mark and an open circuit."""
    moment = (NOW - EPOCH) // timedelta(microseconds=1)
    row: dict[str, Any] = {"queue": "in", "destination": "", "version": "1", "partition": HOUR, "size": 1}
    row |= {"attempts": 1, "owner": "run", "fence": 1, "uncertain": False, "made_with": "m1", "cause": "tick"}
    row |= {"due_at": moment, "seen_at": moment, "changed_at": moment, "settled_at": None, "detail": {}}
    row |= {"newest": True, "reason": None, "parent": None}
    rows = [
        row | {"name": "a.json", "state": "settled", "settled_at": moment, "detail": {"rows": 3}},
        row | {"name": "a.parquet", "state": "pending", "queue": "out", "parent": 1},
        row | {"name": "b.json", "state": "dead", "reason": "refused"},
    ]
    work = sa.table("work", *(sa.column(name, sa.JSON if name == "detail" else None) for name in rows[0]))
    engine = engine_of(url)
    with engine.begin() as there:
        config = Config()
        config.set_main_option("script_location", str(Path(connection.__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = there
        command.upgrade(config, "0001")
        for one in rows:  # numbered as they come, by the database
            there.execute(work.insert(), one)
        there.exec_driver_sql("INSERT INTO marks VALUES ('recent', NULL, 'key')")
        there.exec_driver_sql(f"INSERT INTO circuits VALUES ('out', 4, {moment}, {moment}, 2, 'not allowed')")
    engine.dispose()


def test_a_ledger_of_the_first_release_goes_on_with_what_it_holds(new_ledger_url: str, fresh: sa.Engine) -> None:
    made_by_the_first_release(new_ledger_url)
    with closing(open_at(new_ledger_url)) as ledger:
        assert_as_the_code_expects(ledger, fresh)
        first, second = ledger.items("in")
        assert (first.state, first.detail, first.settled_at) == (State.SETTLED, {"rows": 3}, NOW)
        assert second.reason == "refused"
        assert ledger.circuit("out") == Circuit(4, NOW, NOW, 2, Reason.NOT_ALLOWED)
        assert ledger.mark("recent") == Mark(None, "key")
        assert [one.state for one in ledger.standings("in", unsettled=True)] == [State.DEAD]
        (waiting,) = ledger.claim("out", owner="run", limit=9, now=NOW, lease=LEASE)
        ledger.settle([Outcome(waiting.id, waiting.fence, State.SETTLED)], NOW)
        assert ledger.unrecorded("out") == {HOUR: 1}
        assert (ledger.unrecorded("in"), ledger.journal(), ledger.paused("in", NOW)) == ({}, [], None)
        ledger.take_in([item("c.json")], NOW)
        assert len(list(ledger.items("in"))) == 3


def test_a_reader_does_not_wait_for_a_writer(ledger: SqlLedger, tmp_path: Path) -> None:
    """While a run records, the sensors and the UI must go on; a reader that took the lock would fail after a minute."""
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert ledger.backlog(NOW) == []
        assert ledger.mark("any") is None
        assert ledger.queues() == []
        assert ledger.journal() == []
        assert ledger.paused("any", NOW) is None
        assert ledger.unrecorded("any") == {}
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
        outrun, due, *_ = plans(
            busy, lambda span=span: busy.claim("in", owner="run", limit=9, now=NOW, lease=LEASE, span=span)
        )
        for plan in (outrun, due):
            assert "SEARCH work USING INDEX work_open (queue=? AND destination=?" in plan
            assert scans(plan) == []
        assert "USING INDEX work_in_hand" in due
        assert "SEARCH pauses" in due


def test_what_is_known_by_its_place_or_version_is_read_without_what_is_not(busy: SqlLedger) -> None:
    busy.take_in([NewItem("in", "sheet", "1", HOUR, 1, detail={"place": "p"})], NOW)
    (placed,) = plans(busy, lambda: busy.placed("in", ["p", "q"]))
    assert re.search(r"SEARCH work USING INDEX work_place \(queue=\? AND <expr>=\?\)", placed)
    (alike,) = plans(busy, lambda: busy.alike("in", ["1", "2"]))
    assert "SEARCH work USING INDEX work_alike (queue=? AND version=?)" in alike
    (named,) = plans(busy, lambda: busy.named("in", None, ["sheet"]))
    assert "SEARCH work USING INDEX sqlite_autoindex_work_1 (queue=? AND destination=? AND name=?)" in named
    assert "SCAN work" not in placed + alike + named


def test_orphans_are_looked_for_in_open_work_alone(busy: SqlLedger) -> None:
    (find,) = plans(busy, lambda: busy.withdraw_orphans("out", NOW))
    assert "SEARCH work USING INDEX work_open (queue=?" in find


def test_looking_for_outdated_outputs_does_not_read_what_is_delivered(busy: SqlLedger) -> None:
    find, *change = plans(busy, lambda: busy.reopen_outdated("in", "m2", NOW))
    assert "SEARCH work USING INTEGER PRIMARY KEY" in find
    assert "SCAN released USING INDEX work_open" in find
    assert [plan for plan in (find, *change) if scans(plan)] == []


def test_no_write_and_no_look_at_single_things_reads_the_whole_table(busy: SqlLedger) -> None:
    held = busy.claim("out", owner="run", limit=2, now=NOW, lease=LEASE)
    busy.take_in([item("p.json")], NOW)
    (parent,) = busy.claim("in", owner="run", limit=1, now=NOW, lease=LEASE)
    done = next(iter(busy.items("in", states=[State.SETTLED])))
    joining = NewItem("in", "1.json", "3", HOUR, 1, joins=True)
    everything = plans(
        busy,
        lambda: busy.take_in([item("0.json"), item("2.json"), item("1.json", version="2"), item("new.json")], NOW),
        lambda: busy.renew(held, NOW, LEASE),
        lambda: busy.settle([Outcome(one.id, one.fence, State.PENDING) for one in held], NOW),
        lambda: busy.settle([settled(parent.id, parent.fence, "p.json")], NOW),
        lambda: busy.amend(done, {"again": 1}, [item("again.json")], NOW),
        lambda: busy.restore([Family(item("old.json"), (item("old.json", "out"),))], NOW),
        lambda: busy.withhold("out", HOUR, "597.json", NOW),
        lambda: busy.reopen([parent.id], NOW, Reason.INTERNAL, {"remap": True}),
        lambda: busy.take_in([joining], NOW),
        lambda: busy.take_in([joining], NOW),
        lambda: busy.unrecorded("in"),
        lambda: busy.recorded("in", {HOUR: 1}),
        lambda: busy.pause(Pause("in", NOW, NOW, "who", "why")),
        lambda: busy.resume("in"),
        lambda: busy.paused("in", NOW),
        lambda: list(busy.items("in", Span(HOUR, HOUR))),
        lambda: busy.versions("in", "1.json"),
        lambda: busy.withdraw_orphans("out", NOW),
        lambda: busy.set_mark("m", Mark(NOW)),
        lambda: busy.mark("m"),
        lambda: busy.set_circuit("c", Circuit()),
        lambda: busy.circuit("c"),
    )
    assert len(everything) > 40
    assert [plan for plan in everything if scans(plan)] == []


def test_what_is_unsettled_is_read_without_what_is_done(busy: SqlLedger) -> None:
    for call in (
        lambda: busy.standings("in", unsettled=True),
        lambda: busy.standings("in", Span(HOUR, HOUR), "", unsettled=True),
        lambda: list(busy.items("in", states=[State.DEAD, State.PENDING])),
        lambda: list(busy.items("in", Span(HOUR, HOUR), [State.DEAD])),
    ):
        (plan,) = plans(busy, call)
        assert "SEARCH work USING INDEX work_unsettled (queue=?" in plan
        assert scans(plan) == []


def test_the_queues_are_found_by_steps_as_many_as_there_are(busy: SqlLedger) -> None:
    """A step for each queue, and one that finds no more: each leads past all that a queue holds."""
    (plan,) = plans(busy, busy.queues)
    assert busy.queues() == ["in", "out"]
    steps = [step for step in plan.splitlines() if "work" in step]
    assert all(re.search(r"SEARCH work USING COVERING INDEX \w+( \(queue>\?\))?$", step) for step in steps)


def test_what_is_not_told_is_read_without_what_is(busy: SqlLedger) -> None:
    (plan,) = plans(busy, lambda: busy.unrecorded("in"))
    assert "USING INDEX changes_untold (queue=?)" in plan


def test_paging_needs_no_sorting(busy: SqlLedger) -> None:
    """Else each page of a long listing would sort all that is left of it."""
    for plan in plans(busy, lambda: list(busy.items("in"))):
        assert "work_partition" in plan
        assert "TEMP B-TREE" not in plan
