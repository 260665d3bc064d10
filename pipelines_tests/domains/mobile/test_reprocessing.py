"""Quarantined records processed again: each is counted once, and exported in a file of its own."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest

from pipelines.core.work import State
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.intake import LONGEST_NAME
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines_tests.domains.mobile.events.submissions import submission
from pipelines_tests.domains.mobile.mendings import (
    AFTER,
    BAD,
    GOOD,
    MIXED,
    WORSE,
    WRONG,
    again,
    counted,
    everything,
    land_mixed,
    mended,
    process_again,
    rows,
)
from pipelines_tests.domains.mobile.stages import HOUR, LATER, Stage, packed, text


@pytest.fixture
def filtered(stage: Stage) -> Stage:
    """A file with good and bad records, filtered."""
    return land_mixed(stage)


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


@pytest.mark.parametrize("name", ["x" * (LONGEST_NAME - 5) + ".json", "é" * 101 + ".json"])
def test_the_longest_names_still_give_names_that_every_store_takes(stage: Stage, name: str) -> None:
    stage.land(name, text([GOOD[0], b"{}", b"{}"]))
    stage.land("x.json", text([GOOD[0], b"{}"]))
    stage.run()
    assert process_again(stage).records == {"missing": 3}
    stage.work(AFTER)
    assert {item.state for item in again(stage)} == {State.SETTLED}
    assert counted(stage) == (5, 2, {"missing": 3})
    assert feeds.landed_name(again(stage)[0].name) in {name, "x.json"}
    assert max(len(feeds.export_name(item).encode()) for item in again(stage)) <= 255


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
