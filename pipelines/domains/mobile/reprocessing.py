"""Quarantined records processed again, once what rejected them is mended.

Records leave the quarantine by reason: all of a file's with that reason go into a file of their own, which is filtered,
exported and counted like any other, and no longer count as rejected where they came from. That file stands outside
the folders that are listed, and the ledger learns of it in the transaction that takes the records from their old file:
a crash in between moves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import ObjectMissing, Objects
from pipelines.core.periods import hour_start
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.feeds import EVENTS, Feed
from pipelines.domains.mobile.landed import AGAIN, MOVED
from pipelines.domains.mobile.quarantine import Reject, read_rejects, write_reject

FOLDER = "reprocessed"
"""Under the landing URL, beside the feeds' folders."""


@dataclass(slots=True)
class Reprocessed:
    """Files looked at, and the records that are processed again, and those that can't be, by reason."""

    files: int = 0
    records: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def reprocess(
    feed: Feed,
    landing: Objects,
    ledger: Ledger,
    span: Span,
    reasons: Collection[str],
    now: datetime,
    *,
    dry_run: bool,
) -> Reprocessed:
    """Move the records that were rejected for these reasons (none named: for any) into files of their own.

    A record of which only the head was kept stays where it is.
    """
    found = Reprocessed()
    for item in ledger.items(feed.queue, span, [State.SETTLED]):
        counted: dict[str, int] = item.detail["rejected"]
        wanted = {reason for reason in counted if not reasons or reason in reasons}
        if not wanted:
            continue
        rejects = _read(landing, item)
        cut = {reject.reason for reject in rejects if not reject.is_whole}
        wanted -= cut
        found.files += 1
        found.left.update({reason: count for reason, count in counted.items() if reason not in wanted})
        chosen = [reject for reject in rejects if reject.reason in wanted]
        found.records.update(reject.reason for reject in chosen)
        if chosen and not dry_run:
            _move(feed, landing, ledger, item, rejects, wanted, now)
    return found


def _read(landing: Objects, item: Item) -> list[Reject]:
    try:
        lines = landing.get(feeds.quarantine_key(item)).splitlines()
    except ObjectMissing:
        return []
    # What an interrupted move left behind is in its new file already, and no longer counted here.
    return [reject for reject in read_rejects(lines) if reject.reason in item.detail["rejected"]]


def _move(
    feed: Feed, landing: Objects, ledger: Ledger, item: Item, rejects: list[Reject], wanted: set[str], now: datetime
) -> None:
    chosen = [reject for reject in rejects if reject.reason in wanted]
    number = int(item.detail.get(AGAIN, 0)) + 1
    key = _key(feed, item, number)
    info = landing.put(key, b"".join(reject.raw + (b"" if feed is EVENTS else b"\n") for reject in chosen))
    again = NewItem(
        feed.queue,
        key,
        f"{info.etag} {info.size}",
        item.partition,
        info.size,
        cause=f"processed again from {item.id}",
        detail={"etag": info.etag, "landed_at": item.detail.get("landed_at", item.seen_at.isoformat())},
    )
    rejected = {reason: count for reason, count in item.detail["rejected"].items() if reason not in wanted}
    changes = {
        "rejected": rejected,
        "read": item.detail["read"] - len(chosen),
        AGAIN: number,
        MOVED: sorted({*item.detail.get(MOVED, ()), *(reject.line for reject in chosen)}),
    }
    if ledger.amend(item, changes, [again], now):
        rest = [reject for reject in rejects if reject.reason not in wanted]
        if rest:
            landing.put(feeds.quarantine_key(item), b"".join(map(write_reject, rest)))
        else:
            landing.delete(feeds.quarantine_key(item))


def _key(feed: Feed, item: Item, number: int) -> str:
    """Where the records go: named like their first file, with a mark that no landed file may carry."""
    source = feeds.source_name(item.name)
    ending = feed.endings[0] if feed is EVENTS else ".jsonl"
    stem = PurePosixPath(source).stem if feed is EVENTS else source
    return f"{FOLDER}/{feed.queue}/{hour_start(item.partition):%Y/%m/%d/%H}/{stem}{feeds.AGAIN_MARK}{number}{ending}"
