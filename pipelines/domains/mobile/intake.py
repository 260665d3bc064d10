"""Landed files into the ledger: which are ours to filter, which hour they belong to, which are set aside."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.uploads import Upload, Uploads
from pipelines.core.periods import exists, hour_of_path, hour_start
from pipelines.core.work import NewItem, Reason, State
from pipelines.domains.mobile.feeds import AGAIN_MARK, FEEDS, Feed

LONGEST_NAME = 255 - len("YYYY-MM-DD-HH-") - len(f"{AGAIN_MARK}0123456789ab.jsonl") - len(".parquet")
"""In bytes: with what is put around it, once its records are processed again too, it must still be a file's name where
it is delivered."""


@dataclass(slots=True)
class Intake:
    """What one tick took in of a feed: new files by partition, and how many were set aside.

    ``unreadable`` counts messages that could not be understood; they may have been about any feed. ``foreign`` counts
    objects that the tick was told of and that are of none.
    """

    seen: int = 0
    new: Counter[str] = field(default_factory=Counter)
    aside: int = 0
    bytes: int = 0
    newest: datetime | None = None
    unreadable: int = 0
    foreign: int = 0


def take_in(
    feed: Feed, uploads: Uploads, ledger: Ledger, start: date, now: datetime, seconds: float
) -> dict[str, Intake]:
    """Record every landed file that is not known yet, for so long at most; the next tick goes on from there.

    Returns:
        What was taken in, by queue: of this feed, and of each other one that the tick happened to be told of.
    """
    ends_at = time.monotonic() + seconds
    intakes: dict[str, Intake] = defaultdict(Intake, {feed.queue: Intake()})
    for batch in uploads.batches(feed.queue, now, also=FEEDS):
        intakes[feed.queue].unreadable += batch.unreadable
        intakes[feed.queue].foreign += batch.foreign
        for of in FEEDS.values():
            found = [upload for upload in batch.uploads if upload.key.startswith(f"{of.queue}/")]
            if found:
                _record(intakes[of.queue], of, found, ledger, start, now)
        batch.done()
        if time.monotonic() > ends_at:
            break
    return dict(intakes)


def _record(intake: Intake, feed: Feed, uploads: Sequence[Upload], ledger: Ledger, start: date, now: datetime) -> None:
    taken = ledger.take_in([new_item(feed, upload, start, now) for upload in uploads], now)
    intake.new.update(taken.new)
    intake.aside += taken.aside
    intake.seen += len(uploads)
    if taken.new:
        newest = max(one.modified for one in uploads)
        intake.newest = max(newest, intake.newest or newest)
        intake.bytes += taken.bytes


def take_in_hour(feed: Feed, uploads: Uploads, ledger: Ledger, partition: str, now: datetime) -> None:
    """Record what has landed in the folder of one hour, however old: who asks for that hour means all of it."""
    hour = hour_start(partition)
    for batch in uploads.folder(f"{feed.queue}/{hour:%Y/%m/%d/%H}/", now):
        ledger.take_in([new_item(feed, upload, hour.date(), now) for upload in batch], now)


def new_item(feed: Feed, upload: Upload, start: date, now: datetime) -> NewItem:
    """The work that one landed file asks for. A late file belongs to the hour of its folder."""
    # Year, month, day and hour follow the feed's own folders and nothing else does, so no two files share an output.
    depth = feed.queue.count("/") + 5
    partition = hour_of_path(upload.key) if upload.key.count("/") == depth else None
    name = upload.key.rsplit("/", 1)[-1]
    if len(name.encode()) > LONGEST_NAME:
        state, reason = State.ASIDE, Reason.NAME_TOO_LONG
    elif not name.endswith(feed.endings) or AGAIN_MARK in name:
        state, reason = State.ASIDE, Reason.UNKNOWN_KIND
    elif partition is None or not exists(partition, start, now):
        state, reason = State.ASIDE, Reason.OUT_OF_RANGE
    else:
        state, reason = State.PENDING, None
    return NewItem(
        feed.queue,
        upload.key,
        f"{upload.etag} {upload.size}",
        partition or "",
        upload.size,
        state=state,
        reason=reason,
        cause="landed",
        detail={"etag": upload.etag, "landed_at": upload.modified.isoformat()},
    )
