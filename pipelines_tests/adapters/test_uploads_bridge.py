"""Uploads into a SeaweedFS, of which its webhook tells over a queue on moto's SQS: two real servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.objects import ObjectInfo, Objects, open_objects
from pipelines.adapters.uploads import Polling, Upload, open_uploads
from pipelines.core.rhythms import Mark
from pipelines_tests.servers.bridge import running_told
from pipelines_tests.servers.queues import DeadLettered
from pipelines_tests.servers.seaweedfs import BUCKET

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
FEED = "mobile/packages"
HOUR = f"{FEED}/{NOW:%Y/%m/%d/%H}"


class ListedJustNow:
    """Marks by which no listing is due."""

    def mark(self, name: str) -> Mark:
        return Mark(NOW)

    def set_mark(self, name: str, mark: Mark) -> None:
        raise AssertionError(f"{name} is not due")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[DeadLettered]:
    """A queue that is told of all that is written to the bucket of SeaweedFS, in the accounts that are in use."""
    with running_told(tmp_path) as told:
        yield told.queue


@pytest.fixture
def objects(queue: DeadLettered) -> Objects:
    return open_objects(f"s3://{BUCKET}/in")


def test_what_is_written_to_seaweedfs_is_found_by_what_it_tells(queue: DeadLettered, objects: Objects) -> None:
    """One small, one rewritten, one in parts, one whose key has to be encoded, one of the lake and one deleted."""
    (large := Path("large")).write_bytes(bytes(20 << 20))
    objects.put(f"{HOUR}/rewritten.json", b"{}")
    objects.put(f"{HOUR}/deleted.json", b"{}")
    objects.delete(f"{HOUR}/deleted.json")
    open_objects(f"s3://{BUCKET}/lake").put(f"{HOUR}/a.json", b"{}")
    with large.open("rb") as source:
        in_parts = objects.put_file(f"{HOUR}/in-parts.json", source)
    there = {
        in_parts,
        objects.put(f"{HOUR}/small.json", b"{}"),
        objects.put(f"{HOUR}/rewritten.json", b'{"again": 1}'),
        objects.put(f"{HOUR}/a b+c=é%20&.json", b"{}"),
    }
    assert found(queue, objects, there) == {Upload.of(info) for info in there}


def found(queue: DeadLettered, objects: Objects, there: set[ObjectInfo]) -> set[Upload]:
    """What comes within half a minute; each tick may be told of some of it, and of some more than once."""
    uploads = open_uploads(queue.url, objects, ListedJustNow(), quiet=timedelta(0), polling=Polling(5))
    taken: set[Upload] = set()
    ends_at = time.monotonic() + 30
    while time.monotonic() < ends_at and ({one.key for one in taken} != {one.key for one in there} or queue.held()):
        for batch in uploads.batches(FEED, NOW):
            assert batch.unreadable == 0
            taken.update(batch.uploads)
            batch.done()
    return taken
