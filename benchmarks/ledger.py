"""Claims and receipts: items through the ledger's whole way, on each of its databases, by one process and by several.

Here: the databases, the work and its time. Not here: how often it is measured, and how it is compared.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import NewItem, Outcome, State
from pipelines_tests.servers.postgres import password, running_postgres

LEASE = timedelta(minutes=10)
_QUEUE = "aae/events"
_HOUR = "2025-06-05-04:00"


@dataclass(frozen=True, slots=True)
class Way:
    """So many processes, each of which claims and settles so many items at once."""

    processes: int
    at_once: int


WAYS: Mapping[str, Way] = {
    "one by one": Way(1, 1),
    "in groups": Way(1, 64),
    "in groups, four processes": Way(4, 64),
}
"""The first is what the others are compared with: a transaction each to claim an item and to record its receipt."""


@contextmanager
def databases(folder: Path) -> Iterator[Mapping[str, str]]:
    """Where each kind of database is; both keep a receipt through a power cut."""
    with running_postgres(durable=True) as server:
        yield {"sqlite": f"sqlite:///{folder / 'ledger.db'}", "postgresql": server.fresh("ledger")}


def measure(url: str, way: Way, items: int, number: int) -> float:
    """Items per second, from the first claim of any process to the last receipt; each ``number`` has its own items."""
    queue = f"{_QUEUE} {number}"
    with closing(open_ledger(url, password())) as ledger:
        for start in range(0, items, 1000):
            names = range(start, min(start + 1000, items))
            ledger.take_in([NewItem(queue, f"{name:07}.json", "1", _HOUR, 1_500) for name in names], utc_now())
    context = get_context("spawn")
    together = context.Barrier(way.processes + 1)
    workers = [context.Process(target=_work, args=(url, queue, way.at_once, together)) for _ in range(way.processes)]
    for worker in workers:
        worker.start()
    together.wait()
    begun = time.perf_counter()
    for worker in workers:
        worker.join()
    spent = time.perf_counter() - begun
    with closing(open_ledger(url, password())) as ledger:
        done = sum(one.items for one in ledger.standings(queue) if one.state is State.SETTLED)
    if done != items:
        raise RuntimeError(f"{done} of {items} items were settled")
    return items / spent


def _work(url: str, queue: str, at_once: int, together: Barrier) -> None:
    with closing(open_ledger(url, password())) as ledger:
        together.wait()
        while held := ledger.claim(queue, owner="benchmark", limit=at_once, now=utc_now(), lease=LEASE):
            receipts = [Outcome(item.id, item.fence, State.SETTLED, status=201, detail={"sent": 1}) for item in held]
            ledger.settle(receipts, utc_now())
