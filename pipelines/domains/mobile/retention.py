"""Landed files deleted once they are no longer needed: they are raw, and what they became is delivered and intact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, groupby

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import ObjectInfo, Objects, exists
from pipelines.core.periods import hour_of_path
from pipelines.core.work import UNSETTLED, Item, State
from pipelines.domains.mobile import reprocessing
from pipelines.domains.mobile.carried import copies_of
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.landed import intact
from pipelines.domains.mobile.rejected import is_as_counted

ABANDONED = timedelta(days=1)
"""A file that was to be processed again, and that the ledger did not come to know in so long a time, never will be."""

_OVER = frozenset({State.SETTLED, State.SUPERSEDED})


@dataclass(slots=True)
class Deleted:
    """Landed files that were, or would be, deleted with their bytes; and those that are kept, by the reason why."""

    files: int = 0
    bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)


def delete_landed(
    feed: Feed,
    landing: Objects,
    lake: Objects,
    ledger: Ledger,
    settled_before: datetime,
    deleted: Deleted,
    *,
    dry_run: bool,
) -> None:
    """Delete the landed files that were settled before a moment, as long as nothing may need them any more.

    What is done is counted in ``deleted`` as it is done. Of a record that was too long only the head remains then.
    """
    for partition, files in _by_hour(feed, landing):
        hour = _Hour.read(feed, ledger, partition)
        for info in files:
            why = hour.why_kept(info, landing, lake, settled_before)
            if why is None and not dry_run and not _delete(landing, info):
                why = "changed meanwhile"
            if why is not None:
                deleted.kept[why] += 1
                continue
            deleted.files += 1
            deleted.bytes += info.size


def _by_hour(feed: Feed, landing: Objects) -> Iterator[tuple[str, list[ObjectInfo]]]:
    """What is still there, hour by hour: the cost does not grow with what was deleted before."""
    folders = (f"{feed.queue}/", f"{reprocessing.FOLDER}/{feed.queue}/")
    found = chain.from_iterable(landing.list(folder) for folder in folders)
    for partition, files in groupby(found, lambda info: hour_of_path(info.key) or ""):
        yield partition, list(files)


@dataclass(frozen=True, slots=True)
class _Hour:
    """What the ledger knows of an hour's landed files, once these were listed."""

    known: dict[tuple[str, str | None], Item]
    undelivered: Collection[int | None]
    named: Collection[str]
    needed: Collection[str]

    @classmethod
    def read(cls, feed: Feed, ledger: Ledger, partition: str) -> _Hour:
        span = Span(partition, partition)
        known = {(item.name, item.detail.get("etag")): item for item in ledger.items(feed.queue, span)}
        undelivered = {one.parent for one in ledger.items(feed.exports, span) if one.state not in _OVER}
        named = {key for item in known.values() for key in copies_of(item.detail)}
        waiting = {item.name for item in known.values() if item.state in UNSETTLED}
        needed = {key for item in known.values() if item.name in waiting for key in copies_of(item.detail)}
        return cls(known, undelivered, named, needed)

    def why_kept(self, info: ObjectInfo, landing: Objects, lake: Objects, settled_before: datetime) -> str | None:
        item = self.known.get((info.key, info.etag))
        if item is None and self._is_abandoned(info, settled_before):
            return None
        if item is None or item.state is not State.SETTLED or item.settled_at is None:
            return "not settled"
        if item.settled_at >= settled_before:
            return "settled too short a time ago"
        return self._why_needed(item, landing, lake)

    def _why_needed(self, item: Item, landing: Objects, lake: Objects) -> str | None:
        """What still needs the bytes of a file that was settled long ago."""
        if item.id in self.undelivered:
            return "not delivered"
        if item.name in self.needed:  # by it a newer version of the file that its records are from tells what has left
            return "a newer version waits"
        if item.detail["rejected"] and not is_as_counted(landing, item):
            return reprocessing.DAMAGED
        return None if intact(lake, item) else "output not intact"

    def _is_abandoned(self, info: ObjectInfo, settled_before: datetime) -> bool:
        """Whether a crash left it behind: its records are still in the quarantine that they were to leave."""
        is_copy = info.key.startswith(f"{reprocessing.FOLDER}/")
        return is_copy and info.key not in self.named and info.modified < settled_before - ABANDONED


def _delete(landing: Objects, info: ObjectInfo) -> bool:
    """Whether it was deleted; what was rewritten since it was listed is another file, and not read yet."""
    if not exists(landing, info.key, info.etag):
        return False
    landing.delete(info.key)
    return True
