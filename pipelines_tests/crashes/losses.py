"""Runs that die, ledgers that are lost, and what was sent all the same: what the tests of restoring share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.adapters.objects import Objects
from pipelines.domains.mobile.feeds import FEEDS, PACKAGES
from pipelines.domains.mobile.reprocessing import Reprocessed, reprocess
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.invariants import texts_of
from pipelines_tests.crashes.world import Place, World
from pipelines_tests.domains.mobile.stages import EVERYTHING, HOUR


class Died(BaseException):
    """Stands for the end of the process."""


def die_once_stored(step: str) -> None:
    if step == "Objects.put_file":
        raise Died


def leave_a_copy(place: Place, world: World, reasons: Collection[str] = ()) -> None:
    """A run that is to process the quarantine again dies when it has copied the first records."""
    world.now += timedelta(minutes=10)
    dying = World.open(place, die_once_stored, now=world.now)
    with pytest.raises(Died):
        process_again(dying, reasons)
    dying.close()
    assert list(world.landing.list("reprocessed/"))


def process_again(world: World, reasons: Collection[str]) -> None:
    """Process the records again that were rejected for these reasons, or for any."""
    for feed in FEEDS.values():
        found = Reprocessed()
        reprocess(feed, world.landing, world.ledger, EVERYTHING, reasons, world.now, found, dry_run=False)


def restored(place: Place, world: World) -> World:
    """The world after its ledger was lost and restored; nothing is worked on yet."""
    world.lose_ledger()
    again = World.open(place, now=world.now + timedelta(minutes=5), mended=True)
    again.restore()
    return again


def lose_and_restore(place: Place, world: World) -> World:
    again = restored(place, world)
    again.settle()
    return again


def path_of(place: Place, name: str) -> Path:
    """Where a file of packages lies."""
    return place.root / "landing" / PACKAGES.queue / f"{HOUR:%Y/%m/%d/%H}" / name


def edit(place: Place, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file of packages where it lies."""
    path = path_of(place, name)
    path.write_bytes(change(path.read_bytes()))


def land_again(place: Place, name: str, more: bytes = b"") -> None:
    """Land a file of packages anew, with more at its end."""
    path = path_of(place, name)
    content = path.read_bytes() + more
    path.unlink()
    path.write_bytes(content)


def quarantine_of(place: Place, name: str) -> Path:
    """Where the rejected records of a file of packages lie."""
    return place.root / "landing/quarantine" / PACKAGES.queue / f"date={HOUR:%Y-%m-%d}/hour={HOUR:%H}/{name}.jsonl"


def sent(aae: Aae) -> Counter[str]:
    """The packages that were sent, by their texts."""
    return Counter(
        text for path in (aae.folder / "objects").iterdir() for text in texts_of(path.read_bytes(), PACKAGES)
    )


def receipts(world: World) -> dict[str, bytes]:
    """All receipts as they are now."""
    return {info.key: world.lake.get(info.key) for info in world.lake.list("aae/receipts/")}


def put_receipts_back(lake: Objects, kept: dict[str, bytes]) -> None:
    """Only these receipts are there: whatever came later was lost."""
    for info in list(lake.list("aae/receipts/")):
        lake.delete(info.key)
    for key, body in kept.items():
        lake.put(key, body)
