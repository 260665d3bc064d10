"""What can be wrong with a package, and how it is found.

Here: reading one record strictly, and judging each of its values. Not here: what becomes of the values.

A fault names a line's known key and a kind, never a value, nor a key that we don't know: the sender chose it.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from pipelines.domains.mobile.faults import Fault, Reason, find_duplicate_key, judge_number, judge_unparsed
from pipelines.domains.mobile.instants import read_instant
from pipelines.domains.mobile.packages.columns import COLUMNS, LIVE_COLUMNS, Column, Kind, Place, Presence

_PARTS = (Place.WINDOW, Place.METADATA, Place.METRICS)
_KNOWN_KEYS = frozenset({*_PARTS, *(column.source for column in COLUMNS)})
_COLONS_IN_WINDOW = 4
_BITS = {Kind.INT32: 32, Kind.INT64: 64}


def parse_package(data: bytes) -> dict[str, Any] | Fault:
    """Read one record: strict JSON without duplicate keys, its three parts objects; values are not looked at.

    Not JSON is also what follows no grammar's letter: `NaN`, text after the object, half a surrogate pair.
    """
    try:
        package = orjson.loads(data)
    except orjson.JSONDecodeError:
        return judge_unparsed(data)
    if not isinstance(package, dict):
        return Fault("", Reason.NOT_AN_OBJECT)
    window, metadata, metrics = package.get("analyticsWindow"), package.get("metadata"), package.get("metrics")
    if not (type(window) is type(metadata) is type(metrics) is dict):
        return _find_part_fault(package)
    keys = len(package) + len(window) + len(metadata) + len(metrics)
    # The parser keeps the last of duplicate keys, silently. Without escapes every colon of the text ends a key or
    # stands inside a string, and the window's two instants hold two each (a window that doesn't is rejected for that).
    # So if no more colons are left than keys, every key was kept. Everything else is read again, slowly.
    if data.count(b":") != keys + _COLONS_IN_WINDOW or b"\\" in data:
        duplicate = find_duplicate_key(data)
        if duplicate is not None:
            return Fault(duplicate if duplicate in _KNOWN_KEYS else "", Reason.DUPLICATE_KEY)
    return package


def find_fault(package: Mapping[str, Any]) -> Fault | None:
    """Look through a package that was read, value by value, for the first one that its column doesn't take."""
    for column in LIVE_COLUMNS:
        part = package[column.place] if column.place else package
        reason = _judge(column, part.get(column.source), present=column.source in part)
        if reason is not None:
            return Fault(column.source, reason)
    return None


def _judge(column: Column, value: object, *, present: bool) -> Reason | None:
    if not present:
        return Reason.MISSING if column.presence is Presence.REQUIRED else None
    if value is None:
        return None if column.presence is Presence.NULLABLE else Reason.NULL
    if column.kind in _BITS:
        return judge_number(value, _BITS[column.kind])
    if type(value) is not (bool if column.kind is Kind.BOOL else str):
        return Reason.WRONG_TYPE
    return Reason.BAD_DATE if column.kind is Kind.INSTANT and read_instant(str(value)) is None else None


def _find_part_fault(package: Mapping[str, Any]) -> Fault:
    name = next(name for name in _PARTS if not isinstance(package.get(name), dict))
    if name not in package:
        return Fault(name, Reason.MISSING)
    return Fault(name, Reason.NULL if package[name] is None else Reason.WRONG_TYPE)
