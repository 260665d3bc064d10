"""Names: where a landed file's output, its quarantine and its export stand. All are fixed by the landing key alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.core.periods import hive_path, hour_start
from pipelines.core.work import Item, NewItem

QUEUE = "mobile/packages"
"""The queue of landed files to filter; also the asset, and the folder in landing and lake."""

EXPORTS = "aae/packages"
"""The queue that releases what is filtered and verified to its delivery."""


def output_key(item: Item) -> str:
    """The parquet of a landed file, in the lake. The whole source name stays in it, so that no two files share one."""
    return f"{QUEUE}/{hive_path(item.partition)}/{source_name(item)}.parquet"


def quarantine_key(item: Item) -> str:
    """The rejected records of a landed file, under the landing URL, since they are raw."""
    return f"quarantine/{QUEUE}/{hive_path(item.partition)}/{source_name(item)}.jsonl"


def source_name(item: Item) -> str:
    """The landed file's name without its folders."""
    return item.name.rsplit("/", 1)[-1]


def export_name(item: Item) -> str:
    """The name of a landed file's output where it is delivered; that of a rewritten file is the same."""
    return f"{hour_start(item.partition):%Y-%m-%d-%H}-{source_name(item)}.parquet"


def release(item: Item, facts: Mapping[str, Any], destination: str, cause: str) -> tuple[NewItem, ...]:
    """The delivery of a landed file's output, if it has one: one name at the destination, one content."""
    if facts["output"] is None:
        return ()
    name = export_name(item)
    detail = {
        "key": facts["output"],
        "name": name,
        "content_type": "application/octet-stream",
        "mapping": facts["mapping"],
    }
    return (
        NewItem(
            EXPORTS,
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
