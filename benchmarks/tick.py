"""One sensor's tick over a ledger that holds much that is done: what it costs must not depend on how much.

Here: the ledger, and the tick as a sensor makes it. Not here: how often it is run and compared.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import dagster as dg
import sqlalchemy as sa

from pipelines.adapters.drive import open_drive
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.connection import sqlite_engine
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.rows import new_row
from pipelines.adapters.ledger.schema import work
from pipelines.adapters.objects import open_objects
from pipelines.adapters.uploads import open_uploads
from pipelines.core.periods import hour_key
from pipelines.core.rhythms import Cadence
from pipelines.core.work import NewItem, Outcome, State
from pipelines.domains.mobile import feeds, intake
from pipelines.domains.residents import intake as sheets
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.environment import Environment
from pipelines.sensors import Feed, due_run

START = date(2025, 1, 1)
FRESH = 20
"""Files in the folders of the last hours, or sheets in a feed's: most of what a tick sees is known already."""

SHEETS = FEEDS["nsss"]
API = "sandbox://here-to-help"

_AT_ONCE = 10_000
_FILES_PER_HOUR = 100
_SHEETS_PER_DAY = 200


@dataclass(frozen=True, slots=True)
class Ticks:
    """The median of so many ticks: seconds of processor time, and by the clock."""

    settled: int
    cpu: float
    seconds: float


def fill(folder: Path, settled: int) -> None:
    """Make a ledger with so many settled files and their deliveries, and a few files that landed just now."""
    now = utc_now()
    engine = sqlite_engine(_ledger(folder))
    for start in range(0, settled, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, settled))
        rows = [row for number in numbers for row in _rows(number, now)]
        with engine.begin() as connection:
            connection.execute(sa.insert(work), rows)
    engine.dispose()
    hour = folder / "landing" / feeds.EVENTS.queue / f"{now:%Y/%m/%d/%H}"
    hour.mkdir(parents=True)
    for number in range(FRESH):
        (hour / f"{number}.json").write_bytes(b"{}")


def tick(folder: Path, settled: int, ticks: int, url: str = "") -> Ticks:
    """Take in what landed, at ``url`` or else in the folder, then plan; the first, which records it, does not count."""
    environment = Environment(home=folder, ledger=_ledger(folder))
    landing = open_objects(url or (folder / "landing").as_uri())
    feed = feeds.EVENTS
    cpu, seconds = list[float](), list[float]()
    with closing(open_ledger(environment.ledger)) as ledger, dg.DagsterInstance.ephemeral() as instance:
        uploads = open_uploads("list://", landing, ledger, cadence=Cadence(3, 0), quiet=timedelta(0))
        plan = Feed(feed.queue, "mobile_filter_events", dg.AssetKey.from_user_string(feed.queue))
        for _ in range(ticks + 1):
            begun, spent = time.perf_counter(), time.process_time()
            intake.take_in(feed, uploads, ledger, START, utc_now(), 20)
            due_run(plan, ledger, instance, environment, utc_now(), "sensor")
            cpu.append(time.process_time() - spent)
            seconds.append(time.perf_counter() - begun)
    return Ticks(settled, median(cpu[1:]), median(seconds[1:]))


def fill_sheets(folder: Path, settled: int) -> None:
    """Make a ledger with so many sheets of residents that were sent and are gone, and a few that are still there."""
    now = utc_now()
    queue = sheets_queue(SHEETS)
    engine = sqlite_engine(_ledger(folder))
    for start in range(0, settled, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, settled))
        with engine.begin() as connection:
            connection.execute(sa.insert(work), [_sheet(number, now) for number in numbers])
    engine.dispose()
    for feed in FEEDS:
        (folder / "drive" / feed / "inbound").mkdir(parents=True)
    for number in range(FRESH):
        (folder / "drive" / SHEETS.name / "inbound" / f"{number}.csv").write_text(str(number))
    with closing(open_ledger(_ledger(folder))) as ledger:
        _look(folder, ledger)
        held = ledger.claim(queue, owner="", limit=FRESH, now=utc_now(), lease=timedelta(1), destination=API)
        ledger.settle([Outcome(one.id, one.fence, State.SETTLED) for one in held], utc_now())


def tick_sheets(folder: Path, settled: int, ticks: int) -> Ticks:
    """Look for sheets of every feed, then plan for the one that has any."""
    environment = Environment(home=folder, ledger=_ledger(folder))
    plan = Feed(sheets_queue(SHEETS), "residents_send", dg.AssetKey.from_user_string(sheets_queue(SHEETS)))
    cpu, seconds = list[float](), list[float]()
    with closing(open_ledger(environment.ledger)) as ledger, dg.DagsterInstance.ephemeral() as instance:
        for _ in range(ticks + 1):
            begun, spent = time.perf_counter(), time.process_time()
            _look(folder, ledger)
            due_run(plan, ledger, instance, environment, utc_now(), "sensor")
            cpu.append(time.process_time() - spent)
            seconds.append(time.perf_counter() - begun)
    return Ticks(settled, median(cpu[1:]), median(seconds[1:]))


def _look(folder: Path, ledger: Ledger) -> None:
    drive = open_drive((folder / "drive").as_uri(), quiet=timedelta(0))
    taken = sheets.take_in(list(FEEDS.values()), drive, ledger, API, bytes(32), utc_now())
    if taken[SHEETS.name].seen != FRESH:
        raise ValueError("not all sheets were seen")


def _sheet(number: int, now: datetime) -> dict[str, object]:
    day = (date(2025, 1, 1) + timedelta(days=number // _SHEETS_PER_DAY)).isoformat()
    detail = {"place": f"{number:032x}", "seen": f"{number:x}-1-1", "day": day, "rows": 1, "results": {"sent": 1}}
    item = NewItem(
        sheets_queue(SHEETS), f"{number:032}", f"{number:064x}", day, 1_500, API, State.SETTLED, detail=detail
    )
    return new_row(item, now)


def _rows(number: int, now: datetime) -> list[dict[str, object]]:
    hour = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=number // _FILES_PER_HOUR)
    name, partition = f"{number:08}.json", hour_key(hour)
    detail = {"etag": name, "output": name, "sha256": "0" * 64, "read": 1, "written": 1, "rejected": {}}
    return [
        new_row(
            NewItem(queue, name, name, partition, 1_500, destination, State.SETTLED, detail=detail, settled_at=now), now
        )
        for queue, destination in ((feeds.EVENTS.queue, ""), (feeds.EVENTS.exports, "sandbox://aae"))
    ]


def _ledger(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"
