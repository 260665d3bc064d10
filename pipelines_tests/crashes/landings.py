"""Landed files whose every record can be found again: who wrote what is kept beside the files, for the final count.

Each record carries a text of its own that passes the privacy filter, and planted texts that must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from pipelines.adapters.objects import Objects
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed
from pipelines.sandbox.uploads import packages, submissions
from pipelines_tests.domains.mobile.stages import HOUR, PAIRS

CANARY = "ZZ9Q-canary"
"""Stands where personal values may: no mapping knows it, and nothing but landing may hold it."""

GOOD, BAD, FUSSY = "good", "bad", "fussy"
"""What a record is: accepted, rejected for good, and rejected until the fix that ``Mended`` stands for."""

MARK = b"#"
"""What makes a record a fussy one: it stands before it."""


@dataclass(frozen=True, slots=True)
class Landing:
    """One version of a landed file: its key, the store's tag of it, and its records' texts by what they are."""

    key: str
    etag: str
    records: dict[str, list[str]]

    @property
    def feed(self) -> Feed:
        return next(feed for feed in (PACKAGES, EVENTS) if self.key.startswith(f"{feed.queue}/"))


@dataclass(frozen=True)
class Uploader:
    """Lands files, and keeps a list of them below a root; a name that is used again is a file rewritten."""

    root: Path
    landing: Objects

    @property
    def _list(self) -> Path:
        return self.root / "landed.jsonl"

    def land(self, feed: Feed, name: str, kinds: Sequence[str], hour: datetime = HOUR) -> None:
        """Write a file of records of these kinds; a file of events holds one."""
        version = sum(one.key.endswith(f"/{name}") for one in self.landed())
        texts = [f"device-{name}-{version}-{number}" for number in range(len(kinds))]
        make = _package if feed is PACKAGES else _submission
        content = b"\n".join(make(hour, *one) for one in zip(texts, kinds, range(len(kinds)), strict=True))
        key = f"{feed.queue}/{hour:%Y/%m/%d/%H}/{name}"
        records = {kind: [text for text, one in zip(texts, kinds, strict=True) if one == kind] for kind in set(kinds)}
        self._put(key, content + b"\n" * (feed is PACKAGES), records)

    def land_elsewhere(self, key: str, in_force: str) -> None:
        """Land the newest version of a file under another name, and take back all that came after the one in force."""
        folder, _, name = key.rpartition("/")
        moved, content = self.newest()[key], self.landing.get(key)
        versions = [one for one in self.landed() if one.key == key]
        after = versions[[one.etag for one in versions].index(in_force) + 1 :]
        kept = [one for one in self.landed() if one not in after]
        self._list.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in kept))
        self.landing.delete(key)
        self._put(f"{folder}/new-{name}", content, moved.records)

    def _put(self, key: str, content: bytes, records: dict[str, list[str]]) -> None:
        self.landing.put(key, content)
        with self._list.open("ab") as known:
            known.write(orjson.dumps(Landing(key, self.landing.head(key).etag, records)) + b"\n")

    def landed(self) -> list[Landing]:
        """Every version of every file, in the order of their landing."""
        if not self._list.exists():
            return []
        return [Landing(**orjson.loads(line)) for line in self._list.read_bytes().splitlines()]

    def newest(self) -> dict[str, Landing]:
        """The last version of each file, by its key."""
        return {one.key: one for one in self.landed()}


@cache
def _samples(feed: Feed, hour: datetime) -> list[bytes]:
    make = packages if feed is PACKAGES else submissions
    return [record.raw for record in make(7, 20, PAIRS, hour, bad_share=0)]


def _sample(feed: Feed, hour: datetime, text: str, number: int) -> Any:
    samples = _samples(feed, hour)
    record = orjson.loads(samples[(len(text) + number) % len(samples)])
    record["metadata"]["deviceModel"] = text
    record["metadata"]["deviceOwner"] = f"{CANARY}-owner"
    if number % 3 == 1:
        record["metadata"]["postalDistrict"] = f"{CANARY}-district"
    return record


def _package(hour: datetime, text: str, kind: str, number: int) -> bytes:
    record = _sample(PACKAGES, hour, text, number)
    if kind == BAD:
        record["metrics"]["totalBackgroundTasks"] = f"{CANARY}-number"
    return MARK * (kind == FUSSY) + orjson.dumps(record)


def _submission(hour: datetime, text: str, kind: str, number: int) -> bytes:
    record = _sample(EVENTS, hour, text, number)
    for event in record["events"]:
        event["payload"]["contactName"] = f"{CANARY}-contact"
        if kind == BAD:
            event["payload"]["riskScore"] = f"{CANARY}-score"
    return MARK * (kind == FUSSY) + orjson.dumps(record)
