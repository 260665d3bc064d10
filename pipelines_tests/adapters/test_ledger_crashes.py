"""Several processes on one ledger, and processes that are killed while they write to it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing.synchronize import Barrier, Event
from typing import Any

import pytest
import sqlalchemy as sa

from pipelines.adapters.ledger import Family, Ledger
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.core.work import Item, NewItem, Outcome, State
from pipelines_tests.adapters.ledgers import open_at
from pipelines_tests.processes import child_process, processes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=10)
LATER = NOW + 2 * LEASE
BATCH = 1100  # more than one statement's worth
GROUP = 40


def batch(number: int) -> list[NewItem]:
    """Items that are told apart by their partition: a batch is there whole or not at all."""
    return [NewItem("in", f"{number}/{one}.json", "1", f"batch {number:04}", 1) for one in range(BATCH)]


def done(item: Item) -> Outcome:
    released = NewItem("out", f"{item.name}.parquet", "sha", item.partition, 1)
    return Outcome(item.id, item.fence, State.SETTLED, made_with="m", releases=(released,))


def claim(ledger: Ledger, now: datetime = NOW, limit: int = GROUP) -> list[Item]:
    return ledger.claim("in", owner=str(os.getpid()), limit=limit, now=now, lease=LEASE)


def assert_whole(url: str) -> None:
    """SQLite's file is one that whoever was killed wrote to by itself."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


# Several at once


def open_together(url: str, together: Barrier) -> None:
    together.wait()
    ledger = open_at(url)
    ledger.take_in([NewItem("in", str(os.getpid()), "1", "p", 1)], NOW)
    ledger.close()


def test_processes_that_open_a_new_ledger_together_all_find_its_tables(new_ledger_url: str) -> None:
    together = processes.Barrier(4)
    started = [child_process(open_together, new_ledger_url, together) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 4
    with closing(open_at(new_ledger_url)) as ledger:
        assert len(list(ledger.items("in"))) == 4


def wait(together: Barrier) -> None:
    together.wait()


def claim_until_empty(url: str) -> list[tuple[int, int]]:
    """Work through the queue; returns each item that counted, and how many claims it had had."""
    ledger = open_at(url)
    worked: list[tuple[int, int]] = []
    while items := claim(ledger, limit=7):
        counted = ledger.settle([done(item) for item in items], NOW)
        worked += [(item.id, item.fence) for item in items if item.id in counted]
    ledger.close()
    return worked


def test_processes_share_the_work_so_that_each_item_is_done_once(ledger_url: str, ledger: Ledger) -> None:
    """No lease ran out, so a second claim of an item would have been a claim of what another held."""
    ledger.take_in(batch(0), NOW)
    together = processes.Barrier(3)
    with processes.Pool(3, initializer=wait, initargs=(together,)) as pool:
        worked = [one for share in pool.map(claim_until_empty, [ledger_url] * 3, chunksize=1) for one in share]
    assert Counter(worked) == Counter({(item.id, 1): 1 for item in ledger.items("in")})
    assert {item.state for item in ledger.items("in")} == {State.SETTLED}
    assert len(list(ledger.items("out"))) == BATCH


# Killed between two statements, at each of them


def die_at_every_statement(url: str, action: Callable[[Ledger, list[Item]], Any]) -> None:
    """Fork once for each statement of the action; that fork kills itself before the statement is carried out.

    Raises:
        AssertionError: something of the action is there although it was not finished.
    """
    ledger = open_at(url)
    held = claim(ledger)
    before = contents(ledger)
    ledger.close()
    for step in count(1):
        child = os.fork()
        if not child:
            dying = open_at(url)
            die_at(dying, step)
            action(dying, held)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ledger = open_at(url)
        after = contents(ledger)
        ledger.close()
        if status == 0:
            assert after != before
            assert step > 5
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert after == before


def die_at(ledger: Ledger, step: int) -> None:
    assert isinstance(ledger, SqlLedger)
    steps = count(1)

    def die(*_: Any) -> None:
        if next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(ledger._engine, "before_cursor_execute", die)
    sa.event.listen(ledger._engine, "commit", die)


def contents(ledger: Ledger) -> list[Any]:
    return [*ledger.items("in"), *ledger.items("out"), ledger.unrecorded("in")]


def take_in_a_batch(ledger: Ledger, _held: list[Item]) -> None:
    ledger.take_in([NewItem("in", "0/0.json", "2", "batch 0000", 1), *batch(1)], NOW)


def settle_a_group(ledger: Ledger, held: list[Item]) -> None:
    ledger.settle([done(item) for item in held], NOW)


def restore_some(ledger: Ledger, _held: list[Item]) -> None:
    ledger.restore([Family(item, (NewItem("out", item.name, "1", "p", 1),)) for item in batch(2)[:GROUP]], NOW)


@pytest.mark.parametrize("action", [take_in_a_batch, settle_a_group, restore_some])
def test_a_kill_at_any_statement_leaves_nothing_of_the_transaction(
    ledger_url: str, ledger: Ledger, action: Callable[[Ledger, list[Item]], Any]
) -> None:
    ledger.take_in(batch(0)[:GROUP], NOW)
    process = child_process(die_at_every_statement, ledger_url, action)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert_whole(ledger_url)


# Killed at any moment


def take_in_batches(url: str, first: int, started: Event) -> None:
    ledger = open_at(url)
    for number in count(first):
        ledger.take_in(batch(number), NOW)
        started.set()


def settle_groups(url: str, round_: int, started: Event) -> None:
    ledger = open_at(url)
    while items := claim(ledger, NOW + round_ * 2 * LEASE):
        ledger.settle([done(item) for item in items], NOW)
        started.set()


def kill_while(target: Callable[[str, int, Event], None], url: str, number: int, moment: float) -> None:
    """Let it work until it has recorded something, and kill it ``moment`` seconds later."""
    started = processes.Event()
    process = child_process(target, url, number, started)
    process.start()
    assert started.wait(60)
    process.join(moment)
    process.kill()
    process.join()


@pytest.fixture
def moments() -> list[float]:
    """Moments to kill at; the seed is printed, so that a failure can be had again."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    return [random.Random(seed + number).uniform(0, 0.3) for number in range(3)]


def test_a_killed_intake_leaves_whole_batches(ledger_url: str, ledger: Ledger, moments: list[float]) -> None:
    for number, moment in enumerate(moments):
        kill_while(take_in_batches, ledger_url, number * 1000, moment)
        assert_whole(ledger_url)
        counts = {one.partition: one.items for one in ledger.backlog(NOW)}
        assert f"batch {number * 1000:04}" in counts
        assert set(counts.values()) == {BATCH}


def test_a_killed_run_leaves_each_item_settled_with_its_release_or_claimed_without(
    ledger_url: str, ledger: Ledger, moments: list[float]
) -> None:
    for number in range(4):
        ledger.take_in(batch(number), NOW)
    for round_, moment in enumerate(moments):
        kill_while(settle_groups, ledger_url, round_, moment)
        assert_whole(ledger_url)
        states = Counter(item.state for item in ledger.items("in"))
        released = Counter(item.parent for item in ledger.items("out"))
        assert set(released) == {item.id for item in ledger.items("in", states=[State.SETTLED])}
        assert set(released.values()) == {1}
        assert states[State.SETTLED] % GROUP == 0
        assert states[State.CLAIMED] in (0, GROUP)
    last = NOW + 10 * LEASE
    while items := claim(ledger, last):
        ledger.settle([done(item) for item in items], last)
    assert [(one.state, one.items) for one in ledger.standings("in")] == [(State.SETTLED, 4 * BATCH)]
    assert len(list(ledger.items("out"))) == 4 * BATCH
