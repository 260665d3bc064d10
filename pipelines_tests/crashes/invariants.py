"""What must hold once everything is settled, whatever happened on the way: nothing lost, twice, half or leaked."""

from __future__ import annotations

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.ledger import Span
from pipelines.core.periods import hive_path, hour_of_path
from pipelines.core.work import OPEN, Item, State
from pipelines.domains.aae import receipts
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.carried import MOVED
from pipelines.domains.mobile.feeds import EVENTS, FEEDS, PACKAGES, Feed
from pipelines.domains.mobile.line_numbers import LineNumbers
from pipelines.domains.mobile.quarantine import read_rejects
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.landings import BAD, FUSSY, GOOD, MARK
from pipelines_tests.crashes.world import EXPORTS, World

LEAKED = b"ZZ9Q"

_MAY_HOLD_IT = ("landing", "drive", "sandbox/here-to-help")
"""What comes from outside lies there, and what goes to the API of residents."""


@dataclass
class Verdict:
    """All that is wrong in a world that should be settled.

    Attributes:
        world: the deployment.
        aae: its other side.
        contents: how many contents a name may have had at the other side, beside one for each time it was landed.
        dead: how many items may be dead.
        fixed: whether the fix is in and what was fussed about has been processed again.
    """

    world: World
    aae: Aae
    contents: int = 0
    dead: int = 0
    fixed: bool = False
    wrong: list[str] = field(default_factory=list)

    def judge(self) -> list[str]:
        """Everything that is wrong, in words."""
        self._judge_ledger()
        self._judge_records()
        self._judge_deliveries()
        self._judge_table()
        self._judge_receipts()
        self.wrong += leaks(self.world.place.root) + leaks(self.aae.folder)
        return self.wrong

    def _check(self, holds: bool, words: str) -> None:
        if not holds:
            self.wrong.append(words)

    @cached_property
    def _settled(self) -> dict[str, Item]:
        """The landed files in force, by their keys."""
        items = (item for feed in FEEDS.values() for item in self.world.ledger.items(feed.queue))
        return {item.name: item for item in items if item.state is State.SETTLED}

    # The ledger

    def _judge_ledger(self) -> None:
        dead = 0
        for queue in self.world.ledger.queues():
            for one in self.world.ledger.standings(queue):
                self._check(one.state not in OPEN, f"{queue}: {one.items} {one.state} ({one.reason})")
                dead += one.items * (one.state is State.DEAD)
        self._check(dead <= self.dead, f"{dead} dead: {self.world.standing()}")
        for item in self._settled.values():
            read, rejected = item.detail["read"], sum(item.detail["rejected"].values())
            self._check(read == item.detail["written"] + rejected, f"{item.name}: counts disagree")

    # Records

    def _judge_records(self) -> None:
        """Each record of the newest version of a file is in exactly one place; nothing else is anywhere."""
        lake = Counter(text for feed in FEEDS.values() for text in self._in_lake(feed))
        apart = Counter(self._in_quarantine())
        newest = self.world.uploader.newest()
        for landing in newest.values():
            for kind, texts in landing.records.items():
                for text in texts:
                    found = (lake.pop(text, 0), apart.pop(text, 0))
                    right = {(0, 1)} if kind == BAD else {(1, 0)} if kind == GOOD else {(1, 0), (0, 1)}
                    if kind == FUSSY and self.fixed:
                        right = {(1, 0)}
                    self._check(found in right, f"{kind} {text} is {found[0]} times in the lake, {found[1]} apart")
        # A record that was processed again, in a file of its own, stays when its first file is rewritten.
        older = {
            text
            for landing in self.world.uploader.landed()
            if landing != newest[landing.key]
            for kind, texts in landing.records.items()
            if kind != GOOD
            for text in texts
        }
        for text, times in (lake + apart).items():
            self._check(text in older and times == 1, f"{text} is somewhere, {times} times")
        read = sum(item.detail["read"] for item in self._settled.values())
        kept = sum(len(texts) for landing in newest.values() for texts in landing.records.values())
        moved = (lake + apart).total()
        self._check(read == kept + moved, f"{read} records counted, {kept} + {moved} are there")

    def _in_lake(self, feed: Feed) -> Iterator[str]:
        outputs = {item.detail["output"] for item in self._settled.values() if item.queue == feed.queue}
        for info in self.world.lake.list(f"{feed.queue}/"):
            self._check(info.key in outputs, f"{info.key} is in the lake and nobody knows it")
            yield from texts_of(self.world.lake.get(info.key), feed)

    def _in_quarantine(self) -> Iterator[str]:
        moved = {
            feeds.quarantine_key(item): LineNumbers.read(item.detail.get(MOVED, ())) for item in self._settled.values()
        }
        for info in self.world.landing.list("quarantine/"):
            for reject in read_rejects(self.world.landing.stream(info.key)):
                if reject.line not in moved.get(info.key, ()):
                    yield orjson.loads(reject.raw.removeprefix(MARK))["metadata"]["deviceModel"]

    # Deliveries

    def _judge_deliveries(self) -> None:
        """The other side has every output under its name, byte for byte, and no name had more contents than it may."""
        there = {path.name: path for path in (self.aae.folder / "objects").iterdir()}
        current: Counter[str] = Counter()
        names = set()
        for item in self._settled.values():
            if item.detail["output"] is None:
                continue
            name = feeds.export_name(item)
            names.add(name)
            body = self.world.lake.get(item.detail["output"])
            self._check(name in there, f"{name} was not delivered")
            if name in there:
                self._check(there[name].read_bytes() == body, f"{name} differs from the lake")
                current.update(texts_of(there[name].read_bytes(), FEEDS[item.queue]))
        self._check(not current or max(current.values()) == 1, "a record is in two objects at the other side")
        landed = Counter(
            one.feed.export_name(hour_of_path(one.key) or "", one.key) for one in self.world.uploader.landed()
        )
        self._check(there.keys() <= names | landed.keys(), f"unknown: {there.keys() - names - landed.keys()}")
        contents: dict[str, set[str]] = defaultdict(set)
        for one in self.aae.received():
            if one.kept:
                contents[one.name].add(one.sha256)
        for name, versions in contents.items():
            most = max(landed[name], 1) + self.contents
            self._check(len(versions) <= most, f"{name} had {len(versions)} contents, {most} at most")

    # Tables

    def _judge_table(self) -> None:
        """The table of events has the events of each object of its hour, and nothing more."""
        made: Counter[str] = Counter()
        for item in self._settled.values():
            if item.queue == EVENTS.queue and item.detail["output"]:
                body = orjson.loads(self.world.lake.get(item.detail["output"]))
                made[f"{hive_path(item.partition)} {body['metadata']['deviceModel']}"] += len(body["events"])
        rows: Counter[str] = Counter()
        for info in self.world.lake.list(f"{EVENTS.table}/"):
            hour = "/".join(info.key.split("/")[2:4])
            rows.update(f"{hour} {text}" for text in _column(self.world.lake.get(info.key)))
        self._check(rows == made, f"the table has {rows - made} too much and {made - rows} too little")

    def _judge_receipts(self) -> None:
        """The receipts tell what the ledger holds."""
        told: Counter[tuple[str, ...]] = Counter()
        for day in receipts.days(self.world.lake):
            for family in receipts.read_day(self.world.lake, day):
                (name,) = family.releases or (None,)
                facts = orjson.dumps(dict(family.item.detail), option=orjson.OPT_SORT_KEYS) if family.item else b""
                released = ("", "", "") if name is None else (name.name, name.version, str(name.state))
                told[(family.item.name if family.item else "", facts.decode(), *released)] += 1
        held: Counter[tuple[str, ...]] = Counter()
        of_parent = set()
        by_id = {item.id: item for item in self._settled.values()}
        for queue in EXPORTS:
            for one in self.world.ledger.items(queue, Span("", "9"), [State.SETTLED, State.DEAD]):
                parent = by_id.get(one.parent or 0)
                of_parent.add(one.parent)
                held[(*_facts(parent), one.name, one.version, str(one.state))] += 1
        for item in by_id.values():
            if item.id not in of_parent and item.detail["output"] is None:
                held[(*_facts(item), "", "", "")] += 1
        self._check(told == held, f"receipts tell {told - held} too much and {held - told} too little")


def _facts(item: Item | None) -> tuple[str, str]:
    if item is None:
        return "", ""
    return item.name, orjson.dumps(dict(item.detail), option=orjson.OPT_SORT_KEYS).decode()


def texts_of(body: bytes, feed: Feed) -> list[str]:
    """The records' own texts in an output."""
    return _column(body) if feed is PACKAGES else [orjson.loads(body)["metadata"]["deviceModel"]]


def _column(body: bytes) -> list[str]:
    column = pq.read_table(pa.BufferReader(body), columns=["devicemodel"])["devicemodel"]
    return [str(text) for text in column.to_pylist()]


def leaks(root: Path) -> list[str]:
    """Where planted text is that must not be there: files by their names, contents, and what they unpack to."""
    found = []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or any(path.is_relative_to(root / folder) for folder in _MAY_HOLD_IT):
            continue
        if LEAKED in str(path).encode() or any(LEAKED in text for text in _contents(path)):
            found.append(f"planted text in {path.relative_to(root)}")
    return found


def _contents(path: Path) -> Iterator[bytes]:
    raw = path.read_bytes()
    yield raw
    if raw.startswith(b"PAR1") and raw.endswith(b"PAR1"):
        file = pq.ParquetFile(path)
        yield str(file.schema_arrow.metadata).encode()
        yield orjson.dumps(file.read().to_pylist(), default=str)
    if raw.startswith(b"\x1f\x8b"):
        yield gzip.decompress(raw)
