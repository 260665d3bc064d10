"""Quarantined records processed again while others work on them, and by runs that are killed."""

from __future__ import annotations

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
from pipelines.core.work import Item, NewItem, Outcome, State
from pipelines.domains.mobile.landed import reopen_damaged
from pipelines.domains.mobile.reprocessing import CHANGED
from pipelines_tests.domains.mobile.mendings import (
    AFTER,
    BAD,
    GOOD,
    MIXED,
    MORE,
    WORSE,
    WRONG,
    again,
    counted,
    land_mixed,
    mended,
    process_again,
    rows,
)
from pipelines_tests.domains.mobile.stages import EVERYTHING, LATER, LEASE, Stage, text
from pipelines_tests.processes import child_process


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


def test_the_quarantine_of_a_newer_version_that_is_filtered_in_between_is_left_alone(filtered: Stage) -> None:
    def rewrite() -> None:
        filtered.land("a.json", text([*MORE, *WORSE, *MIXED]))
        filtered.run(AFTER)

    busy = with_meanwhile(filtered, after=rewrite)
    assert process_again(busy, "not JSON").records == {"not JSON": 3}
    busy.ledger.close()
    assert [line["line"] for line in filtered.rejects("a.json")] == [3, 4, 12, 19]
    mended(filtered).work(AFTER)
    assert process_again(filtered, "missing", now=AFTER).records == {"missing": 2}


class Late(FileObjects):
    """A store in which something else happens just before the quarantine is written."""

    before: Callable[[], object]

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        if key.startswith("quarantine/"):
            self.before()
        return super().put_file(key, source)


@pytest.mark.parametrize("settled", [True, False])
def test_a_newer_version_whose_quarantine_was_written_over_is_filtered_once_more(
    filtered: Stage, settled: bool
) -> None:
    """It is filtered, or is about to be settled, between the last look at it and the writing."""
    filtered.deliver()
    late = Late(filtered.landing.url, filtered.root / "landing")
    ended = list[Outcome]()

    def rewrite() -> None:
        filtered.land("a.json", text([*MORE, *WORSE, *MIXED]))
        filtered.take_in(LATER)
        if settled:
            filtered.work(LATER)
        else:
            claimed = filtered.ledger.claim(filtered.feed.queue, owner="run", limit=9, now=LATER, lease=LEASE)
            ended.extend(filtered.filtering(LATER).outcome(item, lambda _: True) for item in claimed)

    late.before = rewrite
    assert process_again(replace(filtered, landing=late), "not JSON").records == {"not JSON": 3}
    filtered.ledger.settle(ended, LATER)
    mended(filtered).work(AFTER)
    assert filtered.item("a.json").detail["rejected"] == {"missing": 2, "not UTF-8": 2}
    assert [line["line"] for line in filtered.rejects("a.json")] == [3, 4, 12, 19]
    assert process_again(filtered, now=AFTER).skipped == {}


class Killed(BaseException):
    """Stands for the end of a run."""


class Last(Late):
    """A store whose process ends as soon as the quarantine is written."""

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        info = super().put_file(key, source)
        if key.startswith("quarantine/"):
            raise Killed
        return info


def test_killed_once_a_newer_version_s_quarantine_is_written_over_asking_for_the_hour_brings_it_back(
    filtered: Stage,
) -> None:
    filtered.deliver()
    last = Last(filtered.landing.url, filtered.root / "landing")

    def rewrite() -> None:
        filtered.land("a.json", text([*MORE, *WORSE, *MIXED]))
        filtered.run(LATER)
        filtered.deliver()

    last.before = rewrite
    with pytest.raises(Killed):
        process_again(replace(filtered, landing=last), "not JSON")
    left = [(one.version, one.state) for one in filtered.released()]
    assert [line["line"] for line in filtered.rejects("a.json")] == [8, 15]
    assert reopen_damaged(filtered.filtering(AFTER), EVERYTHING)[1] == 1
    filtered.work(AFTER)
    assert [line["line"] for line in filtered.rejects("a.json")] == [3, 4, 12, 19]
    item = filtered.item("a.json")
    assert (item.state, item.reason) == (State.SETTLED, None)
    assert item.detail["rejected"] == {"missing": 2, "not UTF-8": 2}
    assert [(one.version, one.state) for one in filtered.released()][: len(left)] == left
    assert reopen_damaged(filtered.filtering(AFTER), EVERYTHING)[1] == 0
    assert process_again(filtered, "missing", now=AFTER).records == {"missing": 2}


# Killed


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
    """A ledger whose process may die before, and after, work is claimed, settled or amended."""

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

    def amend(self, item: Item, detail: Mapping[str, Any], items: Sequence[NewItem], now: datetime) -> bool:
        self.step()
        done = super().amend(item, detail, items, now)
        self.step()
        return done


def prepare(root: Path) -> Stage:
    """One file of which some rejected records stay, and one of which none does."""
    root.mkdir()
    stage = Stage.open(root)
    stage.land("a.json", text(MIXED))
    stage.land("b.json", text([*GOOD, *BAD]))
    stage.run()
    return stage


def process(stage: Stage) -> None:
    process_again(stage, "not JSON")


def prepare_rewritten(root: Path) -> Stage:
    """Both files are rewritten once their records were moved; one of the copies waits, the other is filtered."""
    stage = prepare(root)
    process(stage)
    made = stage.ledger.claim(stage.feed.queue, owner="run", limit=1, now=LATER, lease=LEASE)
    outcome = mended(stage).filtering(LATER).outcome
    stage.ledger.settle([outcome(item, lambda _: True) for item in made], LATER)
    for name in ("a.json", "b.json"):
        rewrite(stage, name)
    stage.take_in(AFTER)
    return stage


def rewrite(stage: Stage, name: str) -> None:
    stage.land(name, text([*MORE, *MIXED[::-1]] if name == "a.json" else [*BAD, *GOOD, *MORE]))


def filter_mended(stage: Stage) -> None:
    mended(stage).work(AFTER)


ACTS = {"moved": (prepare, process), "rewritten": (prepare_rewritten, filter_mended)}


def act_and_die(root: Path, act: str, at: int) -> None:
    before, do = ACTS[act]
    stage = before(root)
    steps = count(1)

    def step() -> None:
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    landing, lake = DyingObjects(stage.landing.url, root / "landing"), DyingObjects(stage.lake.url, root / "lake")
    ledger = DyingLedger.on_sqlite(f"sqlite:///{root / 'ledger.db'}")
    landing.step = lake.step = step
    ledger.step = step  # type: ignore[attr-defined]  # the constructor is declared to give the parent's type
    do(replace(stage, landing=landing, lake=lake, ledger=ledger))


def die_at_every_step(root: Path, act: str) -> None:
    """Fork once for each step, from a process that has all its modules loaded; the last fork lives."""
    ACTS[act][0](root / "before").ledger.close()
    for at in count(1):
        child = os.fork()
        if not child:
            act_and_die(root / f"{at:02}", act, at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WTERMSIG(status) == signal.SIGKILL


def killed_in(root: Path, act: str) -> list[Path]:
    """The folder of each death."""
    process = child_process(die_at_every_step, root, act)
    process.start()
    process.join()
    assert process.exitcode == 0
    *killed, _, _ = sorted(root.iterdir())
    return killed


@pytest.mark.parametrize("then", ["nothing", "rewritten"])
def test_killed_at_any_step_each_record_is_still_counted_once_and_the_next_run_ends_it(
    tmp_path: Path, then: str
) -> None:
    killed = killed_in(tmp_path, "moved")
    assert len(killed) == 12
    for root in killed:
        stage = mended(Stage.open(root))
        if then == "rewritten":
            rewrite(stage, "a.json")
            rewrite(stage, "b.json")
            stage.take_in(AFTER)
        stage.work(AFTER)
        process_again(stage, "not JSON", now=AFTER)
        stage.work(AFTER)
        more = 2 * len(MORE) * (then == "rewritten")
        assert counted(stage) == (28 + more, 26 + more, {"missing": 1, "not UTF-8": 1})
        assert rows(stage) == 26 + more
        stage.ledger.close()


def test_killed_at_any_step_of_filtering_a_rewritten_file_nothing_leaves_twice(tmp_path: Path) -> None:
    killed = killed_in(tmp_path, "rewritten")
    assert len(killed) > 15
    for root in killed:
        stage = mended(Stage.open(root))
        stage.work(AFTER + 2 * LEASE)
        assert {item.state for item in again(stage)} == {State.SETTLED}
        assert counted(stage) == (32, 30, {"missing": 1, "not UTF-8": 1})
        assert rows(stage) == 30
        assert [line["line"] for line in stage.rejects("a.json")] == [3, 10]
        assert len({one.name for one in stage.released(State.PENDING)}) == 4
        stage.ledger.close()
