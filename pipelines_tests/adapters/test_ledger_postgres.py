"""The ledger on PostgreSQL, beyond what every form does: what a tick costs, what a session is, who is let in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pipelines.adapters.ledger import Family, Span, open_ledger
from pipelines.adapters.ledger.postgres import _make_engine
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import NewItem, Outcome, Pause, Reason, State
from pipelines_tests.adapters.ledgers import EXPORTS, HOUR, LEASE, NOW, QUEUE, claim, end, new, release
from pipelines_tests.servers.postgres import PASSWORD, Postgres, password


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[SqlLedger]:
    with closing(SqlLedger.on_postgres(postgres_url, password())) as ledger:
        yield ledger


# Who is let in


def test_a_password_in_the_url_is_refused_and_not_repeated(postgres_url: str) -> None:
    for url in (postgres_url.replace("@", f":{PASSWORD}@"), f"{postgres_url}?password={PASSWORD}"):
        with pytest.raises(ValueError, match="no password") as raised:
            open_ledger(url)
        assert PASSWORD not in str(raised.value)


def test_a_wrong_password_is_said_at_once_and_not_repeated(postgres_url: str) -> None:
    with pytest.raises(ConnectionError, match="authentication failed") as raised:
        open_ledger(postgres_url, SecretStr("canary-of-another"))
    assert "canary" not in f"{raised.value} {raised.value.__cause__}"


def test_a_server_that_is_not_there_is_named(postgres_url: str) -> None:
    with pytest.raises(ConnectionError, match=r"the ledger at 127\.0\.0\.1:1/x: .*refused"):
        open_ledger("postgresql://me@127.0.0.1:1/x")


def test_far_servers_are_spoken_to_in_secret_unless_the_url_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def connect(*_: Any, **options: Any) -> None:
        asked.append(options)
        raise ZeroDivisionError

    monkeypatch.setattr("psycopg.connect", connect)
    full = "db.example/x?sslmode=verify-full&sslrootcert=system"
    for url in ("db.example", "/x?host=db.example", full, "127.0.0.1", "/x?host=/run/postgresql"):
        with pytest.raises(ZeroDivisionError):
            _make_engine(f"postgresql://{url}", None).connect()
    monkeypatch.setenv("PGSSLMODE", "verify-ca")
    with pytest.raises(ZeroDivisionError):
        _make_engine("postgresql://db.example", None).connect()
    assert [one.get("sslmode") for one in asked] == [*["require"] * 2, "verify-full", *[None] * 3]


# Sessions


def test_a_commit_survives_a_crash_of_a_server_that_would_not_care(ledger: SqlLedger, postgres: Postgres) -> None:
    with postgres.connect() as connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)
    for engine in (ledger._engine, ledger._transactions._reading):  # type: ignore[attr-defined]  # of this form
        with engine.connect() as there:
            assert there.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert there.exec_driver_sql("SHOW lock_timeout").scalar() == "1min"
            assert there.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "30s"
            there.rollback()
            assert there.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert there.exec_driver_sql("SHOW transaction_isolation").scalar() == "read committed"


def test_a_reader_does_not_wait_for_a_writer_who_stopped_in_the_middle(ledger: SqlLedger, postgres_url: str) -> None:
    ledger.take_in([new()], NOW)
    writer = _make_engine(postgres_url, password())
    with writer.connect() as connection:
        connection.exec_driver_sql("UPDATE work SET size = 9; INSERT INTO marks (name) VALUES ('one')")
        assert [one.items for one in ledger.backlog(NOW)] == [1]
        assert [item.size for item in ledger.items(QUEUE)] == [10]
        assert ledger.mark("one") is None
    writer.dispose()


def test_names_are_put_in_order_by_code_points_whatever_the_databases_language_is(ledger: SqlLedger) -> None:
    query = """SELECT attrelid::regclass::text || '.' || attname
        FROM pg_attribute JOIN pg_collation c ON c.oid = attcollation
        WHERE attrelid IN ('work'::regclass, 'changes'::regclass) AND collname = 'C' ORDER BY 1"""
    with ledger._engine.connect() as there:
        ordered = there.exec_driver_sql(query).scalars().all()
    assert ordered == [
        "changes.partition",
        "changes.queue",
        *(f"work.{name}" for name in ("destination", "name", "partition", "queue", "version")),
    ]
    names = ["B", "a", "É", "_", "~", "2026-03-01-11:00", "2026-03-01-11-00", "😀", "ﬀ"]
    ledger.take_in([new(name) for name in names], NOW)
    assert [item.name for item in ledger.items(QUEUE)] == sorted(names)


def test_the_ledger_may_share_a_database_with_dagsters_own_tables(postgres: Postgres) -> None:
    """Both number their versions; in one table each would take the other's number for its own."""
    url = postgres.fresh("shared")
    with postgres.connect("shared") as connection:
        connection.execute(
            "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('7e2f')"
        )
    for _ in range(2):
        with closing(open_ledger(url, password())) as ledger:
            assert ledger.queues() == []
    with postgres.connect("shared") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("7e2f",)]


# What a tick costs


@pytest.fixture(scope="module")
def busy(postgres: Postgres) -> Iterator[SqlLedger]:
    """Much that is settled and delivered, a little of everything that is open, and statistics of it."""
    days = [f"2026-02-{day:02}-00:00" for day in range(1, 29)]
    with closing(SqlLedger.on_postgres(postgres.fresh("busy"), password())) as ledger:
        ledger.take_in([new(f"{number}.json", partition=days[number % 28]) for number in range(4000)], NOW)
        claimed = claim(ledger, limit=4000)
        releases = {one.id: (release(name=one.name, partition=one.partition),) for one in claimed}
        ledger.settle([end(one, made_with="m1", releases=releases[one.id]) for one in claimed[:-2]], NOW)
        ledger.settle([end(one) for one in claim(ledger, EXPORTS, limit=3900)], NOW)
        with ledger._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as there:
            there.exec_driver_sql("VACUUM ANALYZE")
        yield ledger


def plans(ledger: SqlLedger, *calls: Any) -> list[str]:
    """The plan of every statement about work that these calls execute, a text each."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters[0] if isinstance(parameters, list) else parameters))

    sa.event.listen(ledger._engine, "before_cursor_execute", note)
    for call in calls:
        call()
    sa.event.remove(ledger._engine, "before_cursor_execute", note)
    with ledger._engine.connect() as there:
        return [
            "\n".join(there.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())
            for statement, parameters in seen
            if re.search(r"\b(work|changes)\b", statement)
        ]


def reads(plan: str) -> set[str]:
    """The indexes that are read, and "work" if all of the table is."""
    return set(re.findall(r"(?:Index (?:Only )?Scan|Bitmap Index Scan)[^\n]*? (?:using|on) (\w+)", plan)) | set(
        re.findall(r"Seq Scan on (work)", plan)
    )


OF_OPEN_WORK = {"work_open", "work_in_hand", "work_identity"}
"""What is open, and for each of these the versions of one name, however they are found."""


def test_a_tick_reads_open_work_alone(busy: SqlLedger) -> None:
    backlog, due = plans(busy, lambda: busy.backlog(NOW), lambda: busy.next_due(QUEUE))
    assert "work_open" in reads(backlog) & reads(due)
    assert reads(backlog) | reads(due) <= OF_OPEN_WORK


def test_a_claim_reads_open_work_alone(busy: SqlLedger) -> None:
    for span in (None, Span(HOUR, HOUR)):
        outrun, due, *_ = plans(busy, lambda span=span: claim(busy, EXPORTS, limit=3, span=span))
        for plan in (outrun, due):
            assert "work_open" in reads(plan)
            # By its key, too, for what each open release was made of: that may have been replaced.
            assert reads(plan) <= {*OF_OPEN_WORK, "pauses_pkey", "work_pkey"}


def test_what_is_unsettled_is_read_without_what_is_done(busy: SqlLedger) -> None:
    for call in (
        lambda: busy.standings(QUEUE, unsettled=True),
        lambda: list(busy.items(QUEUE, states=[State.DEAD])),
    ):
        (plan,) = plans(busy, call)
        # Either is small, and holds all that is unsettled or open.
        assert reads(plan) <= {"work_unsettled", "work_open"}


def test_what_is_known_by_its_place_or_version_is_read_without_what_is_not(busy: SqlLedger) -> None:
    busy.take_in([new("sheet", detail={"place": "p"})], NOW)
    (placed,) = plans(busy, lambda: busy.placed(QUEUE, ["p", "q"]))
    assert reads(placed) <= {"work_place"}
    (alike,) = plans(busy, lambda: busy.alike(QUEUE, ["1", "2"]))
    assert reads(alike) <= {"work_alike", "work_place"}  # either holds nothing else
    (named,) = plans(busy, lambda: busy.named(QUEUE, None, ["sheet"]))
    assert "work" not in reads(named)
    assert "work_identity" in reads(named)
    (orphans,) = plans(busy, lambda: busy.withdraw_orphans(EXPORTS, NOW))
    assert reads(orphans) <= {*OF_OPEN_WORK, "work_pkey"}


def test_no_write_and_no_look_at_single_things_reads_the_whole_table(busy: SqlLedger) -> None:
    held = claim(busy, EXPORTS, limit=2)
    busy.take_in([new("p.json")], NOW)
    (parent,) = claim(busy, limit=1)
    done = next(iter(busy.items(QUEUE, states=[State.SETTLED])))
    joining = NewItem(QUEUE, "1.json", "3", HOUR, 1, joins=True)
    everything = plans(
        busy,
        lambda: busy.take_in([new("0.json"), new("2.json"), new("1.json", version="2"), new("new.json")], NOW),
        lambda: busy.renew(held, NOW, LEASE),
        lambda: busy.settle([end(one, State.PENDING) for one in held], NOW),
        lambda: busy.settle([end(parent, made_with="m1", releases=(release(name="p.json"),))], NOW),
        lambda: busy.amend(done, {"again": 1}, [new("again.json")], NOW),
        lambda: busy.restore([Family(new("old.json"), (release(name="old.json"),))], NOW),
        lambda: busy.withhold(EXPORTS, HOUR, "3997.json", NOW),
        lambda: busy.reopen([parent.id], NOW, Reason.INTERNAL, {"remap": True}),
        lambda: busy.reopen_outdated(QUEUE, "m2", NOW),
        lambda: busy.take_in([joining], NOW),
        lambda: busy.take_in([joining], NOW),
        lambda: busy.recorded(QUEUE, {HOUR: 1}),
        busy.queues,
        lambda: busy.search("zzz.json"),
        lambda: busy.pause(Pause(QUEUE, NOW, NOW, "who", "why")),
        lambda: busy.set_mark("m", Mark(NOW)),
        lambda: busy.set_circuit("c", Circuit()),
    )
    assert len(everything) > 40
    assert [plan for plan in everything if "work" in reads(plan) and "~~" not in plan] == []


def test_paging_needs_no_sorting_of_all_that_is_left(busy: SqlLedger) -> None:
    for plan in plans(busy, lambda: list(busy.items(QUEUE)))[:3]:
        assert "work_partition" in reads(plan)
        assert not re.search(r"-> +Sort\b", plan)  # names that are alike are put in order by their numbers


def test_an_outcome_is_found_by_its_number(busy: SqlLedger) -> None:
    (held,) = claim(busy, EXPORTS, limit=1, now=NOW + timedelta(1))
    first, *_ = plans(busy, lambda: busy.settle([Outcome(held.id, held.fence, State.SETTLED)], NOW))
    assert reads(first) <= {"work_pkey", "work_in_hand", "work_open"}
