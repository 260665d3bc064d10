"""Quarantined records and the fix that would take them: what the tests of processing them again share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from pipelines.core.work import Item
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.landed import Content, Recipe
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.reprocessing import Reprocessed, reprocess
from pipelines.domains.mobile.totals import total
from pipelines_tests.domains.mobile.stages import EVERYTHING, LATER, RECIPE, Stage, lines, text

AFTER = LATER + timedelta(hours=1)
GOOD, BAD, WORSE = lines(10), [b"#" + line for line in lines(3, seed=2)], [b"{}", b"\xff{}"]
MORE = lines(2, seed=3)
MIXED = [*GOOD[:5], *BAD[:2], WORSE[0], *GOOD[5:], BAD[2], WORSE[1]]
WRONG = {"missing": 1, "not JSON": 3, "not UTF-8": 1}


@dataclass(frozen=True)
class Mended:
    """A recipe after a fix: it reads what begins with a stray sign, too."""

    recipe: Recipe = RECIPE

    @property
    def feed(self) -> Feed:
        return self.recipe.feed

    @property
    def at_once(self) -> int:
        return self.recipe.at_once

    def make(
        self, item: Item, mapping: PrivacyMapping, chunks: Iterator[bytes], output: IO[bytes], rejected: IO[bytes]
    ) -> Content:
        sound = (chunk.replace(b"#", b"") for chunk in chunks)
        return self.recipe.make(item, mapping, sound, output, rejected)


def mended(stage: Stage) -> Stage:
    return replace(stage, recipe=Mended(stage.recipe))


def process_again(stage: Stage, *reasons: str, now: datetime = LATER, dry_run: bool = False) -> Reprocessed:
    found = Reprocessed()
    reprocess(stage.feed, stage.landing, stage.ledger, EVERYTHING, reasons, now, found, dry_run=dry_run)
    return found


def again(stage: Stage) -> list[Item]:
    """The files of records that are processed again."""
    return [item for item in stage.ledger.items(stage.feed.queue) if item.name.startswith("reprocessed/")]


def counted(stage: Stage) -> tuple[int, int, Counter[str]]:
    """Records read, written and rejected, over all files."""
    totals = total(stage.ledger.items(stage.feed.queue))
    return totals.read, totals.written, totals.rejected


def rows(stage: Stage) -> int:
    """Rows in all of the lake's outputs."""
    names = [info.key.rsplit("/", 1)[-1] for info in stage.lake.list(f"{stage.feed.queue}/")]
    return sum(stage.table(name.removesuffix(".parquet")).num_rows for name in names)


def everything(root: Path) -> dict[str, bytes]:
    """All that is in landing and lake."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for store in ("landing", "lake")
        for path in (root / store).rglob("*")
        if path.is_file()
    }


def land_mixed(stage: Stage) -> Stage:
    """A file with good and bad records, filtered."""
    stage.land("a.json", text(MIXED))
    stage.run()
    assert counted(stage) == (15, 10, WRONG)
    return stage
