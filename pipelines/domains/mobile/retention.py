"""Landed files deleted once they are no longer needed: they are raw, and what they became is delivered and intact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, groupby

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import ObjectInfo, Objects
from pipelines.core.periods import hour_of_path
from pipelines.core.work import Item, State
from pipelines.domains.mobile import reprocessing
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.landed import intact

_OVER = frozenset({State.SETTLED, State.SUPERSEDED})


@dataclass(slots=True)
class Deleted:
    """Landed files that were, or would be, deleted with their bytes; and those that are kept, by the reason why."""

    files: int = 0
    bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)


def delete_landed(
    feed: Feed, landing: Objects, lake: Objects, ledger: Ledger, settled_before: datetime, *, dry_run: bool
) -> Deleted:
    """Delete the landed files that were settled before a moment, as long as nothing may need them any more."""
    deleted = Deleted()
    for partition, files in _by_hour(feed, landing):
        span = Span(partition, partition)
        known = {(item.name, item.detail.get("etag")): item for item in ledger.items(feed.queue, span)}
        undelivered = {one.parent for one in ledger.items(feed.exports, span) if one.state not in _OVER}
        for info in files:
            why = _why_kept(known.get((info.key, info.etag)), lake, undelivered, settled_before)
            if why is not None:
                deleted.kept[why] += 1
                continue
            deleted.files += 1
            deleted.bytes += info.size
            if not dry_run:
                landing.delete(info.key)
    return deleted


def _by_hour(feed: Feed, landing: Objects) -> Iterator[tuple[str, list[ObjectInfo]]]:
    """What is still there, hour by hour: the cost does not grow with what was deleted before."""
    folders = (f"{feed.queue}/", f"{reprocessing.FOLDER}/{feed.queue}/")
    found = chain.from_iterable(landing.list(folder) for folder in folders)
    for partition, files in groupby(found, lambda info: hour_of_path(info.key)):
        if partition is not None:
            yield partition, list(files)


def _why_kept(item: Item | None, lake: Objects, undelivered: set[int | None], settled_before: datetime) -> str | None:
    if item is None or item.state is not State.SETTLED or item.settled_at is None:
        return "not settled"
    if item.settled_at >= settled_before:
        return "settled too short a time ago"
    if item.id in undelivered:
        return "not delivered"
    return None if intact(lake, item) else "output not intact"
