"""What the tests of receipts share: a ledger and a lake, with files that landed and objects made of them."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.objects import Objects, open_objects
from pipelines.core.receipts import RECEIPTS
from pipelines.core.work import Item, NewItem, Outcome, State
from pipelines.domains.aae.exports import PACKAGES, Export
from pipelines.domains.aae.receipts import write_day

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = "2026-03-01"
HOUR = "2026-03-01-11:00"
DESTINATION = "sandbox://aae"
LEASE = timedelta(minutes=10)


@dataclass
class Desk:
    """A ledger that is written to as filter and delivery do, and a lake."""

    folder: Path
    now: datetime = NOW
    name: str = "ledger"
    ledger: Ledger = field(init=False)
    lake: Objects = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = open_ledger(f"sqlite:///{self.folder / self.name}.db")
        self.lake = open_objects((self.folder / "lake").as_uri())

    def filter(
        self, name: str, *, content: str | None = "records", version: str = "1", hour: str = HOUR, of: Export = PACKAGES
    ) -> Item:
        """A landed file is settled; what is made of it is released, unless there is no content."""
        self.now += MINUTE
        detail = {"etag": version, "landed_at": self.now.isoformat()}
        self.ledger.take_in([NewItem(of.source, name, version, hour, 100, cause="landed", detail=detail)], self.now)
        (item,) = self.ledger.claim(of.source, owner="filter", limit=1, now=self.now, lease=LEASE)
        body, key = (content or "").encode(), f"{of.source}/{hour}/{name}"
        sha256 = hashlib.sha256(body).hexdigest()
        facts = {"etag": version, "output": key if content else None, "sha256": sha256, "mapping": "m1", "read": 3}
        released = {"key": key, "name": f"{name}.parquet", "content_type": "x", "mapping": "m1"}
        release = NewItem(
            of.queue, f"{name}.parquet", sha256, hour, len(body), destination=DESTINATION, detail=released, cause="run"
        )
        if content:
            self.lake.put(key, body)
        releases = (release,) if content else ()
        outcome = Outcome(item.id, item.fence, State.SETTLED, made_with="m1 1", detail=facts, releases=releases)
        self.ledger.settle([outcome], self.now)
        return item

    def end(self, state: State = State.SETTLED, *, of: Export = PACKAGES, **facts: Any) -> list[Item]:
        """Everything that waits for its delivery comes to a state."""
        self.now += MINUTE
        claimed = self.ledger.claim(
            of.queue, owner="delivery", limit=100, now=self.now, lease=LEASE, destination=DESTINATION
        )
        outcomes = [Outcome(one.id, one.fence, state, **facts) for one in claimed]
        self.ledger.settle(outcomes, self.now)
        return claimed

    def write(self, day: str = DAY) -> dict[str, Any]:
        """The receipts of a day."""
        return write_day(self.lake, self.ledger, day)

    def file(self, day: str = DAY) -> pq.ParquetFile:
        """The receipts of a day as they are stored."""
        return pq.ParquetFile(io.BytesIO(self.lake.get(f"{RECEIPTS}/date={day}/receipts.parquet")))

    def rows(self, day: str = DAY) -> list[dict[str, Any]]:
        """The receipts of a day."""
        rows: list[dict[str, Any]] = self.file(day).read().to_pylist()
        return rows
