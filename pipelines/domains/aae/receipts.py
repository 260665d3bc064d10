"""Receipts as a table: what became of each object, and of the landed file that it was made of.

Here: the ledger's rows of a day as parquet, and back. Not here: when it is written, and what is done with it. No
personal values: names, hashes, counts, times and reasons only.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.ledger import Family, Ledger, Span
from pipelines.adapters.objects import Objects
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.aae.exports import EXPORTS, RECEIPTS, Export

_MOMENT = pa.timestamp("us", tz="UTC")

_COLUMNS: dict[str, pa.DataType] = {
    "feed": pa.string(),
    "hour": pa.string(),
    "landed_key": pa.string(),
    "landed_version": pa.string(),
    "landed_bytes": pa.int64(),
    "landed_seen_at": _MOMENT,
    "filtered_at": _MOMENT,
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
    "delivery": pa.string(),
    "run": pa.string(),
}

SCHEMA = pa.schema(_COLUMNS)
"""One row for each object that was delivered or given up, and one for each landed file that gave none.

``facts`` and ``delivery`` are JSON: what the ledger keeps of the landed file and of the object.
"""

_OVER = [State.SETTLED, State.DEAD]


def write_day(lake: Objects, ledger: Ledger, day: str) -> dict[str, Any]:
    """Write the receipts of a day of arrival, whole; returns the table's facts."""
    table = pa.Table.from_pylist(list(_rows(ledger, Span(f"{day}-00:00", f"{day}-23:59"))), SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", store_schema=False)
    body = buffer.getvalue()
    key = f"{RECEIPTS}/date={day}/receipts.parquet"
    lake.put(key, body)
    version = hashlib.sha256(body).hexdigest()
    return {"output": key, "rows": table.num_rows, "bytes": len(body), "version": version}


def read_all(lake: Objects) -> Iterator[Family]:
    """Every landed file that receipts tell of, with what was released from it."""
    for info in lake.list(f"{RECEIPTS}/"):
        rows = pq.read_table(pa.BufferReader(lake.get(info.key)), schema=SCHEMA).to_pylist()
        families: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for row in rows:
            families.setdefault((row["landed_key"], row["landed_version"]), []).append(row)
        for family in families.values():
            yield Family(_landed(family[0]), tuple(_released(row) for row in family if row["name"] is not None))


def _rows(ledger: Ledger, span: Span) -> Iterator[dict[str, Any]]:
    for export in EXPORTS:
        landed = {item.id: item for item in ledger.items(export.source, span, [State.SETTLED])}
        objects = list(ledger.items(export.queue, span, _OVER))
        told = {one.parent for one in objects}
        for one in objects:
            parent = landed.get(one.parent or 0)
            yield (
                {"feed": export.name, "hour": one.partition} | (_of_landed(parent) if parent else {}) | _of_object(one)
            )
        for item in landed.values():
            if item.id not in told and item.detail["output"] is None:
                yield {"feed": export.name, "hour": item.partition} | _of_landed(item)


def _of_landed(item: Item) -> dict[str, Any]:
    return {
        "landed_key": item.name,
        "landed_version": item.version,
        "landed_bytes": item.size,
        "landed_seen_at": item.seen_at,
        "filtered_at": item.settled_at,
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
        "delivery": orjson.dumps(dict(item.detail)).decode(),
        "run": item.owner,
    }


def _landed(row: dict[str, Any]) -> NewItem | None:
    if row["landed_key"] is None:
        return None
    return NewItem(
        _export(row).source,
        row["landed_key"],
        row["landed_version"],
        row["hour"],
        row["landed_bytes"],
        state=State.SETTLED,
        made_with=row["made_with"],
        cause="restored",
        detail=orjson.loads(row["facts"]),
        settled_at=row["filtered_at"],
    )


def _released(row: dict[str, Any]) -> NewItem:
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
    )


def _export(row: dict[str, Any]) -> Export:
    return next(export for export in EXPORTS if export.name == row["feed"])
