"""Receipts as a table: what became of each sheet of a day, and of each effect of its rows.

No personal values: digests, counts, times, reasons, and the ids that the API gave, without which a ledger that was lost
could not be filled again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import orjson
import pyarrow as pa

from pipelines.adapters.installation import told_key
from pipelines.adapters.ledger import Family, Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.core.work import Item, NewItem, State
from pipelines.day_tables import put_table, read_rows
from pipelines.domains.residents.entries import effects_queue, sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.places import DOUBTFUL
from pipelines.domains.residents.sheets import RECEIPTS, REFUSED, RESULTS, ROWS
from pipelines.lost import make_whole, refuse_if_lost

_MOMENT = pa.timestamp("us", tz="UTC")

_COLUMNS: dict[str, pa.DataType] = {
    "feed": pa.string(),
    "day": pa.string(),
    "sheet": pa.string(),
    "sheet_version": pa.string(),
    "row": pa.string(),
    "effect": pa.string(),
    "destination": pa.string(),
    "bytes": pa.int64(),
    "state": pa.string(),
    "reason": pa.string(),
    "status": pa.int32(),
    "attempts": pa.int32(),
    "uncertain": pa.bool_(),
    "seen_at": _MOMENT,
    "settled_at": _MOMENT,
    "changed_at": _MOMENT,
    "facts": pa.string(),
    "run": pa.string(),
    "key": pa.string(),
}

SCHEMA = pa.schema(_COLUMNS)
"""One row for each sheet that is over, with no effect, and one for each effect that is.

``row`` is the version of an effect: a digest of what the row says. ``facts`` is JSON: what the ledger keeps. ``key`` is
a digest of the installation's key, without which none of it is known again.
"""

_SHEETS_COLUMNS: dict[str, pa.DataType] = {
    "sheet": pa.string(),
    "version": pa.string(),
    "state": pa.string(),
    "reason": pa.string(),
    "refused": pa.string(),
    "bytes": pa.int64(),
    "rows": pa.int64(),
    "results": pa.map_(pa.string(), pa.int64()),
    "seen_at": _MOMENT,
    "settled_at": _MOMENT,
    "run": pa.string(),
}

SHEETS_SCHEMA = pa.schema(_SHEETS_COLUMNS)
"""The day's table of a feed: one row for each version of a sheet; ``results`` counts rows by what became of them."""

_OVER = [State.SETTLED, State.DEAD]
_AT_ONCE = 10_000


def write_day(lake: Objects, ledger: Ledger, day: str) -> dict[str, Any]:
    """Write the receipts of a day, whole; returns the table's facts.

    Raises:
        LedgerLost: the ledger does not know what the receipts tell of, and must not take their place.
    """
    refuse_if_lost(ledger, lake)
    # Counted before the effects are read: what changes meanwhile is asked for again.
    changed = {queue: ledger.unrecorded(queue).get(day) for queue in map(effects_queue, FEEDS.values())}
    facts = put_table(lake, _key(day), SCHEMA, _parts(ledger, day), lambda: make_whole(ledger, utc_now()))
    for queue, changes in changed.items():
        if changes is not None:
            ledger.recorded(queue, {day: changes})
    return facts


def write_sheets(lake: Objects, ledger: Ledger, feed: str, day: str) -> dict[str, Any]:
    """Write the day's table of a feed, whole; returns its facts."""
    items = sorted(ledger.items(sheets_queue(FEEDS[feed]), Span(day, day)), key=lambda item: item.id)
    table = pa.Table.from_pylist([_of_sheet(item) for item in items], SHEETS_SCHEMA)
    return put_table(lake, f"residents/{feed}/date={day}/{feed}.parquet", SHEETS_SCHEMA, [table])


def key_of(lake: Objects, day: str) -> str | None:
    """The digest of the key by which what the receipts of a day tell of is known, if they say so."""
    row = next(read_rows(lake, _key(day)), {})
    return row.get("key")


def days(lake: Objects) -> Iterator[str]:
    """The days that there are receipts of, in order."""
    for info in lake.list(f"{RECEIPTS}/"):
        day = info.key.removeprefix(f"{RECEIPTS}/date=").partition("/")[0]
        if info.key == _key(day):
            yield day


def read_day(lake: Objects, day: str) -> Iterator[Family]:
    """What the receipts of a day tell of, in the order in which it came to be: each effect with its sheet.

    What was given up may have been sent since the receipts were written, once it was taken up again: it is doubtful.
    """
    sheets: dict[tuple[str, str], NewItem] = {}
    # The versions of an effect are next to each other; sheets of a day are few.
    by_name = groupby(read_rows(lake, _key(day)), itemgetter("feed", "effect"))
    for row in (row for _, versions in by_name for row in sorted(versions, key=_over_at)):
        if row["effect"] is None:
            sheets[row["sheet"], row["sheet_version"]] = sheet = _restored(row, sheets_queue(FEEDS[row["feed"]]))
            yield Family(sheet)
        else:
            effect = _restored(row, effects_queue(FEEDS[row["feed"]]))
            yield Family(sheets.get((row["sheet"], row["sheet_version"])), (effect,))


def _over_at(row: Mapping[str, Any]) -> datetime:
    over_at: datetime = row["settled_at"] or row["changed_at"]
    return over_at


def _key(day: str) -> str:
    return f"{RECEIPTS}/date={day}/receipts.parquet"


def _parts(ledger: Ledger, day: str) -> Iterator[pa.Table]:
    span, key = Span(day, day), told_key(ledger)
    for feed in FEEDS.values():
        place = {"feed": feed.name, "day": day, "key": key}
        sheets = {item.id: item for item in ledger.items(sheets_queue(feed), span, _OVER)}
        told = [place | _of(item, item.name, item.version) for item in sorted(sheets.values(), key=lambda one: one.id)]
        yield pa.Table.from_pylist(told, SCHEMA)
        effects = iter(ledger.items(effects_queue(feed), span, _OVER))
        while some := list(islice(effects, _AT_ONCE)):
            yield pa.Table.from_pylist([place | _of_effect(one, sheets.get(one.parent or 0)) for one in some], SCHEMA)


def _of_effect(item: Item, sheet: Item | None) -> dict[str, Any]:
    of_sheet = (None, None) if sheet is None else (sheet.name, sheet.version)
    return _of(item, *of_sheet) | {"effect": item.name, "row": item.version}


def _of(item: Item, sheet: str | None, version: str | None) -> dict[str, Any]:
    return {
        "sheet": sheet,
        "sheet_version": version,
        "destination": item.destination,
        "bytes": item.size,
        "state": str(item.state),
        "reason": item.reason,
        "status": item.status,
        "attempts": item.attempts,
        "uncertain": item.uncertain,
        "seen_at": item.seen_at,
        "settled_at": item.settled_at,
        "changed_at": item.changed_at,
        "facts": orjson.dumps(dict(item.detail)).decode(),
        "run": item.owner,
    }


def _of_sheet(item: Item) -> dict[str, Any]:
    return {
        "sheet": item.name,
        "version": item.version,
        "state": str(item.state),
        "reason": item.reason,
        "refused": item.detail.get(REFUSED),
        "bytes": item.size,
        "rows": item.detail.get(ROWS),
        "results": sorted(item.detail.get(RESULTS, {}).items()),
        "seen_at": item.seen_at,
        "settled_at": item.settled_at,
        "run": item.owner,
    }


def _restored(row: Mapping[str, Any], queue: str) -> NewItem:
    settled_at: datetime | None = row["settled_at"]
    detail, is_doubtful = orjson.loads(row["facts"]), row["state"] == State.DEAD
    if is_doubtful and row["effect"] is None:
        detail[DOUBTFUL] = True
    return NewItem(
        queue,
        row["effect"] or row["sheet"],
        row["row"] or row["sheet_version"],
        row["day"],
        row["bytes"],
        destination=row["destination"],
        state=State(row["state"]),
        reason=row["reason"],
        cause="restored",
        detail=detail,
        settled_at=settled_at,
        uncertain=row["uncertain"] or is_doubtful,
        seen_at=row["seen_at"],
        changed_at=row["changed_at"],
        attempts=row["attempts"],
        status=row["status"],
        owner=row["run"],
    )
