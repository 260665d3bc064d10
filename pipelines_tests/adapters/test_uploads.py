from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest

from pipelines.adapters.objects import ObjectInfo, Objects, ObjectsUnavailable, open_objects
from pipelines.adapters.uploads import BATCH, Batch, Upload, Uploads, open_uploads
from pipelines.core.rhythms import Mark

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
"""Later than all that a test writes, so that it counts as unchanged."""

FEED = "mobile/events"
HOUR = f"{FEED}/{NOW:%Y/%m/%d/%H}"
LAST_MONTH = f"{FEED}/{NOW - timedelta(days=31):%Y/%m/%d/%H}"

FORMS: dict[str, Callable[[Path], str]] = {
    "file": lambda folder: (folder / "landing").as_uri(),
    "memory": lambda _: "memory://",
}


class KeptMarks:
    """Marks in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Mark] = {}

    def mark(self, name: str) -> Mark | None:
        return self.kept.get(name)

    def set_mark(self, name: str, mark: Mark) -> None:
        self.kept[name] = mark


@pytest.fixture(params=FORMS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    return open_objects(FORMS[request.param](tmp_path))


@pytest.fixture
def marks() -> KeptMarks:
    return KeptMarks()


@pytest.fixture
def uploads(objects: Objects, marks: KeptMarks) -> Uploads:
    return open_uploads("list://", objects, marks)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """The folder of a file store, for what only a foreign writer does."""
    folder = tmp_path / "landing"
    (folder / HOUR).mkdir(parents=True)
    return folder


def take_in(batches: Iterable[Batch]) -> list[Upload]:
    found: list[Upload] = []
    for batch in batches:
        found += batch.uploads
        batch.done()
    return found


def keys(found: Iterable[Upload]) -> set[str]:
    return {upload.key for upload in found}


def test_an_upload_is_found_with_its_version(objects: Objects, uploads: Uploads) -> None:
    info = objects.put(f"{HOUR}/a.json", b"{}")
    found = take_in(uploads.batches(FEED, NOW))
    assert set(found) == {Upload(info.key, info.etag, info.size, info.modified)}


def test_each_tick_finds_what_is_new_in_the_last_hours(objects: Objects, uploads: Uploads) -> None:
    take_in(uploads.batches(FEED, NOW))
    objects.put(f"{HOUR}/a.json", b"{}")
    assert keys(take_in(uploads.batches(FEED, NOW + timedelta(seconds=30)))) == {f"{HOUR}/a.json"}


def test_another_feed_is_another_listing(objects: Objects, uploads: Uploads) -> None:
    objects.put(f"mobile/packages/{HOUR.removeprefix(FEED)[1:]}/a.json", b"{}")
    objects.put(f"{FEED}_old/2025/01/01/00/a.json", b"{}")
    assert take_in(uploads.batches(FEED, NOW)) == []
    assert len(take_in(uploads.batches("mobile/packages", NOW))) == 3  # once in each rhythm


def test_a_late_file_in_last_months_folder_is_found_by_the_daily_listing(objects: Objects, uploads: Uploads) -> None:
    take_in(uploads.batches(FEED, NOW))
    objects.put(f"{LAST_MONTH}/late.json", b"{}")
    assert take_in(uploads.batches(FEED, NOW + timedelta(hours=23))) == []
    assert keys(take_in(uploads.batches(FEED, NOW + timedelta(hours=24)))) == {f"{LAST_MONTH}/late.json"}


def test_a_file_of_yesterday_is_found_by_the_hourly_listing(objects: Objects, uploads: Uploads) -> None:
    take_in(uploads.batches(FEED, NOW))
    yesterday = f"{FEED}/{NOW - timedelta(days=1):%Y/%m/%d/%H}/a.json"
    objects.put(yesterday, b"{}")
    assert take_in(uploads.batches(FEED, NOW + timedelta(minutes=59))) == []
    assert keys(take_in(uploads.batches(FEED, NOW + timedelta(minutes=60)))) == {yesterday}


@pytest.mark.parametrize(
    "name",
    ["a.json.part", "a.PART", "a.tmp", "a.crdownload", "a.json~", ".a.json", ".a.json.x4Kz9", ".inside/a.json"],
)
def test_names_that_writers_give_to_unfinished_files_are_passed_over(
    objects: Objects, uploads: Uploads, name: str
) -> None:
    objects.put(f"{HOUR}/{name}", b"{")
    objects.put(f"{HOUR}/whole.json", b"{}")
    assert keys(take_in(uploads.batches(FEED, NOW))) == {f"{HOUR}/whole.json"}


@pytest.mark.parametrize(
    ("age", "taken"), [(0, False), (2.9, False), (3, True), (600, True), (-2.9, False), (-3, True), (-9e6, True)]
)
def test_a_file_is_taken_once_it_stopped_changing(
    landing: Path, marks: KeptMarks, monkeypatch: pytest.MonkeyPatch, age: float, taken: bool
) -> None:
    """One whose time is ahead of ours would otherwise wait until our clock gets there."""
    file = landing / HOUR / "a.json"
    file.write_text("{")
    os.utime(file, ns=(0, int((NOW - timedelta(seconds=age)).timestamp() * 1e6) * 1000))
    uploads = open_uploads("list://", open_objects(landing.as_uri()), marks)
    monkeypatch.setattr("pipelines.adapters.uploads.listed.monotonic", lambda: 0.0)  # the edges are exact
    assert bool(take_in(uploads.batches(FEED, NOW))) is taken


def test_a_half_written_file_is_seen_by_the_next_tick_in_its_whole_version(landing: Path, marks: KeptMarks) -> None:
    file = landing / HOUR / "a.json"
    uploads = open_uploads("list://", open_objects(landing.as_uri()), marks)
    file.write_text('{"half": ')
    written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert take_in(uploads.batches(FEED, written + timedelta(seconds=1))) == []
    file.write_text('{"half": "whole"}')
    found = take_in(uploads.batches(FEED, written + timedelta(minutes=1)))
    assert {upload.size for upload in found} == {17}


def test_a_file_written_during_a_long_listing_is_not_taken_for_one_of_the_future(
    landing: Path, marks: KeptMarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick's time is that of its beginning; a minute into it, half a file is a minute ahead of that."""
    (landing / HOUR / "half.json").write_text("{")
    began = datetime.now(UTC) - timedelta(minutes=1)
    uploads = open_uploads("list://", open_objects(landing.as_uri()), marks)
    seconds = chain([100.0], repeat(160.0))
    monkeypatch.setattr("pipelines.adapters.uploads.listed.monotonic", lambda: next(seconds))
    assert take_in(uploads.batches(FEED, began)) == []


class ManyObjects:
    """A store that lists what it is told to, and fails after ``sound`` objects if told so."""

    url = "many://"

    def __init__(self, names: Iterable[str], sound: int | None = None) -> None:
        self.names = sorted(names)
        self.sound = sound

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        inside = [name for name in self.names if name.startswith(prefix) and name > (after or "")]
        for number, name in enumerate(inside):
            if number == self.sound:
                raise ObjectsUnavailable(prefix)
            yield ObjectInfo(name, 1, "1", NOW - timedelta(hours=1))

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"finding uploads needs no {name}")


def open_many(objects: ManyObjects, marks: KeptMarks) -> Uploads:
    return open_uploads("list://", objects, marks)  # type: ignore[arg-type]  # finding uploads only lists


@pytest.fixture
def many() -> list[str]:
    return [f"{LAST_MONTH}/{number:05}.json" for number in range(2 * BATCH + 1)]


def test_a_long_listing_comes_in_batches_and_goes_on_after_the_last_that_was_done(
    marks: KeptMarks, many: list[str]
) -> None:
    uploads = open_many(ManyObjects(many), marks)
    taken: list[str] = []
    sizes: list[int] = []
    for tick in range(4):  # each has time for one batch of the daily listing, and dies with the next one in hand
        for batch in uploads.batches(FEED, NOW + timedelta(seconds=tick)):
            if len(sizes) > tick:
                break
            if batch.uploads:
                taken += [upload.key for upload in batch.uploads]
                sizes.append(len(batch.uploads))
            batch.done()
    assert sizes == [BATCH, BATCH, 1]
    assert taken == many
    assert marks.kept[f"uploads/all/{FEED}"] == Mark(NOW)


def test_a_batch_that_is_not_done_comes_again(marks: KeptMarks, many: list[str]) -> None:
    uploads = open_many(ManyObjects(many), marks)
    first, second = (next(batch.uploads for batch in uploads.batches(FEED, NOW) if batch.uploads) for _ in range(2))
    assert first == second


def test_a_listing_without_uploads_is_finished_too(uploads: Uploads, marks: KeptMarks) -> None:
    """Otherwise an empty feed would be listed as a whole at every tick."""
    assert take_in(uploads.batches(FEED, NOW)) == []
    assert marks.kept == {f"uploads/all/{FEED}": Mark(NOW), f"uploads/window/{FEED}": Mark(NOW)}
    assert list(uploads.batches(FEED, NOW + timedelta(seconds=30))) == []


def test_a_failed_listing_is_not_an_empty_one(tmp_path: Path, marks: KeptMarks) -> None:
    (tmp_path / "landing").write_text("no folder")
    uploads = open_uploads("list://", open_objects((tmp_path / "landing").as_uri()), marks)
    with pytest.raises(ObjectsUnavailable):
        take_in(uploads.batches(FEED, NOW))
    assert marks.kept == {}


def test_a_listing_that_fails_halfway_goes_on_from_there(marks: KeptMarks, many: list[str]) -> None:
    failing = ManyObjects(many, sound=BATCH + 7)
    uploads = open_many(failing, marks)
    with pytest.raises(ObjectsUnavailable):
        take_in(uploads.batches(FEED, NOW))
    assert marks.kept[f"uploads/all/{FEED}"] == Mark(NOW, many[BATCH - 1])
    failing.sound = None
    assert keys(take_in(uploads.batches(FEED, NOW))) == set(many[BATCH:])


@pytest.mark.parametrize("url", ["queue://x", "list", ""])
def test_an_unknown_way_to_learn_of_uploads_names_those_that_are_known(
    objects: Objects, marks: KeptMarks, url: str
) -> None:
    with pytest.raises(ValueError, match="known are list://"):
        open_uploads(url, objects, marks)
