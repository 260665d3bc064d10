"""Landing and lake in a bucket: a tick beside many keys, and deliveries; the bucket is SeaweedFS's, on this machine.

Here: the server, what it holds, and listing all of it. Not here: ticks and deliveries, which are those of files.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks import delivery
from benchmarks.tick import FRESH
from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import open_objects
from pipelines.core.rhythms import Mark, Rhythm
from pipelines.domains.mobile import feeds
from pipelines_tests.servers.seaweedfs import BUCKET, entry, load, running_seaweedfs

FEED = feeds.EVENTS.queue
LAKE = f"s3://{BUCKET}/lake"

_PER_HOUR = 100
_OLD = timedelta(days=5)
"""Further back than any listing but the daily one looks."""


@dataclass(frozen=True, slots=True)
class Listed:
    """How many keys a listing of everything gave, and in how many seconds, by the clock."""

    keys: int
    seconds: float


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """A SeaweedFS, in use by this process and its children."""
    folder.mkdir()
    with running_seaweedfs(folder) as account, account.in_use():
        yield


def landing(keys: int) -> str:
    """The URL under which so many keys lie."""
    return f"s3://{BUCKET}/landing-{keys}"


def fill(folder: Path, keys: int) -> None:
    """Land so many files in the hours before the last days, and a few just now, in the server of a folder."""
    now = utc_now()
    load(folder, (_landed(keys, number, now) for number in range(keys - FRESH)))
    objects = open_objects(landing(keys))
    for number in range(FRESH):
        objects.put(f"{FEED}/{now:%Y/%m/%d/%H}/{number}.json", b"{}")


def _landed(keys: int, number: int, now: datetime) -> bytes:
    hour = now - _OLD - timedelta(hours=number // _PER_HOUR)
    return entry(BUCKET, f"landing-{keys}/{FEED}/{hour:%Y/%m/%d/%H}/{number}.json", b"{}", int(now.timestamp()))


def begin(folder: Path) -> None:
    """Make a ledger by which everything has just been listed, as it is once a day: what follows are other ticks."""
    folder.mkdir()
    now = utc_now()
    with closing(open_ledger(f"sqlite:///{folder / 'ledger.db'}")) as ledger:
        for rhythm in Rhythm:
            ledger.set_mark(f"uploads/{rhythm}/{FEED}", Mark(now))


def list_all(keys: int) -> Listed:
    """The naive way to find what is new: list everything, and compare."""
    begun = time.perf_counter()
    found = sum(1 for _ in open_objects(landing(keys)).list(f"{FEED}/"))
    return Listed(found, time.perf_counter() - begun)


def deliver_again(released: Path, folder: Path, endpoint: Endpoint, url: str) -> delivery.Sent:
    """Deliver what was released, by a copy of its ledger: it is made once for all rounds."""
    folder.mkdir()
    for part in released.glob("ledger.db*"):
        shutil.copy(part, folder)
    return delivery.deliver(folder, endpoint, url)
