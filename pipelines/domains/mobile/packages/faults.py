"""What can be wrong with a package, and how it is found.

Here: reading one record strictly, and judging each of its values. Not here: what becomes of the values.

A fault names a line's known key and a kind, never a value, nor a key that we don't know: the sender chose it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from pipelines.domains.mobile.instants import read_instant
from pipelines.domains.mobile.packages.columns import COLUMNS, LIVE_COLUMNS, Column, Kind, Place, Presence


class Reason(StrEnum):
    """Why a record is rejected."""

    TOO_LONG = "too long"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    DUPLICATE_KEY = "duplicate key"
    MISSING = "missing"
    NULL = "null"
    WRONG_TYPE = "wrong type"
    NOT_WHOLE = "not a whole number"
    OUT_OF_RANGE = "out of range"
    BAD_DATE = "bad date"
    IN_FUTURE = "window in the future"


@dataclass(frozen=True, slots=True)
class Fault:
    """The key at fault, if it is one that we know (else empty), and what is wrong."""

    field: str
    reason: Reason


_PARTS = (Place.WINDOW, Place.METADATA, Place.METRICS)
_KNOWN_KEYS = frozenset({*_PARTS, *(column.source for column in COLUMNS)})
_KEYS_AND_BRACES = re.compile(rb'[{}]|"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?')
_COLONS_IN_WINDOW = 4
_LIMITS = {Kind.INT32: 1 << 31, Kind.INT64: 1 << 63}


def parse_package(data: bytes) -> dict[str, Any] | Fault:
    """Read one record: strict JSON without duplicate keys, its three parts objects; values are not looked at.

    Not JSON is also what follows no grammar's letter: `NaN`, text after the object, half a surrogate pair.
    """
    try:
        package = orjson.loads(data)
    except orjson.JSONDecodeError:
        return Fault("", Reason.NOT_JSON if _is_utf8(data) else Reason.NOT_UTF8)
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


def find_duplicate_key(data: bytes) -> str | None:
    """Find the first key that stands twice in one object, at any depth, of a text that is known to be JSON."""
    objects: list[set[str]] = []
    for token in _KEYS_AND_BRACES.finditer(data):
        text, colon = token.groups()
        if colon:
            key: str = orjson.loads(b'"%b"' % text)
            if key in objects[-1]:
                return key
            objects[-1].add(key)
        elif token[0] == b"{":
            objects.append(set())
        elif token[0] == b"}":
            objects.pop()
    return None


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
    if column.kind in _LIMITS:
        return _judge_number(value, _LIMITS[column.kind])
    if type(value) is not (bool if column.kind is Kind.BOOL else str):
        return Reason.WRONG_TYPE
    return Reason.BAD_DATE if column.kind is Kind.INSTANT and read_instant(str(value)) is None else None


def _judge_number(value: object, limit: int) -> Reason | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Reason.WRONG_TYPE
    # The parser reads a whole number beyond 64 bits as a float, which can't be told from 1e30: both are out of range.
    if isinstance(value, float) and abs(value) < _LIMITS[Kind.INT64]:
        return Reason.NOT_WHOLE
    return None if -limit <= value < limit and isinstance(value, int) else Reason.OUT_OF_RANGE


def _find_part_fault(package: Mapping[str, Any]) -> Fault:
    name = next(name for name in _PARTS if not isinstance(package.get(name), dict))
    if name not in package:
        return Fault(name, Reason.MISSING)
    return Fault(name, Reason.NULL if package[name] is None else Reason.WRONG_TYPE)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
