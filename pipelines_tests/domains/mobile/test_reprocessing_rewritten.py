"""A file that is rewritten after some of its records were processed again: none of them is counted or leaves twice."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from pipelines.core.work import Item, Reason, State
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.landed import reopen_damaged
from pipelines.domains.mobile.retention import Deleted, delete_landed
from pipelines_tests.domains.mobile.events.submissions import submission
from pipelines_tests.domains.mobile.mendings import (
    AFTER,
    BAD,
    GOOD,
    MIXED,
    MORE,
    WORSE,
    again,
    counted,
    land_mixed,
    mended,
    process_again,
    rows,
)
from pipelines_tests.domains.mobile.stages import EVERYTHING, LATER, LEASE, Stage, lines, packed, text

REST = {"missing": 1, "not UTF-8": 1}


@pytest.fixture
def moved(stage: Stage) -> Stage:
    """A file whose three mendable records are in a copy that waits; the fix is in."""
    land_mixed(stage)
    stage.deliver()
    process_again(stage, "not JSON")
    return mended(stage)


def rewrite(stage: Stage, records: list[bytes], name: str = "a.json") -> Item:
    """Land the file anew and filter all that is due; the item of that version."""
    stage.land(name, text(records))
    stage.run(AFTER)
    return newest(stage, name)


def newest(stage: Stage, name: str = "a.json") -> Item:
    """The version that no newer one took the place of."""
    return max((one for one in stage.items(name) if one.state is not State.SUPERSEDED), key=lambda one: one.seen_at)


def delete(stage: Stage) -> Deleted:
    deleted = Deleted()
    before = AFTER + timedelta(hours=1)
    delete_landed(stage.feed, stage.landing, stage.lake, stage.ledger, before, deleted, dry_run=False)
    return deleted


def test_what_left_in_a_copy_is_passed_over_and_what_is_new_or_was_good_is_taken(moved: Stage) -> None:
    moved.work(AFTER)
    item = rewrite(moved, [*MIXED, *MORE])
    assert counted(moved) == (17, 15, REST)
    assert rows(moved) == 15
    assert item.detail["moved"] == [[6, 7], [14, 14]]
    assert item.detail["again"] == [one.name for one in again(moved)]
    assert [line["line"] for line in moved.rejects("a.json")] == [8, 15]


@pytest.mark.parametrize("reorder", [lambda records: records[::-1], sorted, lambda records: records[7:] + records[:7]])
def test_the_order_of_the_lines_does_not_matter(moved: Stage, reorder: Callable[[list[bytes]], list[bytes]]) -> None:
    moved.work(AFTER)
    rewrite(moved, reorder(MIXED))
    assert counted(moved) == (15, 13, REST)
    assert rows(moved) == 13


def test_a_record_is_passed_over_as_often_as_it_left(stage: Stage) -> None:
    stage.land("a.json", text([*GOOD, BAD[0], BAD[0]]))
    stage.run()
    process_again(stage)
    item = rewrite(mended(stage), [BAD[0], *GOOD, BAD[0], BAD[0]])
    assert counted(stage) == (13, 13, {})
    assert item.detail["moved"] == [[1, 1], [12, 12]]


def test_what_a_rewrite_takes_out_stays_where_it_was_moved(moved: Stage) -> None:
    moved.work(AFTER)
    rewrite(moved, GOOD)
    assert counted(moved) == (13, 13, {})


def test_a_mended_record_that_the_producer_corrected_is_another_record(moved: Stage) -> None:
    rewrite(moved, [record.removeprefix(b"#") for record in MIXED])
    assert counted(moved)[:2] == (3 + 15, 3 + 13)


def test_a_copy_that_waits_is_filtered_once_whether_before_or_after(moved: Stage) -> None:
    moved.land("a.json", text([*MIXED, *MORE]))
    moved.take_in(AFTER)
    items = moved.ledger.claim(moved.feed.queue, owner="slow", limit=9, now=AFTER, lease=LEASE)
    held = {item.name.startswith("reprocessed/"): item for item in items}
    filtering = moved.filtering(AFTER)
    for is_copy in (False, True):  # the copy is in hand while the file itself is filtered
        moved.ledger.settle([filtering.outcome(held[is_copy], lambda _: True)], AFTER)
    assert counted(moved) == (17, 15, REST)
    assert rows(moved) == 15


def test_a_copy_that_is_rejected_once_more_keeps_its_records(stage: Stage) -> None:
    land_mixed(stage)
    process_again(stage, "not JSON")
    stage.work(LATER)
    rewrite(stage, MIXED)
    assert counted(stage) == (15, 10, {**REST, "not JSON": 3})
    assert process_again(stage, "not JSON", now=AFTER).records == {"not JSON": 3}
    mended(stage).work(AFTER)
    assert counted(stage) == (15, 13, REST)
    rewrite(mended(stage), [*MIXED, *MORE])
    assert counted(stage) == (17, 15, REST)


def test_of_two_copies_both_count(moved: Stage) -> None:
    process_again(moved, "missing")
    moved.work(AFTER)
    item = rewrite(moved, [*MORE, *MIXED])
    assert len(item.detail["again"]) == len(again(moved)) == 2
    assert item.detail["moved"] == [[8, 10], [16, 16]]
    assert counted(moved) == (17, 15, REST)


def test_rewritten_twice_with_records_moved_in_between_nothing_is_forgotten(moved: Stage) -> None:
    moved.work(AFTER)
    rewrite(moved, [*MIXED, *MORE, *WORSE])
    assert process_again(moved, "missing", now=AFTER).records == {"missing": 2}
    moved.work(AFTER)
    rewrite(moved, [*MORE, *WORSE, *WORSE, *MIXED])
    assert counted(moved) == (21, 15, {"missing": 3, "not UTF-8": 3})
    assert rows(moved) == 15


def test_rewritten_twice_before_it_is_filtered_once(moved: Stage) -> None:
    for records in ([*MIXED, *MORE], [*MORE, *MIXED]):
        moved.land("a.json", text(records))
        moved.take_in(AFTER)
    moved.work(AFTER)
    assert counted(moved) == (17, 15, REST)


@pytest.mark.parametrize("filtered", [True, False])
def test_a_version_that_is_put_back_still_knows_what_was_moved_from_it(stage: Stage, filtered: bool) -> None:
    """The row of that version is work again, as if it had never been seen."""
    path = stage.land("a.json", text(MIXED))
    first = path.stat().st_mtime_ns
    stage.run()
    process_again(stage, "not JSON")
    moved = mended(stage)
    moved.work(AFTER)
    put(path, [*MIXED, *MORE, WORSE[0]], first + 1)
    moved.take_in(AFTER)
    if filtered:
        moved.work(AFTER)
        process_again(moved, "missing", now=AFTER)
    put(path, MIXED, first)
    moved.run(AFTER)
    assert newest(moved).id == moved.items("a.json")[0].id
    assert rows(moved) == 13
    # Of the two that were moved from the second version, only one is in the first.
    assert counted(moved) == ((16, 13, {"missing": 2, "not UTF-8": 1}) if filtered else (15, 13, REST))


def put(path: Path, records: list[bytes], modified: int) -> None:
    """Write in place: with one moment of change, one content is one version."""
    path.write_bytes(text(records))
    os.utime(path, ns=(modified, modified))


def test_a_file_that_comes_back_after_all_of_it_was_lost_still_knows_what_was_moved(stage: Stage) -> None:
    path = stage.land("a.json", text(MIXED))
    first = path.stat()
    stage.run()
    process_again(stage, "not JSON")
    moved = mended(stage)
    moved.work(AFTER)
    elsewhere = path.rename(stage.root / "elsewhere")
    moved.output("a.json").unlink()
    reopen_damaged(moved.filtering(AFTER), EVERYTHING)
    moved.work(AFTER)
    assert newest(moved).reason == Reason.OUTPUT_LOST
    elsewhere.rename(path)
    assert path.stat().st_mtime_ns == first.st_mtime_ns
    moved.run(AFTER)
    assert counted(moved) == (15, 13, REST)
    assert rows(moved) == 13


def test_a_newer_version_that_is_made_anew_gives_the_same_bytes(moved: Stage) -> None:
    moved.work(AFTER)
    rewrite(moved, [*MORE, *MIXED])
    before = moved.output("a.json").read_bytes()
    moved.output("a.json").unlink()
    reopen_damaged(moved.filtering(AFTER), EVERYTHING)
    delete(moved)
    moved.work(AFTER)
    assert moved.output("a.json").read_bytes() == before
    assert (newest(moved).state, newest(moved).reason) == (State.SETTLED, None)


@pytest.mark.parametrize("cut", [0, 40])
def test_packed_files_are_compared_by_what_is_in_them_as_far_as_they_go(stage: Stage, cut: int) -> None:
    stage.land("a.jsonl.gz", packed(MIXED))
    stage.run()
    process_again(stage)
    moved = mended(stage)
    moved.work(AFTER)
    content = packed([*MIXED, *lines(200, seed=4)])
    moved.land("a.jsonl.gz", content[: len(content) - cut])
    stage.run(AFTER)  # without the fix, whose signs would be those of packed bytes
    item = newest(moved, "a.jsonl.gz")
    assert item.detail["broken"] is bool(cut)
    assert item.detail["moved"] == [[6, 8], [14, 15]]
    assert item.detail["rejected"] == {}


def test_marks_and_line_ends_that_a_record_loses_as_it_is_moved_do_not_make_it_another(stage: Stage) -> None:
    mark = b"\xef\xbb\xbf"
    records = [BAD[0] + b"\r", GOOD[0], mark + BAD[1], BAD[2]]
    stage.land("a.json", text(records))
    stage.run()
    process_again(stage, "not JSON")
    moved = mended(stage)
    moved.work(AFTER)
    item = rewrite(moved, [GOOD[0], BAD[2] + b"\r", BAD[0], mark + BAD[1]])
    assert (item.detail["read"], item.detail["moved"]) == (1, [[2, 4]])


# What can't be told


def test_when_a_copy_is_deleted_already_nothing_leaves_and_a_person_is_called(moved: Stage) -> None:
    moved.work(LATER)
    moved.deliver()
    assert delete(moved).files == 2
    before, outputs = moved.released(), rows(moved)
    item = rewrite(moved, [*MIXED, *MORE])
    first, second = moved.items("a.json")
    assert (first.state, second.state, second.reason) == (State.SETTLED, State.DEAD, Reason.COPY_MISSING)
    assert item in (first, second)
    assert (moved.released(), rows(moved)) == (before, outputs)
    assert counted(moved) == (15, 13, REST)
    reopen_damaged(moved.filtering(AFTER), EVERYTHING)  # asked for by a person, it is told again
    moved.work(AFTER)
    assert moved.items("a.json")[-1].reason == Reason.COPY_MISSING
    rewrite(moved, MORE, "b.json")  # under a name of its own, what is new is taken
    assert counted(moved) == (17, 15, REST)


def test_what_was_released_before_a_version_that_can_t_be_told_may_still_leave(stage: Stage) -> None:
    land_mixed(stage)
    process_again(stage)
    (copy,) = again(stage)
    stage.landing.delete(copy.name)
    rewrite(mended(stage), MIXED)
    assert [one.state for one in stage.released()] == [State.PENDING]
    assert len(stage.deliver()) == 1


def test_a_copy_is_not_deleted_while_a_newer_version_of_its_file_waits(moved: Stage) -> None:
    moved.work(LATER)
    moved.deliver()
    moved.land("a.json", text([*MIXED, *MORE]))
    moved.take_in(LATER)
    assert delete(moved).kept == {"a newer version waits": 1, "not settled": 1}
    moved.work(LATER)
    moved.deliver()
    assert counted(moved) == (17, 15, REST)
    assert delete(moved).files == 2


def test_while_the_store_is_out_of_order_nothing_is_given_up(moved: Stage) -> None:
    moved.work(LATER)
    moved.land("a.json", text([*MIXED, *MORE]))
    folder, aside = moved.root / "landing/reprocessed", moved.root / "aside"
    folder.rename(aside)
    folder.symlink_to("reprocessed")  # it leads to itself: a file in it is neither there nor gone
    moved.run(AFTER)
    assert (moved.items("a.json")[-1].state, moved.items("a.json")[-1].reason) == (State.PENDING, Reason.UNREADABLE)
    folder.unlink()
    aside.rename(folder)
    moved.work(AFTER + timedelta(hours=1))
    assert counted(moved) == (17, 15, REST)


# Events


@pytest.fixture
def event(stage: Stage) -> Stage:
    """A submission in a copy; the fix is in."""
    stage = replace(stage, recipe=EventRecipe(1 << 18))
    stage.land("a.json", b"#" + orjson.dumps(submission()))
    stage.run()
    process_again(stage)
    stage = mended(stage)
    stage.work(AFTER)
    assert counted(stage) == (1, 1, {})
    return stage


def test_a_submission_that_lands_once_more_is_passed_over_whole(event: Stage) -> None:
    event.land("a.json", b"#" + orjson.dumps(submission()))
    event.run(AFTER)
    assert counted(event) == (1, 1, {})
    assert len(list(event.lake.list("mobile/events/"))) == len(event.released()) == 1


def test_a_submission_of_other_bytes_is_another_one(event: Stage) -> None:
    event.land("a.json", orjson.dumps(submission()))
    event.run(AFTER)
    assert counted(event) == (2, 2, {})
    item = newest(event)
    assert (item.detail["moved"], len(item.detail["again"])) == ([], 1)
    event.land("a.json", b"#" + orjson.dumps(submission()))
    event.run(AFTER)
    assert counted(event) == (1, 1, {})
    assert len(list(event.lake.list("mobile/events/"))) == 1


def test_a_submission_whose_copy_is_gone_is_not_taken(event: Stage) -> None:
    (copy,) = again(event)
    event.landing.delete(copy.name)
    event.land("a.json", b"#" + orjson.dumps(submission()))
    event.run(AFTER)
    assert newest(event).reason == Reason.COPY_MISSING
    assert counted(event) == (1, 1, {})
