"""Quarantined records processed again: each is counted once, whatever comes in between."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tracemalloc
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import IO, Any

import orjson
import pytest

from pipelines.adapters.ledger import Span
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.adapters.objects import ObjectInfo
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.intake import LONGEST_NAME
from pipelines.domains.mobile.landed import Content, Recipe, reopen_damaged
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines.domains.mobile.reprocessing import CHANGED, DAMAGED, Reprocessed, reprocess
from pipelines.domains.mobile.totals import total
from pipelines_tests.domains.mobile.events.submissions import submission
from pipelines_tests.domains.mobile.stages import EVERYTHING, HOUR, LATER, RECIPE, Stage, lines, packed, text

# Spawned processes share nothing with this one, as the runs of different machines do not.
processes = multiprocessing.get_context("spawn")

AFTER = LATER + timedelta(hours=1)
GOOD, BAD, WORSE = lines(10), [b"#" + line for line in lines(3, seed=2)], [b"{}", b"\xff{}"]
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


@pytest.fixture
def filtered(stage: Stage) -> Stage:
    """A file with good and bad records, filtered."""
    stage.land("a.json", text(MIXED))
    stage.run()
    assert counted(stage) == (15, 10, WRONG)
    return stage


# What it does


def test_records_are_counted_once_before_while_and_after_they_are_processed_again(filtered: Stage) -> None:
    found = process_again(filtered, "not JSON")
    assert (found.files, found.records, found.left) == (1, {"not JSON": 3}, {"missing": 1, "not UTF-8": 1})
    assert counted(filtered) == (12, 10, {"missing": 1, "not UTF-8": 1})
    assert [line["line"] for line in filtered.rejects("a.json")] == [8, 15]
    mended(filtered).work(AFTER)
    assert counted(filtered) == (15, 13, {"missing": 1, "not UTF-8": 1})
    assert rows(filtered) == 13


def test_they_are_exported_in_a_file_of_their_own_and_what_had_left_is_not_sent_again(filtered: Stage) -> None:
    filtered.deliver()
    before = filtered.released()
    process_again(filtered)
    mended(filtered).work(AFTER)
    (made,) = again(filtered)
    (released,) = filtered.released(State.PENDING)
    assert released.parent == made.id
    assert released.name.startswith("2026-03-01-12-a.json.again-")
    assert released.name.endswith(".jsonl.parquet")
    assert filtered.released(State.SETTLED) == before


def test_a_dry_run_tells_the_same_and_changes_nothing(filtered: Stage) -> None:
    before = everything(filtered.root), list(filtered.ledger.items(filtered.feed.queue))
    told = process_again(filtered, "not JSON", dry_run=True)
    assert (everything(filtered.root), list(filtered.ledger.items(filtered.feed.queue))) == before
    assert told == process_again(filtered, "not JSON")


def test_without_a_reason_all_are_moved_byte_for_byte_and_nothing_is_left_in_quarantine(filtered: Stage) -> None:
    process_again(filtered)
    (made,) = again(filtered)
    assert filtered.landing.get(made.name) == text([*BAD[:2], WORSE[0], BAD[2], WORSE[1]])
    assert not filtered.quarantine("a.json").exists()
    assert counted(filtered) == (10, 10, {})


def test_what_is_rejected_once_more_can_be_processed_once_more_under_a_name_that_does_not_grow(
    filtered: Stage,
) -> None:
    sizes = set()
    for day in range(4):
        now = LATER + timedelta(days=day)
        assert process_again(filtered, now=now).records == WRONG
        filtered.work(now)
        assert counted(filtered) == (15, 10, WRONG)
        sizes.add(len(again(filtered)[-1].name))
    assert len(sizes) == 1


def test_packed_files_are_read_from_their_quarantine_too(stage: Stage) -> None:
    stage.land("a.jsonl.gz", packed(MIXED))
    stage.run()
    process_again(stage)
    mended(stage).work(AFTER)
    assert counted(stage) == (15, 13, {"missing": 1, "not UTF-8": 1})


def test_of_a_record_that_is_too_long_only_the_head_is_there_so_it_stays(stage: Stage) -> None:
    longest = max(map(len, GOOD))
    stage = replace(stage, recipe=PackageRecipe(longest))
    stage.land("a.json", text([*GOOD, GOOD[0] + b" " * longest, b"{}"]))
    stage.run()
    found = process_again(stage)
    assert (found.records, found.left) == ({"missing": 1}, {"too long": 1})
    assert counted(stage) == (11, 10, {"too long": 1})
    assert [line["reason"] for line in stage.rejects("a.json")] == ["too long"]


@pytest.mark.parametrize("name", ["x" * (LONGEST_NAME - 5) + ".json", "é" * 110 + ".json"])
def test_the_longest_names_still_give_names_that_every_store_takes(stage: Stage, name: str) -> None:
    stage.land(name, text([GOOD[0], b"{}", b"{}"]))
    stage.land("x.json", text([GOOD[0], b"{}"]))
    stage.run()
    assert process_again(stage).records == {"missing": 3}
    stage.work(AFTER)
    assert {item.state for item in again(stage)} == {State.SETTLED}
    assert counted(stage) == (5, 2, {"missing": 3})


# Events


@pytest.fixture
def events(stage: Stage) -> Stage:
    stage = replace(stage, recipe=EventRecipe(1 << 18))
    stage.land("1772366400000_a.json", b"#" + orjson.dumps(submission()))
    stage.land("1772366400000_b.json", orjson.dumps(submission()))
    stage.run()
    assert counted(stage) == (2, 1, {"not JSON": 1})
    return stage


def test_a_submission_moves_whole_and_its_first_file_counts_nothing_any_more(events: Stage) -> None:
    process_again(events)
    assert counted(events) == (1, 1, {})
    assert events.item("1772366400000_a.json").detail["read"] == 0
    mended(events).work(AFTER)
    assert counted(events) == (2, 2, {})
    (made,) = again(events)
    assert events.landing.get(made.name) == events.path("1772366400000_a.json").read_bytes()
    (released,) = [one for one in events.released() if one.parent == made.id]
    assert released.name.startswith("1772366400000_")


def test_a_submission_whose_first_file_is_filtered_anew_is_not_counted_twice(events: Stage) -> None:
    process_again(events)
    mended(events).work(AFTER)
    item = events.item("1772366400000_a.json")
    events.ledger.reopen([item.id], AFTER, "for the test")
    mended(events).work(AFTER)
    assert events.item(item.name.rsplit("/", 1)[-1]).state is State.SETTLED
    assert counted(events) == (2, 2, {})
    assert len(list(events.lake.list("mobile/events/"))) == 2
    assert len(events.released()) == 2


# Files that change, are lost, or are filtered anew


def test_a_file_that_is_made_anew_leaves_the_moved_records_where_they_are(filtered: Stage) -> None:
    process_again(filtered, "not JSON")
    mended(filtered).work(AFTER)
    filtered.output("a.json").unlink()
    reopen_damaged(mended(filtered).filtering(AFTER), EVERYTHING)
    mended(filtered).work(AFTER)
    assert counted(filtered) == (15, 13, {"missing": 1, "not UTF-8": 1})
    assert rows(filtered) == 13
    assert [line["line"] for line in filtered.rejects("a.json")] == [8, 15]
    assert process_again(filtered, now=AFTER).records == {"missing": 1, "not UTF-8": 1}


def test_what_a_crash_left_in_the_quarantine_is_passed_over(filtered: Stage) -> None:
    before = filtered.quarantine("a.json").read_bytes()
    process_again(filtered, "not JSON")
    filtered.quarantine("a.json").write_bytes(before)
    found = process_again(filtered, now=AFTER)
    assert found.records == {"missing": 1, "not UTF-8": 1}
    first, second = sorted(again(filtered), key=lambda item: item.id)
    assert filtered.landing.get(first.name) == text(BAD)
    assert filtered.landing.get(second.name) == text(WORSE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1])),
        lambda path: path.write_bytes(path.read_bytes() * 2),
    ],
    ids=["gone", "cut", "a record less", "twice"],
)
def test_a_quarantine_that_is_not_what_was_counted_is_left_and_the_others_go_on(
    filtered: Stage, damage: Callable[[Path], object]
) -> None:
    filtered.land("b.json", text([GOOD[0], b"{}"]))
    filtered.run()
    damage(filtered.quarantine("a.json"))
    found = process_again(filtered)
    assert (found.files, found.skipped, found.records) == (2, {DAMAGED: 1}, {"missing": 1})
    assert counted(filtered) == (16, 11, WRONG)


def test_a_file_whose_newer_version_waits_is_left_alone(filtered: Stage) -> None:
    filtered.land("a.json", text([*MIXED, GOOD[0]]))
    filtered.take_in(LATER - timedelta(seconds=1))
    assert process_again(filtered).skipped == {CHANGED: 1}
    assert not list(filtered.landing.list("reprocessed/"))
    mended(filtered).work(AFTER)
    assert counted(filtered) == (16, 14, {"missing": 1, "not UTF-8": 1})


# Others at work


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


# Speed and memory


def test_memory_stays_flat_however_much_is_in_quarantine(stage: Stage) -> None:
    stage.land("a.json", text([b"#" * 900_000 for _ in range(60)]))
    stage.run()
    tracemalloc.start()
    try:
        process_again(stage)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stage.landing.head(again(stage)[0].name).size > 50_000_000
    assert peak < 20_000_000


def test_a_file_of_which_everything_was_rejected_takes_little_room_in_the_ledger(stage: Stage) -> None:
    stage.land("a.json", text([b"#"] * 5_000))
    stage.run()
    process_again(stage)
    assert len(orjson.dumps(dict(stage.item("a.json").detail))) < 1_000
    assert stage.item("a.json").detail["moved"] == [[1, 5_000]]
    assert again(stage)[0].partition == f"{HOUR:%Y-%m-%d-%H}:00"
