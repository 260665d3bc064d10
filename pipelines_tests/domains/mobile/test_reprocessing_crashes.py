"""Quarantined records processed again while others work on them, and by runs that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import IO, Any

import pytest

from pipelines.adapters.ledger import Span
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.adapters.objects import ObjectInfo
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.mobile.reprocessing import CHANGED
from pipelines_tests.domains.mobile.mendings import (
    AFTER,
    BAD,
    GOOD,
    MIXED,
    WRONG,
    again,
    counted,
    land_mixed,
    mended,
    process_again,
    rows,
)
from pipelines_tests.domains.mobile.stages import LATER, Stage, text

# Spawned processes share nothing with this one, as the runs of different machines do not.
processes = multiprocessing.get_context("spawn")


@pytest.fixture
def filtered(stage: Stage) -> Stage:
    """A file with good and bad records, filtered."""
    return land_mixed(stage)


class Meanwhile(SqlLedger):
    """A ledger in which something else happens just before records are moved, or just after."""

    before: Callable[[], object]
    after: Callable[[], object]

    def amend(self, item: Item, detail: Mapping[str, Any], items: Sequence[NewItem], now: datetime) -> bool:
        self.before()
        done = super().amend(item, detail, items, now)
        self.after()
        return done


def with_meanwhile(
    stage: Stage,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
    kind: type[Meanwhile] = Meanwhile,
) -> Stage:
    ledger = kind.on_sqlite(f"sqlite:///{stage.root / 'ledger.db'}")
    assert isinstance(ledger, Meanwhile)
    ledger.before, ledger.after = before, after
    return replace(stage, ledger=ledger)


@pytest.mark.parametrize("others", ["not JSON", "missing"])
def test_of_two_runs_at_once_one_moves_the_records_and_the_other_leaves_nothing_behind(
    filtered: Stage, others: str
) -> None:
    first = with_meanwhile(filtered, before=lambda: process_again(filtered, others))
    found = process_again(first, "not JSON")
    first.ledger.close()
    assert (found.records, found.skipped) == ({}, {CHANGED: 1})
    assert [info.key for info in filtered.landing.list("reprocessed/")] == [item.name for item in again(filtered)]
    process_again(filtered, now=AFTER)
    mended(filtered).work(AFTER)
    assert {item.state for item in again(filtered)} == {State.SETTLED}
    assert counted(filtered) == (15, 13, {"missing": 1, "not UTF-8": 1})
    assert rows(filtered) == 13


class ReadSingly(Meanwhile):
    """A ledger whose every page holds one item, so that each is read as late as can be."""

    def items(self, queue: str, span: Span | None = None, states: Collection[State] | None = None) -> Iterator[Item]:
        given = set[int]()
        while following := [item for item in SqlLedger.items(self, queue, span, states) if item.id not in given]:
            given.add(following[0].id)
            yield following[0]


def test_what_is_rejected_again_at_once_is_left_to_the_next_run_so_that_no_record_goes_round(filtered: Stage) -> None:
    filtered.land("b.json", text([*GOOD, *BAD]))
    filtered.run()
    busy = with_meanwhile(filtered, after=lambda: filtered.work(LATER), kind=ReadSingly)
    found = process_again(busy)
    busy.ledger.close()
    assert found.files == 2
    assert [item.detail["rejected"] for item in again(filtered)] == [WRONG, {"not JSON": 3}]
    assert process_again(filtered).files == 2


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


def prepare(root: Path) -> Stage:
    """One file of which some rejected records stay, and one of which none does."""
    root.mkdir()
    stage = Stage.open(root)
    stage.land("a.json", text(MIXED))
    stage.land("b.json", text([*GOOD, *BAD]))
    stage.run()
    return stage


def process_and_die(root: Path, at: int) -> None:
    stage = prepare(root)
    steps = count(1)

    def step() -> None:
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    landing = DyingObjects(stage.landing.url, root / "landing")
    landing.step = step
    process_again(replace(with_meanwhile(stage, before=step, after=step), landing=landing), "not JSON")


def die_at_every_step(root: Path) -> None:
    """Fork once for each step, from a process that has all its modules loaded; the last fork lives."""
    prepare(root / "before").ledger.close()
    for at in count(1):
        child = os.fork()
        if not child:
            process_and_die(root / f"{at:02}", at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL


def test_killed_at_any_step_each_record_is_still_counted_once_and_the_next_run_ends_it(tmp_path: Path) -> None:
    process = processes.Process(target=die_at_every_step, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0
    *killed, _, _ = sorted(tmp_path.iterdir())
    assert len(killed) == 12
    for root in killed:
        stage = mended(Stage.open(root))
        stage.work(AFTER)
        process_again(stage, "not JSON", now=AFTER)
        stage.work(AFTER)
        assert counted(stage) == (28, 26, {"missing": 1, "not UTF-8": 1})
        assert rows(stage) == 26
        stage.ledger.close()
