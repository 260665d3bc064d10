"""Which landed files are taken, to which hour they belong, and which are set aside."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.uploads import Upload
from pipelines.core.periods import hour_key
from pipelines.core.work import Reason, State
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed
from pipelines.domains.mobile.intake import LONGEST_NAME, new_item
from pipelines_tests.domains.mobile.stages import HOUR, LATER, NOW, START, Stage, lines, text

CONTENT = text(lines(3))


def upload(key: str) -> Upload:
    return Upload(key, "etag", 10, NOW)


KNOWN = [(PACKAGES, name) for name in ("a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz")] + [(EVENTS, "a.json")]
OTHERS = [(feed, name) for feed in (PACKAGES, EVENTS) for name in ("a.csv", "a.gz", "a.json.zip", "a", "json")]
OTHERS += [(EVENTS, name) for name in ("a.jsonl", "a.json.gz", "a.jsonl.gz")]


@pytest.mark.parametrize(("feed", "name"), KNOWN)
def test_each_known_ending_is_work_for_the_hour_of_its_folder(feed: Feed, name: str) -> None:
    item = new_item(feed, upload(f"{feed.queue}/2026/03/01/12/{name}"), START, NOW)
    assert (item.queue, item.state, item.partition, item.reason) == (
        feed.queue,
        State.PENDING,
        "2026-03-01-12:00",
        None,
    )


@pytest.mark.parametrize(("feed", "name"), OTHERS)
def test_other_endings_are_set_aside(feed: Feed, name: str) -> None:
    item = new_item(feed, upload(f"{feed.queue}/2026/03/01/12/{name}"), START, NOW)
    assert (item.queue, item.state, item.reason) == (feed.queue, State.ASIDE, Reason.UNKNOWN_KIND)


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
def test_a_landed_file_does_not_pass_for_one_that_is_processed_again(feed: Feed) -> None:
    """Its output would have the name of another one's."""
    item = new_item(feed, upload(f"{feed.queue}/2026/03/01/12/a.again-1.json"), START, NOW)
    assert (item.state, item.reason) == (State.ASIDE, Reason.UNKNOWN_KIND)


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
def test_a_name_is_as_long_as_it_can_be_where_it_is_delivered(feed: Feed) -> None:
    for length, state, reason in (
        (LONGEST_NAME, State.PENDING, None),
        (LONGEST_NAME + 1, State.ASIDE, Reason.NAME_TOO_LONG),
    ):
        name = "\N{LATIN SMALL LETTER E WITH ACUTE}" + "a" * (length - 2 - len(".json")) + ".json"  # 2 bytes, 1 letter
        item = new_item(feed, upload(f"{feed.queue}/2026/03/01/12/{name}"), START, NOW)
        assert (item.state, item.reason) == (state, reason)


@pytest.mark.parametrize(
    "folder",
    ["2024/12/31/23", "2026/03/01/13", "2026/02/30/00", "2026/03/01", "2026/03/01/24", "again/2026/03/01/12", ""],
)
@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
def test_what_lies_in_no_hour_that_exists_is_set_aside(feed: Feed, folder: str) -> None:
    """Before the first day, in the future, no date at all, or not directly below the feed's own folder."""
    item = new_item(feed, upload("/".join(filter(None, (feed.queue, folder, "a.json")))), START, NOW)
    assert (item.state, item.reason) == (State.ASIDE, Reason.OUT_OF_RANGE)


def test_two_files_of_one_name_never_share_an_output(stage: Stage) -> None:
    """A folder moved into the feed's own would else write over what stands in its place."""
    stage.land("a.json", CONTENT)
    moved = stage.root / "landing/mobile/packages/old/2026/03/01/12/a.json"
    moved.parent.mkdir(parents=True)
    moved.write_bytes(text(lines(2)))
    stage.run()
    assert stage.table("a.json").num_rows == 3
    assert {item.state for item in stage.items("a.json")} == {State.SETTLED, State.ASIDE}


def test_what_is_set_aside_is_counted_and_can_be_seen(stage: Stage) -> None:
    stage.land("a.json", CONTENT, HOUR + timedelta(days=1))
    stage.land("b.json", CONTENT, datetime(2024, 5, 1, tzinfo=UTC))
    stage.land("c.txt", CONTENT)
    taken = stage.take_in()
    assert (taken.seen, taken.aside, taken.new) == (3, 3, {})
    assert stage.work() == []
    assert {item.state for name in ("a.json", "b.json", "c.txt") for item in stage.items(name)} == {State.ASIDE}


def test_a_file_from_the_future_is_taken_once_its_hour_comes(stage: Stage) -> None:
    tomorrow = HOUR + timedelta(days=1)
    stage.land("a.json", CONTENT, tomorrow)
    stage.take_in()
    assert stage.take_in(tomorrow).new == {hour_key(tomorrow): 1}
    assert stage.item("a.json").state is State.PENDING


def test_a_file_put_late_into_the_folder_of_last_month_belongs_there(stage: Stage) -> None:
    last_month = HOUR - timedelta(days=30)
    stage.land("a.json", CONTENT, last_month)
    assert stage.run()[0].partition == hour_key(last_month)
    assert stage.output("a.json", last_month).exists()


def test_a_file_seen_again_changes_nothing(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    assert stage.take_in().new == {hour_key(HOUR): 1}
    again = stage.take_in(LATER)
    assert (again.seen, again.new, again.aside) == (1, {}, 0)
    stage.work()
    assert stage.take_in(LATER).new == {}
    assert stage.work(LATER) == []


def test_a_file_that_is_still_written_is_not_taken(stage: Stage) -> None:
    part = stage.land("a.json.part", CONTENT)
    stage.land(".b.json", CONTENT)
    young = stage.land("c.json", CONTENT)
    modified = NOW.timestamp() - 1
    os.utime(young, (modified, modified))
    quiet = timedelta(seconds=3)
    assert stage.take_in(NOW, quiet).seen == 0
    assert stage.take_in(NOW + quiet, quiet).seen == 1
    part.rename(part.with_suffix(""))
    assert stage.take_in(NOW + quiet, quiet).new == {hour_key(HOUR): 1}


@pytest.mark.parametrize("same_version", [True, False])
def test_a_file_that_was_gone_comes_back_when_it_is_put_back(stage: Stage, tmp_path: Path, same_version: bool) -> None:
    path = stage.land("a.json", CONTENT)
    stage.take_in()
    away = path.rename(tmp_path / "away")
    stage.work()
    assert stage.item("a.json").reason == Reason.GONE
    if same_version:
        away.rename(path)
    else:
        stage.land("a.json", CONTENT)
    assert stage.take_in().new == {hour_key(HOUR): 1}
    stage.work()
    assert stage.item("a.json").state is State.SETTLED
    assert len(stage.released(State.PENDING)) == 1


def test_a_file_that_changes_again_before_it_is_filtered_is_filtered_once(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.take_in()
    stage.land("a.json", text(lines(2)))
    stage.take_in()
    assert len(stage.work()) == 1
    assert [item.state for item in stage.items("a.json")] == [State.SUPERSEDED, State.SETTLED]
    assert stage.table("a.json").num_rows == 2


def test_the_quarantine_is_no_upload(stage: Stage) -> None:
    stage.land("a.json", b"{}")
    stage.run()
    assert stage.quarantine("a.json").exists()
    assert stage.take_in(LATER).seen == 1


def test_the_first_day_of_the_partitions_is_a_setting() -> None:
    key = "mobile/packages/2026/03/01/12/a.json"
    assert new_item(PACKAGES, upload(key), date(2026, 3, 1), NOW).state is State.PENDING
    assert new_item(PACKAGES, upload(key), date(2026, 3, 2), NOW).state is State.ASIDE
