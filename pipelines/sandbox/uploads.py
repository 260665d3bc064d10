"""Sample uploads: what phones send in a day, as files in the landing layout, the broken share of it labelled.

Everything follows from the seed: the same call gives the same bytes. Only the labels of what is broken are held, so
that any number of records fits in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain, cycle, pairwise
from tempfile import SpooledTemporaryFile
from uuid import UUID

import orjson

from pipelines.adapters.objects import Objects
from pipelines.sandbox.contents import EVENTS, PACKAGES, Content, Marks, seeded
from pipelines.sandbox.faults import BadKind, Canary
from pipelines.sandbox.phones import Pair

RHYTHM = (6, 9, 12, 13, 12, 9, 6, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4)
"""How a day's uploads spread over its hours in UTC: phones send most of them early in the morning."""
_IN_MEMORY = 1 << 20
FEWEST_WITH_BAD = 20
"""Of so many submissions of events at least one is bad, so that what becomes of it can be seen."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of an upload, without what ends it; what is bad in it and which text is planted, if any."""

    raw: bytes
    bad: BadKind | None = None
    canary: str | None = None


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file to land: so many records that arrive in the hour."""

    content: Content
    key: str
    seed: int
    hour: datetime
    count: int
    pairs: Sequence[Pair]
    marks: Marks

    @property
    def feed(self) -> str:
        """The ledger's queue of such files."""
        return self.content.feed

    @property
    def bad(self) -> list[tuple[int, BadKind]]:
        """The lines (from 1) that no reader may accept, and why."""
        kinds = ((line + 1, mark if isinstance(mark, BadKind) else mark.bad) for line, mark in self.marks.items())
        return [(line, kind) for line, kind in kinds if kind is not None]

    @property
    def good(self) -> int:
        """The number of records that a reader must accept."""
        return self.count - len(self.bad)

    def records(self) -> Iterator[Record]:
        """The file's records, made anew at each call."""
        rng = seeded(self.seed, self.key)
        for line in range(self.count):
            record = self.content.make(rng, self.pairs, self.hour)
            match self.marks.get(line):
                case None:
                    yield Record(orjson.dumps(record))
                case Canary() as canary:
                    yield Record(self.content.plant(canary, record, rng, self.hour), canary.bad, canary.text)
                case bad:
                    yield Record(self.content.spoil(bad, record, rng, self.hour), bad)

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes, made anew at each call."""
        lines = (record.raw + self.content.end for record in self.records())
        if not self.key.endswith(".gz"):
            yield from lines
            return
        packer = zlib.compressobj(1, wbits=31)  # gzip without a time, so that bytes repeat
        yield from filter(None, map(packer.compress, lines))
        yield packer.flush()


def packages(
    seed: int, count: int, pairs: Sequence[Pair], hour: datetime, bad_share: float = 0.01, canaries: Sequence[str] = ()
) -> Iterator[Record]:
    """Make ``count`` packages that arrive in the hour from ``hour`` (aware) on.

    Places come from ``pairs``, the keys of a privacy mapping. ``bad_share`` of the records is bad, each kind in turn;
    each canary is planted once, in records beside those.
    """
    return _records(PACKAGES, seed, count, pairs, hour, PACKAGES.mark(seed, count, bad_share, canaries))


def submissions(
    seed: int, count: int, pairs: Sequence[Pair], hour: datetime, bad_share: float = 0.01, canaries: Sequence[str] = ()
) -> Iterator[Record]:
    """Make ``count`` submissions of events that arrive in the hour from ``hour`` (aware) on; see `packages`."""
    return _records(EVENTS, seed, count, pairs, hour, EVENTS.mark(seed, count, bad_share, canaries))


def uploads(
    seed: int,
    start: datetime,
    hours: int,
    count: int,
    pairs: Sequence[Pair],
    files_per_hour: int = 4,
    bad_share: float = 0.01,
    canaries: Sequence[str] = (),
) -> Iterator[UploadFile]:
    """Spread ``count`` packages over files of ``hours`` hours from ``start`` (aware) on, in the rhythm of a day.

    Of several files in an hour the first, ``.json``, has one package; the others share the rest. For the other
    arguments see `packages`.
    """
    marks = PACKAGES.mark(seed, count, bad_share, canaries)
    first = 0
    for hour, load in _spread(start, hours, count):
        single = [min(load, 1)] if files_per_hour > 1 else []
        sizes = [*single, *_split(load - sum(single), [1] * (files_per_hour - len(single)))]
        endings = chain(["json"] * len(single), cycle(("jsonl.gz", "jsonl")))
        for size, ending in zip(sizes, endings, strict=False):
            if size:
                name = f"batch-{seeded(seed, hour, first).getrandbits(32):08x}.{ending}"
                here = {line: marks[first + line] for line in range(size) if first + line in marks}
                yield UploadFile(PACKAGES, _key(PACKAGES, hour, name), seed, hour, size, pairs, here)
            first += size


def event_uploads(
    seed: int,
    start: datetime,
    hours: int,
    count: int,
    pairs: Sequence[Pair],
    bad_share: float = 0.01,
    canaries: Sequence[str] = (),
) -> Iterator[UploadFile]:
    """Spread ``count`` submissions of events over ``hours`` hours, each in a file named by the moment of its arrival.

    For the arguments see `uploads`. A share of bad ones that is too small for the count gives one nevertheless.
    """
    if bad_share and count >= FEWEST_WITH_BAD:
        bad_share = max(bad_share, 1 / count)
    marks = EVENTS.mark(seed, count, bad_share, canaries)
    first = 0
    for hour, load in _spread(start, hours, count):
        rng = seeded(seed, EVENTS.feed, hour)
        for index, after in enumerate(sorted(rng.choices(range(3_600_000), k=load)), first):
            name = f"{int(hour.timestamp()) * 1000 + after}_{UUID(int=rng.getrandbits(128), version=4)}.json"
            here = {0: marks[index]} if index in marks else {}
            yield UploadFile(EVENTS, _key(EVENTS, hour, name), seed, hour, 1, pairs, here)
        first += load


def land(files: Iterable[UploadFile], landing: Objects) -> list[UploadFile]:
    """Put files where uploads land, each whole or not at all, and say which."""
    landed = []
    for file in files:
        with SpooledTemporaryFile(_IN_MEMORY) as content:
            content.writelines(file.chunks())
            content.seek(0)
            landing.put_file(file.key, content)
        landed.append(file)
    return landed


def _records(
    content: Content, seed: int, count: int, pairs: Sequence[Pair], hour: datetime, marks: Marks
) -> Iterator[Record]:
    return UploadFile(content, hour.isoformat(), seed, hour, count, pairs, marks).records()


def _key(content: Content, hour: datetime, name: str) -> str:
    return f"{content.feed}/{hour:%Y/%m/%d/%H}/{name}"


def _spread(start: datetime, hours: int, count: int) -> Iterator[tuple[datetime, int]]:
    """The hours in UTC from ``start`` on, and how much of ``count`` arrives in each."""
    arrivals = [start.astimezone(UTC) + timedelta(hours=hour) for hour in range(hours)]
    return zip(arrivals, _split(count, [RHYTHM[hour.hour] for hour in arrivals]), strict=True)


def _split(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of ``total`` in proportion to ``weights``."""
    ends = [total * passed // sum(weights) for passed in accumulate(weights)]
    return [end - begin for begin, end in pairwise((0, *ends))]
