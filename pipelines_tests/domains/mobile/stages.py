"""Landing, lake and ledger in one folder, with the mapping in force: where the mobile domain's tests play."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.ledger import Ledger, Span, open_ledger
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.adapters.objects import Objects, open_objects
from pipelines.adapters.uploads import open_uploads
from pipelines.core.periods import hour_key
from pipelines.core.retry import RetryPolicy
from pipelines.core.rhythms import Cadence
from pipelines.core.work import Item, Outcome, State
from pipelines.domains.mobile import accepted, files, intake
from pipelines.domains.mobile.feeds import Feed, source_name
from pipelines.domains.mobile.landed import Filtering, Recipe
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines.sandbox.uploads import packages

START = date(2025, 1, 1)
HOUR = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = HOUR + timedelta(minutes=30)
LEASE = timedelta(seconds=90)
LATER = NOW + 2 * LEASE
"""When every lease that was given at ``NOW`` is over."""
EVERYTHING = Span("", "9")
RECIPE = PackageRecipe(1 << 20)
SAMPLE = files.read_mapping("").raw
MAPPING = PrivacyMapping.parse(SAMPLE)
PAIRS = [(entry.district, entry.authority) for entry in MAPPING.entries if entry.district]

WITH_ONE_MORE = SAMPLE + b'"ZZ8_","","TERMINATED"\n'
OTHER = PrivacyMapping.parse(WITH_ONE_MORE)
"""A version of the mapping that differs in what no sample holds; outputs differ by the version written into them."""


def lines(count: int = 5, seed: int = 1) -> list[bytes]:
    """Good packages, one a line."""
    return [record.raw for record in packages(seed, count, PAIRS, HOUR, bad_share=0)]


def text(records: list[bytes]) -> bytes:
    """Lines as a landed file holds them."""
    return b"".join(record + b"\n" for record in records)


def packed(records: list[bytes]) -> bytes:
    """The same, packed; one content gives one packed form."""
    return gzip.compress(text(records), mtime=0)


@dataclass
class Stage:
    """One deployment's data below one folder, of one feed, as the recipe has it; anything of it may be replaced."""

    root: Path
    landing: Objects
    lake: Objects
    ledger: Ledger
    mapping: PrivacyMapping = MAPPING
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    recipe: Recipe = RECIPE

    @classmethod
    def open(cls, root: Path, recipe: Recipe = RECIPE) -> Stage:
        """Open what is in a folder, with the sample mapping in force if there is none."""
        lake = open_objects((root / "lake").as_uri())
        if accepted.current(lake) is None:
            accepted.accept(lake, SAMPLE, MAPPING)
        return cls(
            root,
            open_objects((root / "landing").as_uri()),
            lake,
            open_ledger(f"sqlite:///{root / 'ledger.db'}"),
            recipe=recipe,
        )

    @property
    def feed(self) -> Feed:
        """The feed that is taken in, filtered and released."""
        return self.recipe.feed

    @property
    def destination(self) -> str:
        """Where its outputs are delivered."""
        return f"https://aae.example/{self.feed.exports.rpartition('/')[-1]}"

    def key(self, name: str, hour: datetime = HOUR) -> str:
        """The key of a landed file."""
        return f"{self.feed.queue}/{hour:%Y/%m/%d/%H}/{name}"

    def path(self, name: str, hour: datetime = HOUR) -> Path:
        """Where a landed file lies."""
        return self.root / "landing" / self.key(name, hour)

    def land(self, name: str, content: bytes, hour: datetime = HOUR) -> Path:
        """Write a landed file, as something that did not exist before."""
        path = self.path(name, hour)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        return path

    def take_in(self, now: datetime = NOW, quiet: timedelta = timedelta(0)) -> intake.Intake:
        """One tick of the intake that looks at everything."""
        uploads = open_uploads("list://", self.landing, _NoMarks(), cadence=Cadence(0, 0), quiet=quiet)
        return intake.take_in(self.feed, uploads, self.ledger, START, now, 60)[self.feed.queue]

    def filtering(self, now: datetime = NOW) -> Filtering:
        """What a run filters with."""
        return Filtering(
            recipe=self.recipe,
            landing=self.landing,
            lake=self.lake,
            ledger=self.ledger,
            mapping=self.mapping,
            destination=self.destination,
            policy=self.policy,
            cause="run",
            now=lambda: now,
        )

    def work(self, now: datetime = NOW, span: Span = EVERYTHING, lease: timedelta = LEASE) -> list[Item]:
        """One run over all that is due; the items as they were claimed."""
        shift = Shift(owner="run", lease=lease, seconds=60, at_once=self.recipe.at_once, now=lambda: now)
        return list(self.work_through(self.filtering(now), shift, span))

    def work_through(self, filtering: Filtering, shift: Shift, span: Span = EVERYTHING) -> Iterator[Item]:
        """The same, a file at a time as it is recorded, with the mapping that is in force by then."""
        return work_through(self.ledger, self.feed.queue, lambda: filtering.renewed().outcome, self.policy, shift, span)

    def run(self, now: datetime = NOW) -> list[Item]:
        """Take in and filter."""
        self.take_in(now)
        return self.work(now)

    def items(self, name: str) -> list[Item]:
        """All versions of a landed file, the oldest first."""
        return [item for item in self.ledger.items(self.feed.queue) if source_name(item.name) == name]

    def item(self, name: str) -> Item:
        """The last version of a landed file."""
        return self.items(name)[-1]

    def released(self, state: State | None = None) -> list[Item]:
        """The releases, of one state or all."""
        return list(self.ledger.items(self.feed.exports, states=None if state is None else [state]))

    def deliver(self, state: State = State.SETTLED, *, attempted: bool = True) -> list[Item]:
        """Claim every waiting release and let it come to a state, as a delivery does."""
        claimed = self.ledger.claim(
            self.feed.exports, owner="delivery", limit=100, now=LATER, lease=LEASE, destination=self.destination
        )
        if state is not State.CLAIMED:
            self.ledger.settle([Outcome(one.id, one.fence, state, attempted, due_at=NOW) for one in claimed], LATER)
        return claimed

    def output(self, name: str, hour: datetime = HOUR) -> Path:
        """Where a landed file's output lies."""
        made = (
            f"{name}.parquet"
            if self.feed.keeps_source_name
            else self.feed.export_name(hour_key(hour), self.key(name, hour))
        )
        return self.root / "lake" / self.feed.queue / f"date={hour:%Y-%m-%d}/hour={hour:%H}" / made

    def table(self, name: str) -> pa.Table:
        """A landed file's output."""
        return pq.read_table(self.output(name), partitioning=None)

    def quarantine(self, name: str, hour: datetime = HOUR) -> Path:
        """Where a landed file's rejected records lie."""
        folder = self.root / "landing/quarantine" / self.feed.queue / f"date={hour:%Y-%m-%d}/hour={hour:%H}"
        return folder / f"{name}.jsonl"

    def rejects(self, name: str) -> list[dict[str, Any]]:
        """A landed file's rejected records."""
        return [orjson.loads(line) for line in self.quarantine(name).read_bytes().splitlines()]

    def under(self, mapping: PrivacyMapping) -> Stage:
        """The same once another version of the mapping is in force."""
        accepted.accept(self.lake, _CONTENTS[mapping.sha256], mapping)
        stage = replace(self, mapping=mapping)
        self.ledger.reopen_outdated(self.feed.queue, stage.filtering().made_with, LATER)
        return stage


_CONTENTS = {MAPPING.sha256: SAMPLE, OTHER.sha256: WITH_ONE_MORE}


class _NoMarks:
    """Every listing begins anew."""

    def mark(self, name: str) -> None:
        return None

    def set_mark(self, name: str, mark: object) -> None:
        pass


def sha256(path: Path) -> str:
    """The hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def mapping_of(path: Path) -> str:
    """The version of the mapping that an output was made with, as it says itself."""
    metadata = pq.read_metadata(path).metadata or {}
    return metadata[b"mapping_sha256"].decode()
