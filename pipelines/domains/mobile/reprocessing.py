"""Quarantined records processed again, once what rejected them is mended.

All of a file's records with a reason go into a file of their own, which is filtered, exported and counted like any
other, and no longer count as rejected where they came from. That file stands outside the folders that are listed, under
a name that no other run gives, and the ledger learns of it in the transaction that takes the records from their old
file. A crash before that moves nothing and leaves a file that nobody knows; retention deletes it. A crash after that
leaves the records in the quarantine too, where they are passed over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any
from uuid import uuid4

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects
from pipelines.adapters.objects.scratch import scratch
from pipelines.core.periods import hour_start
from pipelines.core.receipts import receipts_request
from pipelines.core.work import Item, NewItem, Reason, State
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.carried import AGAIN, MOVED
from pipelines.domains.mobile.feeds import EVENTS, Feed
from pipelines.domains.mobile.line_numbers import Collected, LineNumbers
from pipelines.domains.mobile.quarantine import DamagedQuarantine, Reject, write_reject
from pipelines.domains.mobile.rejected import still_rejected

FOLDER = "reprocessed"
"""Under the landing URL, beside the feeds' folders."""

DAMAGED = "quarantine missing or damaged"
CHANGED = "changed meanwhile"

_MADE = frozenset({State.SETTLED, State.CLAIMED})
"""States in which a file may have its quarantine by now; who works on it then has to do it again."""


@dataclass(slots=True)
class Reprocessed:
    """Files looked at; records that are processed again, and that stay, by reason; files left as they are, by why."""

    files: int = 0
    records: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Parted:
    """A file's rejected records in two: the chosen ones as they landed, the rest as lines of the quarantine."""

    chosen: IO[bytes]
    rest: IO[bytes]
    lines: Collected = field(default_factory=Collected)
    moved: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def choose(self, reject: Reject, ending: bytes) -> None:
        self.chosen.write(reject.raw + ending)
        self.lines.add(reject.line)
        self.moved[reject.reason] += 1

    def leave(self, reject: Reject) -> None:
        self.rest.write(write_reject(reject))
        self.left[reject.reason] += 1


def reprocess(
    feed: Feed,
    landing: Objects,
    ledger: Ledger,
    span: Span,
    reasons: Collection[str],
    now: datetime,
    found: Reprocessed,
    *,
    dry_run: bool,
) -> None:
    """Move the records that were rejected for these reasons (none named: for any) into files of their own.

    A record of which only the head was kept stays where it is. The files that are made here are not looked at, though
    their records may be rejected again before this has ended: they would go round and round.

    Args:
        feed: the feed.
        landing: the store of landed files and of the quarantine.
        ledger: the ledger.
        span: the hours of arrival.
        reasons: why the records were rejected.
        now: the wall clock.
        found: counts what is done, as it is done.
        dry_run: only count.
    """
    made = set[str]()
    for item in ledger.items(feed.queue, span, [State.SETTLED]):
        if item.name in made or not any(_is_wanted(reason, reasons) for reason in item.detail["rejected"]):
            continue
        found.files += 1
        with _part(feed, landing, item, reasons) as parted:
            if isinstance(parted, str):
                found.skipped[parted] += 1
                continue
            moves = not dry_run and bool(parted.moved)
            key = _key(feed, item)
            if moves and not _move(feed, landing, ledger, item, parted, key, now):
                found.skipped[CHANGED] += 1
                continue
            found.records.update(parted.moved)
            found.left.update(parted.left)
            if moves:
                made.add(key)
                if not _newer(ledger, item):  # else the quarantine is that version's, or will be
                    _clean(landing, item, parted)
                    # One that was filtered meanwhile may have written its quarantine before this one's.
                    ledger.reopen(_newer(ledger, item), now, Reason.NOT_INTACT, states=_MADE)


def _is_wanted(reason: str, reasons: Collection[str]) -> bool:
    return not reasons or reason in reasons


@contextmanager
def _part(feed: Feed, landing: Objects, item: Item, reasons: Collection[str]) -> Iterator[_Parted | str]:
    """Read the quarantine of a file, with flat memory; or why that can't be trusted.

    Only what agrees with the ledger is moved.
    """
    ending = b"" if feed is EVENTS else b"\n"
    with scratch() as chosen, scratch() as rest:
        parted = _Parted(chosen, rest)
        try:
            for reject in still_rejected(landing, item):
                if reject.is_whole and _is_wanted(reject.reason, reasons):
                    parted.choose(reject, ending)
                else:
                    parted.leave(reject)
        except (ObjectMissing, DamagedQuarantine):
            yield DAMAGED
        except ObjectChanged:
            yield CHANGED
        else:
            yield parted if parted.moved + parted.left == Counter(item.detail["rejected"]) else DAMAGED


def _move(feed: Feed, landing: Objects, ledger: Ledger, item: Item, parted: _Parted, key: str, now: datetime) -> bool:
    """Whether the records were moved; not if another run, or a newer version of the file, came first."""
    parted.chosen.seek(0)
    info = landing.put_file(key, parted.chosen)
    again = NewItem(
        feed.queue,
        key,
        f"{info.etag} {info.size}",
        item.partition,
        info.size,
        cause=f"processed again from {item.id}",
        detail={"etag": info.etag, "landed_at": info.modified.isoformat()},
    )
    receipts = receipts_request(item, key)  # not the request of the file's own settling again
    if not ledger.amend(item, _changes(item.detail, parted, key), [again, receipts], now):
        landing.delete(key)
        return False
    return True


def _newer(ledger: Ledger, item: Item) -> list[int]:
    """The versions of the file that came after this one: each that is older is superseded."""
    others = (one for one in ledger.versions(item.queue, item.name) if one.id != item.id)
    return [one.id for one in others if one.state is not State.SUPERSEDED]


def _clean(landing: Objects, item: Item, parted: _Parted) -> None:
    """Take the records out of the quarantine; until then they are passed over there."""
    if parted.left:
        parted.rest.seek(0)
        landing.put_file(feeds.quarantine_key(item), parted.rest)
    else:
        landing.delete(feeds.quarantine_key(item))


def _changes(detail: Mapping[str, Any], parted: _Parted, key: str) -> dict[str, Any]:
    """What changes in a file's facts: its records are read, and rejected, elsewhere."""
    moved = LineNumbers.read(detail.get(MOVED, ())) | parted.lines.numbers
    return {
        "rejected": dict(sorted(parted.left.items())),
        "read": detail["read"] - parted.moved.total(),
        AGAIN: [*detail.get(AGAIN, ()), key],
        MOVED: moved.stored,
    }


def _key(feed: Feed, item: Item) -> str:
    """Where the records go: named like their first file, with a mark that no landed file may carry."""
    ending = f"{feeds.AGAIN_MARK}{uuid4().hex[:12]}{'.json' if feed is EVENTS else '.jsonl'}"
    return f"{FOLDER}/{feed.queue}/{hour_start(item.partition):%Y/%m/%d/%H}/{feeds.landed_name(item.name)}{ending}"
