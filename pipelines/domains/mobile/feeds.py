"""The feeds of landed files, and every name that follows from a landing key: outputs, quarantine, exports.

Here: what differs between the feeds apart from their content. Not here: what a file holds and what is made of it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.core.periods import hive_path, hour_start
from pipelines.core.work import Item, NewItem

_EXPORT_IDS = uuid.UUID("6f1f2b0a-5a55-4d0b-9d0e-7f0f4c1f3a52")
"""The namespace of the ids in names of exported events."""

_ARRIVAL = re.compile(r"([12][0-9]{12})_")
"""Milliseconds since 1970, from 2001 to 2065."""

AGAIN_MARK = ".again-"
"""In the names of files with records that are processed again; no landed file may carry it."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One kind of landed files.

    Attributes:
        queue: the ledger's queue of landed files to filter; also the asset, and the folder in landing and lake.
        exports: the queue that releases what is filtered and verified to its delivery.
        endings: of the file names that are read.
        content_type: what is delivered is sent as.
        code_version: raised when the same input and mapping give another output: what was not delivered yet is then
            made again.
        export_name: the name where an output is delivered, by the partition and the landing key.
        keeps_source_name: whether an output in the lake is named like its source, or else like its export.
        table: the queue of the hours whose table has to be made again, if the feed has such a table.
    """

    queue: str
    exports: str
    endings: tuple[str, ...]
    content_type: str
    code_version: str
    export_name: Callable[[str, str], str]
    keeps_source_name: bool
    table: str | None = None


def _name_by_source(partition: str, key: str) -> str:
    """The name of a rewritten source's export is the same."""
    return f"{hour_start(partition):%Y-%m-%d-%H}-{source_name(key)}.parquet"


def _name_by_arrival(partition: str, key: str) -> str:
    """The moment of arrival that the uploader wrote into the name, else the hour's start; the id is the key's own."""
    written = _ARRIVAL.match(source_name(key))
    arrival = written[1] if written else f"{int(hour_start(partition).timestamp()) * 1000:013}"
    return f"{arrival}_{uuid.uuid5(_EXPORT_IDS, key)}.json"


PACKAGES = Feed(
    "mobile/packages",
    "aae/packages",
    (".json", ".jsonl", ".json.gz", ".jsonl.gz"),
    "application/octet-stream",
    code_version="1",
    export_name=_name_by_source,
    keeps_source_name=True,
)

EVENTS = Feed(
    "mobile/events",
    "aae/events",
    (".json",),
    "application/json",
    code_version="1",
    export_name=_name_by_arrival,
    keeps_source_name=False,
    table="mobile/events_table",
)

FEEDS: Mapping[str, Feed] = {feed.queue: feed for feed in (PACKAGES, EVENTS)}


def source_name(key: str) -> str:
    """A landed file's name without its folders."""
    return key.rsplit("/", 1)[-1]


def landed_name(key: str) -> str:
    """The name of the landed file that records are from, of a file with records that are processed again, too."""
    return source_name(key).partition(AGAIN_MARK)[0]


def output_key(item: Item | NewItem) -> str:
    """What is made of a landed file, in the lake. The whole key decides, so that no two files share an output."""
    feed = FEEDS[item.queue]
    source = f"{source_name(item.name)}.parquet" if feed.keeps_source_name else export_name(item)
    return f"{item.queue}/{hive_path(item.partition)}/{source}"


def quarantine_key(item: Item | NewItem) -> str:
    """The rejected records of a landed file, under the landing URL, since they are raw."""
    return quarantined_as(FEEDS[item.queue], item.partition, item.name)


def quarantined_as(feed: Feed, partition: str, key: str) -> str:
    """The same, of a landed file that the ledger may not know."""
    return f"quarantine/{feed.queue}/{hive_path(partition)}/{source_name(key)}.jsonl"


def export_name(item: Item | NewItem) -> str:
    """The name of a landed file's output where it is delivered; that of a rewritten file is the same."""
    return FEEDS[item.queue].export_name(item.partition, item.name)


def exported_as(feed: Feed, partition: str, key: str) -> str:
    """The name where an output is delivered, by its key in the lake."""
    return f"{hour_start(partition):%Y-%m-%d-%H}-{source_name(key)}" if feed.keeps_source_name else source_name(key)


def release(item: Item, facts: Mapping[str, Any], destination: str, cause: str) -> tuple[NewItem, ...]:
    """The delivery of a landed file's output, if it has one: one name at the destination, one content."""
    if facts["output"] is None:
        return ()
    feed = FEEDS[item.queue]
    name = export_name(item)
    detail = {
        "key": facts["output"],
        "name": name,
        "content_type": feed.content_type,
        "mapping": facts["mapping"],
    }
    return (
        NewItem(
            feed.exports,
            name,
            facts["sha256"],
            item.partition,
            facts["bytes"],
            destination=destination,
            parent=item.id,
            cause=cause,
            detail=detail,
        ),
    )


def table_request(item: Item) -> tuple[NewItem, ...]:
    """The table of the file's hour has to be made again, if its feed has one; a request that waits already will do."""
    feed = FEEDS[item.queue]
    if feed.table is None:
        return ()
    version = f"{item.id} {item.fence}"
    return (NewItem(feed.table, item.partition, version, item.partition, 0, cause=item.queue, joins=True),)
