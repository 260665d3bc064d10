"""Sample uploads: what phones send in a day, as files in the landing layout, the broken share of it labelled.

Everything follows from the seed: the same call gives the same bytes. Only the labels of what is broken are held, so
that any number of packages fits in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, chain, cycle, pairwise
from pathlib import Path
from random import Random

import orjson

from pipelines.sandbox.faults import CANARY_PLACES, BadKind, Canary, plant_canary, spoil_package
from pipelines.sandbox.phones import Pair, list_windows, make_package

RHYTHM = (6, 9, 12, 13, 12, 9, 6, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4)
"""How a day's packages spread over its hours in UTC: phones send most of them early in the morning."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an upload, without its newline; what is bad in it and which text is planted, if any."""

    raw: bytes
    bad: BadKind | None = None
    canary: str | None = None


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file to land; ``marks`` are its lines (from 0) that are not plain good ones."""

    key: str
    seed: int
    hour: datetime
    count: int
    pairs: Sequence[Pair]
    marks: Mapping[int, BadKind | Canary]

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
        rng = _random(self.seed, self.key)
        windows = list_windows(self.hour)
        for line in range(self.count):
            package = make_package(rng, self.pairs, windows)
            match self.marks.get(line):
                case None:
                    yield Record(orjson.dumps(package))
                case Canary() as canary:
                    yield Record(plant_canary(canary, package), canary.bad, canary.text)
                case bad:
                    yield Record(spoil_package(bad, package, rng, self.hour), bad)

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes, made anew at each call."""
        lines = (record.raw + b"\n" for record in self.records())
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
    return UploadFile(
        hour.isoformat(), seed, hour, count, pairs, _mark_lines(seed, count, bad_share, canaries)
    ).records()


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
    marks = _mark_lines(seed, count, bad_share, canaries)
    arrivals = [start.astimezone(UTC) + timedelta(hours=hour) for hour in range(hours)]
    first = 0
    for hour, load in zip(arrivals, _split(count, [RHYTHM[hour.hour] for hour in arrivals]), strict=True):
        single = [min(load, 1)] if files_per_hour > 1 else []
        sizes = [*single, *_split(load - sum(single), [1] * (files_per_hour - len(single)))]
        endings = chain(["json"] * len(single), cycle(("jsonl.gz", "jsonl")))
        for size, ending in zip(sizes, endings, strict=False):
            if size:
                name = f"batch-{_random(seed, hour, first).getrandbits(32):08x}.{ending}"
                here = {line: marks[first + line] for line in range(size) if first + line in marks}
                yield UploadFile(f"mobile/packages/{hour:%Y/%m/%d/%H}/{name}", seed, hour, size, pairs, here)
            first += size


def land(files: Iterable[UploadFile], root: Path) -> list[UploadFile]:
    """Write files below ``root``, each whole or not at all, and say which."""
    landed = []
    for file in files:
        path = root / file.key
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            stream.writelines(file.chunks())
        part.replace(path)
        landed.append(file)
    return landed


def _mark_lines(seed: int, count: int, bad_share: float, canaries: Sequence[str]) -> dict[int, BadKind | Canary]:
    if len(canaries) > count:
        raise ValueError("more canaries than packages to plant them in")
    bad = min(round(count * bad_share), count - len(canaries))
    lines = _random(seed, count).sample(range(count), bad + len(canaries))
    planted = (Canary(text, *place) for text, place in zip(canaries, cycle(CANARY_PLACES), strict=False))
    return dict(sorted(zip(lines, chain(planted, cycle(BadKind)), strict=False)))


def _split(total: int, weights: Sequence[int]) -> list[int]:
    """Whole parts of ``total`` in proportion to ``weights``."""
    ends = [total * passed // sum(weights) for passed in accumulate(weights)]
    return [end - begin for begin, end in pairwise((0, *ends))]


def _random(*seeds: object) -> Random:
    return Random("/".join(map(str, seeds)))  # noqa: S311 - made-up sample data, no secret
