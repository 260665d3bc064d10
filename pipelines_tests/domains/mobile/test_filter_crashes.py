"""Runs that are killed in the middle, and the runs after them."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import IO, Any

import pytest

from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.adapters.ledger.working import Shift
from pipelines.adapters.objects import ObjectInfo
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Outcome, State
from pipelines_tests.domains.mobile.stages import LATER, LEASE, NOW, Stage, lines, text
from pipelines_tests.processes import child_process, processes

MANY = {f"{number:02}.json": text([*lines(300, seed=number), b"{}"]) for number in range(12)}


def visible(root: Path) -> dict[str, bytes]:
    """Everything that a reader can see of what was made, by key."""
    made = ("lake", "mobile/packages/"), ("landing", "quarantine/")
    stores = [(FileObjects("file://", root / store), folder) for store, folder in made]
    return {info.key: store.get(info.key) for store, folder in stores for info in store.list(folder)}


def assert_released_once(stage: Stage) -> None:
    """Of each name one release waits, for the bytes that are there."""
    waiting = stage.released(State.PENDING)
    assert all(one.version == stage.item(one.detail["key"].split("/")[-1][:-8]).detail["sha256"] for one in waiting)
    assert Counter(one.name for one in waiting) == dict.fromkeys({one.name for one in waiting}, 1)
    assert {one.detail["key"] for one in waiting} == {info.key for info in stage.lake.list("mobile/packages/")}


# Killed at each step


def prepare(root: Path) -> Stage:
    """One file that is filtered and then rewritten, and one that is new."""
    root.mkdir()
    stage = Stage.open(root)
    stage.land("a.json", text([*lines(20), b"{}"]))
    stage.run()
    stage.land("a.json", text(lines(10)))
    stage.land("b.json", text([*lines(30), b"{}"]))
    stage.take_in()
    return stage


class DyingObjects(FileObjects):
    """A store whose process may die before, and after, whatever is written to it."""

    step: Callable[[], None]

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        self.step()
        info = super().put_file(key, source)
        self.step()
        return info

    def delete(self, key: str) -> None:
        self.step()
        super().delete(key)
        self.step()


class DyingLedger(SqlLedger):
    """A ledger whose process may die before, and after, a claim or a settlement."""

    step: Callable[[], None]

    def claim(self, queue: str, **terms: Any) -> list[Item]:
        self.step()
        items = super().claim(queue, **terms)
        self.step()
        return items

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
        self.step()
        counted = super().settle(outcomes, now)
        self.step()
        return counted


def run_and_die(root: Path, at: int) -> None:
    """Run over what is prepared, killed at a step."""
    stage = prepare(root)
    steps = count(1)

    def step() -> None:
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    landing = DyingObjects(stage.landing.url, root / "landing")
    lake = DyingObjects(stage.lake.url, root / "lake")
    ledger = DyingLedger.on_sqlite(f"sqlite:///{root / 'ledger.db'}")
    landing.step = lake.step = step
    ledger.step = step  # type: ignore[attr-defined]  # the constructor is declared to give the parent's type
    replace(stage, landing=landing, lake=lake, ledger=ledger).work()


def die_at_every_step(root: Path) -> None:
    """Fork once for each step of a run, from a process that has all its modules loaded; the last fork lives."""
    prepare(root / "before").ledger.close()
    for at in count(1):
        child = os.fork()
        if not child:
            run_and_die(root / f"{at:02}", at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL


def test_a_run_killed_at_any_step_leaves_nothing_half_and_the_next_one_ends_as_if_nothing_had_been(
    tmp_path: Path,
) -> None:
    process = child_process(die_at_every_step, tmp_path)
    process.start()
    process.join()
    assert process.exitcode == 0
    *killed, lived, before = sorted(tmp_path.iterdir())
    assert len(killed) > 15
    whole = visible(lived)
    known = {*visible(before).values(), *whole.values()}
    for root in killed:
        assert set(visible(root).values()) <= known
        stage = Stage.open(root)
        stage.work(LATER)
        assert visible(root) == whole
        assert [item.state for item in stage.items("a.json")] == [State.SUPERSEDED, State.SETTLED]
        assert stage.item("b.json").state is State.SETTLED
        assert len(stage.released()) == 3
        assert_released_once(stage)
        stage.ledger.close()


# Killed at any moment


def work_until_killed(root: Path, now: datetime, started: Event) -> None:
    stage = replace(Stage.open(root), policy=RetryPolicy(attempts=100))
    for _ in stage.work_through(stage.filtering(now), Shift("run", LEASE, seconds=60, now=lambda: now)):
        started.set()


@pytest.fixture
def moments() -> Iterator[float]:
    """Moments to kill at, in seconds; the seed is printed, so that a failure can be had again."""
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    generator = random.Random(seed)
    return (generator.uniform(0, 0.1) for _ in range(3))


def test_runs_killed_at_any_moment_lose_nothing(tmp_path: Path, moments: Iterator[float]) -> None:
    roots = tmp_path / "killed", tmp_path / "whole"
    for root in roots:
        root.mkdir()
        stage = Stage.open(root)
        for name, content in MANY.items():
            stage.land(name, content)
        stage.take_in()
        stage.ledger.close()
    killed, whole = map(Stage.open, roots)
    whole.work()
    expected = visible(whole.root)
    now = NOW
    for moment in moments:
        started = processes.Event()
        process = child_process(work_until_killed, killed.root, now, started)
        process.start()
        if killed.ledger.backlog(now):
            assert started.wait(60)
        process.join(moment)
        process.kill()
        process.join()
        assert visible(killed.root).items() <= expected.items()
        settled = {item.id for item in killed.ledger.items("mobile/packages", states=[State.SETTLED])}
        assert {one.parent for one in killed.released()} == settled
        now += 2 * LEASE
    killed.work(now)
    assert visible(killed.root) == expected
    assert {killed.item(name).state for name in MANY} == {State.SETTLED}
    assert len(killed.released()) == len(MANY)
    assert_released_once(killed)
    for stage in (killed, whole):
        stage.ledger.close()
