"""Many processes on one ledger: some of them are killed, and the server goes away under all of them."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.core.work import Item, NewItem, Outcome, State
from pipelines_tests.adapters.ledgers import open_at
from pipelines_tests.processes import child_process
from pipelines_tests.servers.postgres import Postgres

ITEMS = 2000
REWRITTEN = 100
"""The first so many of them are landed again and again, with other bytes."""

WORKERS = 4


def work(url: str, lease: timedelta, rewrites: int, folder: Path) -> None:
    """Work until nothing is left, and write down what counted; meanwhile files are seen again, or anew."""
    me = str(os.getpid())
    rng = random.Random(me)
    with closing(open_at(url)) as ledger, (folder / me).open("w") as counts:
        while ledger.next_due("in") is not None:
            items = ledger.claim("in", owner=me, limit=rng.randint(1, 40), now=utc_now(), lease=lease)
            if not items:
                time.sleep(0.05)
            counted = ledger.settle([done(item) for item in items], utc_now())
            counts.writelines(f"{item.id}\n" for item in items if item.id in counted)
            counts.flush()
            ledger.take_in([landed(number) for number in rng.sample(range(REWRITTEN, ITEMS), 10)], utc_now())
            if rewrites > 0:
                rewrites -= 1
                ledger.take_in([landed(number, me) for number in rng.sample(range(REWRITTEN), 20)], utc_now())


def landed(number: int, version: str = "1") -> NewItem:
    return NewItem("in", f"{number}.json", version, f"{number % 3}", 1)


def done(item: Item) -> Outcome:
    """It releases an output of its own, and asks for a table that all share."""
    released = NewItem("out", f"{item.name}.parquet", item.version, item.partition, 1)
    asked = NewItem("table", "all", f"{item.id} {item.fence}", "p", 0, joins=True)
    return Outcome(item.id, item.fence, State.SETTLED, made_with="m", releases=(released, asked))


WATCH = {
    "sqlite": (
        "CREATE TABLE watched (id INTEGER, what TEXT)",
        """CREATE TRIGGER watch_settled AFTER UPDATE ON work WHEN new.state = 'settled' AND old.state != 'settled'
        BEGIN INSERT INTO watched VALUES (new.id, 'settled'); END""",
        """CREATE TRIGGER watch_taken AFTER UPDATE ON work
        WHEN new.fence != old.fence AND old.state = 'claimed' AND new.changed_at <= old.lease_until
        BEGIN INSERT INTO watched VALUES (new.id, 'taken away'); END""",
    ),
    "postgresql": (
        "CREATE TABLE watched (id bigint, what text)",
        """CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF new.state = 'settled' AND old.state != 'settled' THEN INSERT INTO watched VALUES (new.id, 'settled'); END IF;
        IF new.fence != old.fence AND old.state = 'claimed' AND new.changed_at <= old.lease_until
        THEN INSERT INTO watched VALUES (new.id, 'taken away'); END IF; RETURN new; END $$""",
        "CREATE TRIGGER watch AFTER UPDATE ON work FOR EACH ROW EXECUTE FUNCTION watch()",
    ),
}
"""What the database itself sees, whoever is killed before telling it: settled, or taken from a living hand."""


@pytest.fixture
def watched_url(new_ledger_url: str) -> str:
    with closing(open_at(new_ledger_url)) as ledger:
        with engine(ledger).begin() as there:
            for statement in WATCH[there.dialect.name]:
                there.exec_driver_sql(statement)
        ledger.take_in([landed(number) for number in range(ITEMS)], utc_now())
    return new_ledger_url


def engine(ledger: Ledger) -> sa.Engine:
    assert isinstance(ledger, SqlLedger)
    return ledger._engine


def begin(url: str, lease: timedelta, folder: Path, rewrites: int = 0) -> BaseProcess:
    worker = child_process(work, url, lease, rewrites, folder)
    worker.start()
    return worker


def assert_done_once(url: str) -> None:
    with closing(open_at(url)) as ledger:
        with engine(ledger).connect() as there:
            seen = Counter((row[0], row[1]) for row in there.exec_driver_sql("SELECT id, what FROM watched"))
            query = "SELECT name, state FROM work WHERE newest AND queue = 'in'"
            newest = [(name, state) for name, state in there.exec_driver_sql(query)]
        assert {what for _, what in seen} == {"settled"}
        assert sorted(newest) == sorted((f"{number}.json", "settled") for number in range(ITEMS))
        once = {f"{number}.json" for number in range(REWRITTEN, ITEMS)}
        assert {seen[item.id, "settled"] for item in ledger.items("in") if item.name in once} == {1}
        released = Counter(item.name for item in ledger.items("out", states=[State.PENDING]))
        assert released == Counter({f"{number}.json.parquet": 1 for number in range(ITEMS)})
        assert [item.state for item in ledger.items("table", states=[State.PENDING])] == [State.PENDING]


def test_processes_of_which_some_are_killed_do_each_item_once(watched_url: str, tmp_path: Path) -> None:
    """No name is in two living hands, of each name one version is the newest, and one request stands for all."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    lease = timedelta(seconds=3)
    workers = [begin(watched_url, lease, tmp_path, rewrites=10) for _ in range(WORKERS)]
    for _ in range(4):
        counts = sum(path.stat().st_size for path in tmp_path.glob("[0-9]*"))
        gives_up = time.monotonic() + 5
        while sum(path.stat().st_size for path in tmp_path.glob("[0-9]*")) == counts and time.monotonic() < gives_up:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        victim = rng.randrange(WORKERS)
        workers[victim].kill()
        workers[victim].join()
        workers[victim] = begin(watched_url, lease, tmp_path, rewrites=3)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    assert_done_once(watched_url)


@pytest.fixture
def restarted(postgres: Postgres) -> Callable[[], None]:
    """The server goes away for a moment: as for an update, then as in a crash."""
    ways = iter([postgres.stop, postgres.kill] * 10)

    def restart() -> None:
        next(ways)()
        time.sleep(0.5)
        postgres.start()

    return restart


@pytest.mark.parametrize("new_ledger_url", ["postgresql"], indirect=True)
def test_a_server_that_is_restarted_under_load_costs_nothing(
    watched_url: str, tmp_path: Path, restarted: Callable[[], None]
) -> None:
    """Nothing is lost, nothing is settled twice, no run in its work fails, and each is told of all that it settled."""
    workers = [begin(watched_url, timedelta(minutes=10), tmp_path) for _ in range(WORKERS)]
    gives_up = time.monotonic() + 60
    while len(list(tmp_path.glob("[0-9]*"))) < WORKERS and time.monotonic() < gives_up:  # who opens it then is refused
        time.sleep(0.01)
    for _ in range(4):
        counts = len(told(tmp_path))
        gives_up = time.monotonic() + 10
        while len(told(tmp_path)) < min(counts + 50, ITEMS) and time.monotonic() < gives_up:
            time.sleep(0.01)
        restarted()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * WORKERS
    assert_done_once(watched_url)
    assert Counter(Counter(told(tmp_path)).values()) == Counter({1: ITEMS})
    with closing(open_at(watched_url)) as ledger:
        assert not any(item.uncertain for item in ledger.items("in"))


def told(folder: Path) -> list[int]:
    return [int(line) for path in folder.glob("[0-9]*") for line in path.read_text().splitlines() if line]
