"""A disk that is full, wherever it is and whatever is written then: all of it is done once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipelines.core.work import Reason
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, GOOD
from pipelines_tests.crashes.world import Place, World

DISK = 4 << 20
ROOM = [0, 4, 8, 16, 32, 64]
"""What is left of the disk, in KiB."""


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own for a folder; what only an administrator may do."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("NO SMALL DISK: only an administrator may mount one, so a full disk was not tried")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(disk: Path, kilobytes: int) -> Iterator[None]:
    """So little room is left for a while."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    size = found.f_bavail * found.f_frsize - (kilobytes << 10)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(size, 1))
    try:
        yield
    finally:
        filler.unlink()


def try_to_work(world: World) -> str | None:
    """One tick; what it failed of, if it did. A ledger that can't be written to ends a run, and nothing else does."""
    try:
        world.tick()
    except (sa.exc.OperationalError, sa.exc.DatabaseError) as error:
        return str(error.orig)
    return None


@pytest.mark.parametrize("where", ["", "lake", "landing"])
def test_what_finds_no_room_waits_and_is_done_when_there_is_some(where: str, place: Place, aae: Aae) -> None:
    disk = place.root / where
    with small_disk(disk):
        world = World.open(place)
        failed, reasons = [], set[str | None]()
        for kilobytes in ROOM:
            world.uploader.land(PACKAGES, f"{kilobytes}.jsonl", [GOOD, BAD, GOOD])
            world.uploader.land(EVENTS, f"{kilobytes}-good.json", [GOOD])
            world.uploader.land(EVENTS, f"{kilobytes}-bad.json", [BAD])
            with filled(disk, kilobytes):
                failed.append(try_to_work(world))
                reasons |= {one.reason for queue in world.jobs for one in world.ledger.standings(queue)}
        if where:
            assert failed == [None] * len(ROOM)
            assert Reason.UNREADABLE in reasons
        else:
            assert "database or disk is full" in failed
        world.settle()
        assert Verdict(world, aae).judge() == []
        world.close()
