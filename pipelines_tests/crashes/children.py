"""Processes that play a scenario and may die in it, forked from one that has every module loaded: they cost little."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path

from pipelines_tests.crashes.steps import Dying, Moment, step_inside
from pipelines_tests.crashes.world import LEASE, Place
from pipelines_tests.processes import child_process

PREPARE, ACT, AGAIN = "prepare", "act", "again"


@dataclass(frozen=True)
class Told:
    """What a child is to do: a part of a scenario, in a place, to die at a step or not."""

    scenario: str
    part: str
    place: Place
    at: Moment | None = None

    @property
    def log(self) -> Path:
        return self.place.root / "logs" / f"{self.part}.steps"


def play(told: Told) -> None:
    """What a child does."""
    from pipelines_tests.crashes.scenarios import SCENARIOS  # noqa: PLC0415 (it imports what imports this)

    log_to(told.place.root / "logs" / f"{told.part}.log")
    scenario = SCENARIOS[told.scenario]
    step = Dying(told.log, told.at)
    if told.part == PREPARE:
        world = scenario.deployment.open(told.place)
        scenario.prepare(world)
    else:
        later = 2 * LEASE if told.part == AGAIN else timedelta(0)
        world = scenario.deployment.open(told.place, step, owner=told.part)
        world.now += timedelta(hours=2) + later
        step_inside([told.place.root / name for name in ("lake", "landing", "drive")], step)
        scenario.act(world)
    world.close()


def log_to(path: Path) -> None:
    """From now on all that this process says is in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(file, stream.fileno())
    os.close(file)
    logging.basicConfig(level=logging.INFO, force=True)


_one_at_a_time = threading.Lock()
"""Starting a child looks whether others have ended, which must not happen in two threads at once."""


def run(act: Callable[..., None], *args: object) -> int:
    """The exit code of a child, once it has ended; of one that was killed the signal's number, negative."""
    child = child_process(act, *args)
    with _one_at_a_time:
        child.start()
    wait([child.sentinel])
    with _one_at_a_time:
        child.join()
        code = child.exitcode
        child.close()
    assert code is not None
    return code
