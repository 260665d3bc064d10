"""Receipts as a table: what became of each object, and of the landed file that it was made of.

Here: the ledger's rows of a day as parquet, and back. Not here: when it is written, and what is done with it. No
personal values: names, hashes, counts, times and reasons only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from pipelines.adapters.ledger import Family, Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import ObjectMissing, Objects
from pipelines.core.receipts import RECEIPTS
from pipelines.core.work import Item, NewItem, State
from pipelines.day_tables import put_table, read_rows
from pipelines.domains.aae.exports import EXPORTS, Export
from pipelines.lost import make_whole, refuse_if_lost

_MOMENT = pa.timestamp("us", tz="UTC")

_COLUMNS: dict[str, pa.DataType] = {
    "feed": pa.string(),
    "hour": pa.string(),
    "landed_key": pa.string(),
    "landed_version": pa.string(),
    "landed_bytes": pa.int64(),
    "landed_reason": pa.string(),
    "landed_seen_at": _MOMENT,
    "filtered_at": _MOMENT,
    "filtered_by": pa.string(),
    "made_with": pa.string(),
    "facts": pa.string(),
    "name": pa.string(),
    "sha256": pa.string(),
    "bytes": pa.int64(),
    "destination": pa.string(),
    "state": pa.string(),
    "reason": pa.string(),
    "status": pa.int32(),
    "attempts": pa.int32(),
    "released_at": _MOMENT,
    "settled_at": _MOMENT,
    "changed_at": _MOMENT,
    "delivery": pa.string(),
    "run": pa.string(),
}

SCHEMA = pa.schema(_COLUMNS)
"""One row for each object that was delivered or given up, and one for each landed file that gave none.

``facts`` and ``delivery`` are JSON: what the ledger keeps of the landed file and of the object. ``changed_at`` is when
the object was delivered or given up.
"""

_OVER = [State.SETTLED, State.DEAD]


@dataclass(slots=True)
class Told:
    """What receipts tell of the objects that lay under one key of the lake: when each was released, by its sha256."""

    released_at: dict[str, datetime] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def last(self) -> str:
        """The sha256 of the last one."""
        return max(self.released_at, key=self.released_at.__getitem__)


def write_day(lake: Objects, ledger: Ledger, day: str) -> dict[str, Any]:
    """Write the receipts of a day of arrival, whole and with an hour of rows in memory; returns the table's facts.

    Raises:
        LedgerLost: the ledger does not know what the receipts tell of, and must not take their place.
    """
    refuse_if_lost(ledger, lake)
    # Before there is a receipt that it could not know.
    return put_table(lake, _key(day), SCHEMA, _hours(ledger, day), lambda: make_whole(ledger, utc_now()))


def days(lake: Objects) -> Iterator[str]:
    """The days that there are receipts of, in order."""
    for info in lake.list(f"{RECEIPTS}/"):
        day = info.key.removeprefix(f"{RECEIPTS}/date=").partition("/")[0]
        if info.key == _key(day):
            yield day


def read_day(lake: Objects, day: str) -> Iterator[Family]:
    """What the receipts of a day tell of, in the order in which it came to be: each object with its landed file."""
    for row in read_rows(lake, _key(day)):
        yield Family(_landed(row), () if row["name"] is None else (_released(row),))


def told_of(lake: Objects, day: str) -> Mapping[str, Told]:
    """What the receipts of a day tell of objects, by their keys in the lake; nothing if there are none."""
    found: dict[str, Told] = defaultdict(Told)
    try:
        for row in read_rows(lake, _key(day), ["name", "sha256", "bytes", "released_at", "delivery"]):
            if row["name"] is not None:
                told = found[orjson.loads(row["delivery"])["key"]]
                told.released_at[row["sha256"]], told.sizes[row["sha256"]] = row["released_at"], row["bytes"]
    except ObjectMissing:
        pass
    return found


def _key(day: str) -> str:
    return f"{RECEIPTS}/date={day}/receipts.parquet"


def _hours(ledger: Ledger, day: str) -> Iterator[pa.Table]:
    """The rows of each hour of a feed in which there may be any."""
    span = Span(f"{day}-00:00", f"{day}-23:00")
    hours = [{*ledger.partitions(one.source, span), *ledger.partitions(one.queue, span)} for one in EXPORTS]
    for hour in sorted(set().union(*hours)):
        for export, of_export in zip(EXPORTS, hours, strict=True):
            if hour in of_export:
                yield pa.Table.from_pylist(list(_rows(export, ledger, hour)), SCHEMA)


def _rows(export: Export, ledger: Ledger, partition: str) -> Iterator[dict[str, Any]]:
    span = Span(partition, partition)
    place = {"feed": export.name, "hour": partition}
    landed = {item.id: item for item in ledger.items(export.source, span, [State.SETTLED])}
    # Of several versions under one name the last one counts when they are read again.
    objects = sorted(ledger.items(export.queue, span, _OVER), key=lambda one: one.changed_at)
    for one in objects:
        parent = landed.get(one.parent or 0)
        yield place | (_of_landed(parent) if parent else {}) | _of_object(one)
    told = {one.parent for one in objects}
    for item in landed.values():
        if item.id not in told and item.detail["output"] is None:
            yield place | _of_landed(item)


def _of_landed(item: Item) -> dict[str, Any]:
    return {
        "landed_key": item.name,
        "landed_version": item.version,
        "landed_bytes": item.size,
        "landed_reason": item.reason,
        "landed_seen_at": item.seen_at,
        "filtered_at": item.settled_at,
        "filtered_by": item.owner,
        "made_with": item.made_with,
        "facts": orjson.dumps(dict(item.detail)).decode(),
    }


def _of_object(item: Item) -> dict[str, Any]:
    return {
        "name": item.name,
        "sha256": item.version,
        "bytes": item.size,
        "destination": item.destination,
        "state": str(item.state),
        "reason": item.reason,
        "status": item.status,
        "attempts": item.attempts,
        "released_at": item.seen_at,
        "settled_at": item.settled_at,
        "changed_at": item.changed_at,
        "delivery": orjson.dumps(dict(item.detail)).decode(),
        "run": item.owner,
    }


def _landed(row: Mapping[str, Any]) -> NewItem | None:
    if row["landed_key"] is None:
        return None
    return NewItem(
        _export(row).source,
        row["landed_key"],
        row["landed_version"],
        row["hour"],
        row["landed_bytes"],
        state=State.SETTLED,
        reason=row["landed_reason"],
        made_with=row["made_with"],
        cause="restored",
        detail=orjson.loads(row["facts"]),
        settled_at=row["filtered_at"],
        seen_at=row["landed_seen_at"],
        changed_at=row["filtered_at"],
        owner=row["filtered_by"],
    )


def _released(row: Mapping[str, Any]) -> NewItem:
    return NewItem(
        _export(row).queue,
        row["name"],
        row["sha256"],
        row["hour"],
        row["bytes"],
        destination=row["destination"],
        state=State(row["state"]),
        reason=row["reason"],
        cause="restored",
        detail=orjson.loads(row["delivery"]),
        settled_at=row["settled_at"],
        uncertain=True,
        seen_at=row["released_at"],
        changed_at=row["changed_at"],
        attempts=row["attempts"],
        status=row["status"],
        owner=row["run"],
    )


def _export(row: Mapping[str, Any]) -> Export:
    return next(export for export in EXPORTS if export.name == row["feed"])
