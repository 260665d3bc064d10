"""What can be wrong in an upload: faults by kind, and planted texts.

Here: the kinds, and how a record is spoilt. Not here: which kinds fit which records, and at which of their keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

import orjson


class BadKind(StrEnum):
    """What is wrong with a record that no reader may accept."""

    TRUNCATED = "truncated"
    NOT_AN_OBJECT = "not an object"
    TRAILING_TOKENS = "trailing tokens"
    DUPLICATE_KEY = "duplicate key"
    NOT_UTF8 = "not UTF-8"
    LONE_SURROGATE = "lone surrogate"
    MISSING_FIELD = "missing field"
    NULL_METADATA = "null metadata"
    NULL_METRIC = "null metric"
    NULL_IN_PAYLOAD = "null in a payload"
    TEXT_FOR_NUMBER = "text for a number"
    NUMBER_FOR_TEXT = "number for a text"
    BOOLEAN_FOR_NUMBER = "boolean for a number"
    NOT_A_BOOLEAN = "not a boolean"
    FRACTION = "fraction"
    NOT_A_NUMBER = "not a number"
    OUT_OF_32_BITS = "out of 32 bits"
    OUT_OF_64_BITS = "out of 64 bits"
    BEYOND_64_BITS = "beyond any 64 bits"
    BAD_DATE = "bad date"
    FAR_FUTURE = "window in the far future"
    EVENTS_NOT_A_LIST = "events not a list"
    EVENT_NOT_AN_OBJECT = "event not an object"
    UNKNOWN_TYPE = "unknown type"
    UNKNOWN_VERSION = "unknown version"
    PAYLOAD_NOT_AN_OBJECT = "payload not an object"
    WRONG_SCANS = "scan instances of another form"
    UNKNOWN_INFECTIOUSNESS = "unknown infectiousness"
    UNKNOWN_TEST_TYPE = "unknown test type"


WrongValues = tuple[Sequence[str], Sequence[object]]
"""At which names a kind of fault puts which values in place of right ones."""
Insertions = Mapping[BadKind, Sequence[tuple[bytes, bytes]]]
"""What a kind of fault slips in behind which anchor."""
Place = tuple[str, str, BadKind | None]
"""Where a planted text stands: in which part, under which key, and what is bad about the record for it."""

ABSENT = object()
"""In place of a wrong value: the key is taken away."""
ANY_TEXT = (BadKind.TRUNCATED, BadKind.NOT_AN_OBJECT, BadKind.TRAILING_TOKENS)
"""The kinds that fit every record, since they look at no key."""

TEXTS = ("operatingSystemVersion", "latestApplicationVersion", "deviceModel", "postalDistrict")
NOT_DATES = (
    "2025-03-0112:00:00Z",
    "2025-03-01T12:00:00",
    "2025-03-01T12:00Z",
    "2025-03-01T12:00:00+01:00",
    "2025-02-30T12:00:00Z",
    "2025-03-01",
    "yesterday",
)
NOT_NUMBERS = ("5", "", "1,000")


@dataclass(frozen=True, slots=True)
class Canary:
    """A planted text, the part and the key where it stands, and what is bad about the record for it."""

    text: str
    part: str
    key: str
    bad: BadKind | None


def spoil(
    bad: BadKind, record: dict[str, Any], rng: Random, wrong: WrongValues | None, insertions: Insertions
) -> bytes:
    """The text of a ``record`` with one fault of a kind; spoils the record itself too."""
    if wrong is not None:
        names, values = wrong
        part, name = rng.choice([(part, name) for _, part in _parts(record) for name in names if name in part])
        part[name] = rng.choice(values)
        if part[name] is ABSENT:
            del part[name]
    raw = json.dumps(record, separators=(",", ":")).encode()  # writes what orjson refuses: NaN and long integers
    if bad in insertions:
        anchor, text = rng.choice(insertions[bad])
        return raw.replace(anchor, anchor + text, 1)
    if bad is BadKind.TRUNCATED:
        return raw[: 1 + int((len(raw) - 1) * rng.random())]
    if bad is BadKind.NOT_AN_OBJECT:
        return rng.choice((b"[" + raw + b"]", b"null", b"17", b'"package"'))
    if bad is BadKind.TRAILING_TOKENS:
        return raw + rng.choice((raw, b" {}", b"]", b" null"))
    return raw


def plant(canary: Canary, record: dict[str, Any]) -> bytes:
    """The text of a ``record`` with a canary in its place; changes the record itself too."""
    part = next(part for name, part in _parts(record) if name == canary.part)
    part[canary.key] = canary.text
    raw = orjson.dumps(record)
    if canary.bad is not BadKind.TRUNCATED:
        return raw
    before, text, _ = raw.partition(orjson.dumps(canary.text))
    return before + text


def _parts(value: object, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object in a record with the key that leads to it, the whole first."""
    if isinstance(value, dict):
        yield name, value
        for key, inner in value.items():
            yield from _parts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner, name)
