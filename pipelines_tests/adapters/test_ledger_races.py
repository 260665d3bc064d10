"""PostgreSQL lets many write at once: what they may not do side by side, and what becomes of a lost connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from pipelines.adapters.ledger import Family
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.core.work import Pause, State
from pipelines_tests.adapters.ledgers import (
    EXPORTS,
    MINUTE,
    NOW,
    QUEUE,
    claim,
    end,
    new,
    release,
    settle_first,
    states,
)
from pipelines_tests.servers.postgres import Postgres, password

Call = Callable[[], Any]


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[SqlLedger]:
    with closing(SqlLedger.on_postgres(postgres_url, password(), patience=20)) as ledger:
        yield ledger


@contextmanager
def stopped_before_its_commit(ledger: SqlLedger, first: Call) -> Iterator[Call]:
    """Another's call comes to the point where all is done but the commit; it ends when the yielded is called."""
    arrived, goes_on = threading.Event(), threading.Event()

    def wait(_: sa.Connection) -> None:
        if threading.current_thread() is other:
            arrived.set()
            assert goes_on.wait(30)

    def finish() -> None:
        goes_on.set()
        other.join()

    other = threading.Thread(target=first)
    sa.event.listen(ledger._engine, "commit", wait)
    other.start()
    assert arrived.wait(30)
    try:
        yield finish
    finally:
        finish()
        sa.event.remove(ledger._engine, "commit", wait)


def meanwhile(ledger: SqlLedger, first: Call, second: Call) -> bool:
    """Make the second call while the first is about to commit; returns whether it waited for that."""
    with stopped_before_its_commit(ledger, first) as finish:
        late = threading.Thread(target=second)
        late.start()
        late.join(0.5)
        waited = late.is_alive()
        finish()
        late.join()
    return waited


# What two do at once


def test_two_versions_that_are_recorded_at_once_are_one_after_the_other(ledger: SqlLedger) -> None:
    """Each alone would find no other version that has to make way."""
    one, other = new(version="1"), new(version="2")
    assert meanwhile(ledger, lambda: ledger.take_in([one], NOW), lambda: ledger.take_in([other], NOW))
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.PENDING}


@pytest.mark.parametrize("many", [1, 300])
def test_who_records_other_names_does_not_wait(ledger: SqlLedger, many: int) -> None:
    elsewhere = [release(name=f"{number}") for number in range(many)]
    assert not meanwhile(ledger, lambda: ledger.take_in(elsewhere, NOW), lambda: ledger.take_in([new()], NOW))
    assert not meanwhile(ledger, lambda: ledger.take_in([new("b")], NOW), lambda: ledger.take_in([new("c")], NOW))


def test_a_name_among_many_and_alone_is_one_name(ledger: SqlLedger) -> None:
    """Of many names all of the queue is locked, of few each by itself: they still have to meet."""
    many = [new(f"{number}") for number in range(300)]
    alone = new("7", version="2")
    assert meanwhile(ledger, lambda: ledger.take_in(many, NOW), lambda: ledger.take_in([alone], NOW))
    assert meanwhile(
        ledger,
        lambda: ledger.take_in([new("8", "2")], NOW),
        lambda: ledger.take_in([new(f"{n}", "3") for n in range(300)], NOW),
    )
    of_two = {name: state for name, state in states(ledger).items() if name[:2] in ("7 ", "8 ")}
    assert of_two == {
        "7 1": State.SUPERSEDED,
        "7 2": State.SUPERSEDED,
        "7 3": State.PENDING,
        "8 1": State.SUPERSEDED,
        "8 2": State.SUPERSEDED,
        "8 3": State.PENDING,
    }


def test_two_requests_that_are_made_at_once_are_one(ledger: SqlLedger) -> None:
    one, other = (new("table", version, joins=True) for version in "12")
    assert meanwhile(ledger, lambda: ledger.take_in([one], NOW), lambda: ledger.take_in([other], NOW))
    assert states(ledger) == {"table 1": State.PENDING}


def test_what_is_asked_of_one_that_waits_is_there_before_it_begins(ledger: SqlLedger) -> None:
    """Else it might begin without seeing what it was asked for, and nobody would ask again."""
    ledger.take_in([new("table", joins=True)], NOW)
    ledger.take_in([new("file", queue=EXPORTS)], NOW)
    (file,) = claim(ledger, EXPORTS)
    asked = end(file, releases=(new("table", "2", joins=True),))
    seen: list[State] = []

    def begin() -> None:
        assert [item.version for item in claim(ledger)] == ["1"]
        seen.extend(item.state for item in ledger.items(EXPORTS))

    assert meanwhile(ledger, lambda: ledger.settle([asked], NOW), begin)
    assert seen == [State.SETTLED]


def test_one_that_is_being_taken_answers_no_request_any_more(ledger: SqlLedger) -> None:
    ledger.take_in([new("table", joins=True)], NOW)
    request = new("table", "2", joins=True)
    assert meanwhile(ledger, lambda: claim(ledger), lambda: ledger.take_in([request], NOW))
    assert states(ledger) == {"table 1": State.CLAIMED, "table 2": State.PENDING}


def test_a_claim_passes_over_what_another_is_about_to_take(ledger: SqlLedger) -> None:
    ledger.take_in([new(name) for name in "abcd"], NOW)
    taken: list[str] = []
    second = lambda: taken.extend(item.name for item in claim(ledger, limit=2))  # noqa: E731
    assert not meanwhile(ledger, lambda: claim(ledger, limit=2), second)
    assert taken == ["c", "d"]


def test_a_claim_that_would_take_nothing_waits_until_that_is_certain(ledger: SqlLedger) -> None:
    """Else a run ends, though what it passed over is let go the next moment."""
    ledger.take_in([new()], NOW)
    taken: list[str] = []

    def give_up(connection: sa.Connection) -> None:
        connection.exec_driver_sql("SELECT 1 FROM work FOR UPDATE")

    second = lambda: taken.extend(item.name for item in claim(ledger))  # noqa: E731
    assert meanwhile(ledger, lambda: ledger._write(give_up), second)
    assert taken == ["a.json"]


def test_once_a_queue_is_paused_no_claim_is_under_way(ledger: SqlLedger) -> None:
    ledger.take_in([new()], NOW)
    pause = Pause(QUEUE, NOW, NOW + MINUTE, "who", "why")
    assert meanwhile(ledger, lambda: claim(ledger), lambda: ledger.pause(pause))
    assert states(ledger) == {"a.json 1": State.CLAIMED}


def test_a_release_that_is_being_claimed_keeps_its_file_from_being_made_anew(ledger: SqlLedger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    reopened: list[int] = []
    outdated = lambda: reopened.append(ledger.reopen_outdated(QUEUE, "m2", NOW))  # noqa: E731
    assert meanwhile(ledger, lambda: claim(ledger, EXPORTS), outdated)
    assert reopened == [0]
    assert states(ledger) == {"a.json 1": State.SETTLED}


def test_a_release_of_a_file_that_is_being_made_anew_is_not_claimed(ledger: SqlLedger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    taken: list[str] = []
    second = lambda: taken.extend(item.name for item in claim(ledger, EXPORTS))  # noqa: E731
    assert meanwhile(ledger, lambda: ledger.reopen_outdated(QUEUE, "m2", NOW), second)
    assert (taken, states(ledger)) == ([], {"a.json 1": State.PENDING})


def test_an_outcome_and_a_newer_version_at_once(ledger: SqlLedger) -> None:
    """Whichever comes first, what failed is not tried again beside what replaced it."""
    for name, first_is_outcome in (("a", True), ("b", False)):
        ledger.take_in([new(name)], NOW)
        (held,) = [item for item in claim(ledger) if item.name == name]
        calls: list[Call] = [
            lambda held=held: ledger.settle([end(held, State.PENDING, due_at=NOW)], NOW),  # type: ignore[misc]  # bound now
            lambda name=name: ledger.take_in([new(name, "2")], NOW),  # type: ignore[misc]  # bound now
        ]
        assert meanwhile(ledger, *(calls if first_is_outcome else reversed(calls)))
        assert [item.state for item in ledger.items(QUEUE) if item.name == name] == [State.SUPERSEDED, State.PENDING]


def test_nothing_is_recorded_while_a_lost_ledger_is_restored(ledger: SqlLedger) -> None:
    family = Family(new("z", state=State.SETTLED), ())
    assert meanwhile(ledger, lambda: ledger.restore([family], NOW), lambda: ledger.take_in([new()], NOW))


# What the database takes back


def test_two_who_wait_for_each_other_both_get_through(ledger: SqlLedger) -> None:
    ledger.take_in([new("a"), new("b")], NOW)
    both = threading.Barrier(2)
    tried: list[str] = []

    def cross(first: str, second: str) -> Call:
        def work(connection: sa.Connection) -> None:
            tried.append(first)
            connection.execute(sa.text("UPDATE work SET size = size + 1 WHERE name = :name"), {"name": first})
            if len(tried) <= 2:
                both.wait(30)
            connection.execute(sa.text("UPDATE work SET size = size + 1 WHERE name = :name"), {"name": second})

        return lambda: ledger._write(work)

    threads = [threading.Thread(target=cross(*names)) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tried) == 3
    assert [item.size for item in ledger.items(QUEUE)] == [12, 12]


def test_who_would_take_a_name_into_a_second_hand_looks_again(ledger: SqlLedger) -> None:
    """The index over what is in hand says so to whoever could not see it."""
    ledger.take_in([new(), new("b")], NOW)
    claim(ledger, limit=1)
    ledger.take_in([new(version="2")], NOW)
    tries = count(1)

    def force(connection: sa.Connection) -> int:
        tried = next(tries)
        if tried < 3:
            connection.exec_driver_sql("UPDATE work SET state = 'claimed' WHERE name = 'a.json'")
        return tried

    assert ledger._write(force) == 3


# Lost connections


def end_sessions(postgres: Postgres) -> None:
    with postgres.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'ledger'")


@pytest.mark.parametrize("committed", [True, False])
def test_a_commit_whose_answer_is_lost_is_looked_up(ledger: SqlLedger, postgres: Postgres, committed: bool) -> None:
    """It is neither done twice, nor taken for done, nor told as lost to who did it."""
    ledger.take_in([new(), new("b.json")], NOW)
    held = claim(ledger)
    times = count()

    def lose(connection: sa.Connection) -> None:
        if next(times) == 0:
            if committed:
                assert connection.connection.dbapi_connection is not None
                connection.connection.dbapi_connection.commit()
            end_sessions(postgres)
            if committed:  # the driver itself asks nothing where nothing is left to commit
                lost = psycopg.OperationalError("lost")
                raise sa.exc.OperationalError("COMMIT", None, lost, connection_invalidated=True)

    sa.event.listen(ledger._engine, "commit", lose)
    assert ledger.settle([end(item, releases=(release(),)) for item in held], NOW) == {item.id for item in held}
    assert next(times) == (1 if committed else 2)
    assert [(item.state, item.attempts) for item in ledger.items(QUEUE)] == [(State.SETTLED, 1)] * 2
    assert len(states(ledger, EXPORTS)) == 1


def test_a_commit_that_nobody_knows_of_is_an_error(
    ledger: SqlLedger, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-by took over that never heard of it: whether it was made there can't be told."""
    monkeypatch.setattr("pipelines.adapters.ledger.postgres._NUMBER", sa.text("SELECT CAST(10::bigint ^ 15 AS bigint)"))

    def lose(_: sa.Connection) -> None:
        end_sessions(postgres)

    sa.event.listen(ledger._engine, "commit", lose)
    with pytest.raises(ConnectionError, match="whether it was made is not known"):
        ledger.take_in([new()], NOW)


def test_a_session_that_ends_in_the_middle_costs_nothing(ledger: SqlLedger, postgres: Postgres) -> None:
    ledger.take_in([new()], NOW)
    times = count()

    def lose(*_: Any) -> None:
        if next(times) == 3:
            end_sessions(postgres)

    sa.event.listen(ledger._engine, "before_cursor_execute", lose)
    (item,) = claim(ledger)
    assert item.fence == 1
    end_sessions(postgres)
    assert states(ledger) == {"a.json 1": State.CLAIMED}


def test_a_server_that_stays_away_is_named_and_nothing_is_half_done(postgres_url: str, postgres: Postgres) -> None:
    with closing(SqlLedger.on_postgres(postgres_url, password(), patience=0.5)) as ledger:
        ledger.take_in([new()], NOW)
        (held,) = claim(ledger)
        postgres.stop()
        try:
            for call in (lambda: ledger.settle([end(held)], NOW), lambda: ledger.backlog(NOW)):
                with pytest.raises(ConnectionError, match=r"the ledger at 127\.0\.0\.1") as raised:
                    call()
                assert "canary" not in str(raised.value)
        finally:
            postgres.start()
        assert ledger.settle([end(held)], NOW) == {held.id}


def test_what_cannot_be_done_anew_is_not(ledger: SqlLedger, postgres: Postgres) -> None:
    """What a restoring reads, it reads once."""

    def families() -> Iterator[Family]:
        yield Family(new(state=State.SETTLED))
        end_sessions(postgres)

    with pytest.raises(ConnectionError, match="went away"):
        ledger.restore(families(), NOW)
    assert ledger.queues() == []
