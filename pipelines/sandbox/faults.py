"""What can be wrong in an upload: faults by kind, and planted texts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Any

import orjson

from pipelines.sandbox.phones import NUMBERS, format_instant


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
    TEXT_FOR_NUMBER = "text for a number"
    NUMBER_FOR_TEXT = "number for a text"
    BOOLEAN_FOR_NUMBER = "boolean for a number"
    FRACTION = "fraction"
    NOT_A_NUMBER = "not a number"
    OUT_OF_32_BITS = "out of 32 bits"
    OUT_OF_64_BITS = "out of 64 bits"
    BEYOND_64_BITS = "beyond any 64 bits"
    BAD_DATE = "bad date"
    FAR_FUTURE = "window in the far future"


TEXTS = ("operatingSystemVersion", "latestApplicationVersion", "deviceModel", "postalDistrict")
DATES = ("startDate", "endDate")
COUNTERS = ("cumulativeDownloadBytes", "cumulativeUploadBytes")
PRIMITIVES = ("totalBackgroundTasks", "runningNormallyBackgroundTick", "receivedVoidTestResult", "completedOnboarding")
PARTS = ("analyticsWindow", "metadata", "metrics", "includesMultipleApplicationVersions")
ABSENT = object()
NOT_DATES = (
    "2025-03-0112:00:00Z",
    "2025-03-01T12:00:00",
    "2025-03-01T12:00Z",
    "2025-03-01T12:00:00+01:00",
    "2025-02-30T12:00:00Z",
    "2025-03-01",
    "yesterday",
)

WRONG_VALUES: Mapping[BadKind, tuple[Sequence[str], Sequence[object]]] = {
    BadKind.MISSING_FIELD: ((*TEXTS, *DATES, *PARTS), (ABSENT,)),
    BadKind.NULL_METADATA: ((*TEXTS, "localAuthority", "metadata"), (None,)),
    BadKind.NULL_METRIC: (PRIMITIVES, (None,)),
    BadKind.TEXT_FOR_NUMBER: (NUMBERS, ("5", "", "1,000")),
    BadKind.NUMBER_FOR_TEXT: (TEXTS, (5, 13.7)),
    BadKind.BOOLEAN_FOR_NUMBER: (NUMBERS, (True, False)),
    BadKind.FRACTION: (NUMBERS, (2.0, 0.5, -1.7)),
    BadKind.NOT_A_NUMBER: (NUMBERS, (math.nan, math.inf, -math.inf)),
    BadKind.OUT_OF_32_BITS: (NUMBERS, (2**31, -(2**31) - 1, 2**63 - 1)),
    BadKind.OUT_OF_64_BITS: (COUNTERS, (2**63, 2**64 - 1)),
    BadKind.BEYOND_64_BITS: (COUNTERS, (2**64, -(2**63) - 1, 10**40)),
    BadKind.BAD_DATE: (DATES, NOT_DATES),
}
"""At which names a kind of fault puts which values in place of right ones."""

INSERTIONS: Mapping[BadKind, Sequence[tuple[bytes, bytes]]] = {
    BadKind.DUPLICATE_KEY: ((b'"metadata":{', b'"deviceModel":"",'), (b'"metrics":{', b'"completedOnboarding":0,')),
    BadKind.NOT_UTF8: ((b'"deviceModel":"', b"\xe9"), (b'"postalDistrict":"', b"\xff\xfe")),
    BadKind.LONE_SURROGATE: ((b'"deviceModel":"', rb"\ud83d"), (b'"postalDistrict":"', rb"\udc00")),
}
"""What a kind of fault slips in behind which anchor."""

CANARY_PLACES: Sequence[tuple[str, BadKind | None]] = (
    ("deviceOwner", None),  # a key that no contract knows
    ("postalDistrict", None),
    ("deviceModel", BadKind.TRUNCATED),
    ("totalBackgroundTasks", BadKind.TEXT_FOR_NUMBER),
)
"""Where planted texts stand in turn, and what is broken there."""


@dataclass(frozen=True, slots=True)
class Canary:
    """A planted text, the name at which it stands, and what is bad about the record for it."""

    text: str
    place: str
    bad: BadKind | None


def spoil_package(bad: BadKind, package: dict[str, Any], rng: Random, hour: datetime) -> bytes:
    """The text of a ``package`` that arrives at ``hour``, with one fault of a kind; spoils the package itself too."""
    names, values = WRONG_VALUES.get(bad, ((), ()))
    if bad is BadKind.FAR_FUTURE:
        over = timedelta(days=365, hours=1, seconds=1 + int(1e6 * rng.random()))  # counted from the hour's end
        names, values = DATES, (format_instant(hour + over),)
    sections = (package, *(package[part] for part in PARTS[:3]))
    places = [(section, name) for section in sections for name in names if name in section]
    if places:
        section, name = rng.choice(places)
        section[name] = rng.choice(values)
        if section[name] is ABSENT:
            del section[name]
    raw = json.dumps(package, separators=(",", ":")).encode()  # writes what orjson refuses: NaN and long integers
    return _spoil_text(bad, raw, rng)


def _spoil_text(bad: BadKind, raw: bytes, rng: Random) -> bytes:
    if bad in INSERTIONS:
        anchor, text = rng.choice(INSERTIONS[bad])
        return raw.replace(anchor, anchor + text, 1)
    if bad is BadKind.TRUNCATED:
        return raw[: 1 + int((len(raw) - 1) * rng.random())]
    if bad is BadKind.NOT_AN_OBJECT:
        return rng.choice((b"[" + raw + b"]", b"null", b"17", b'"package"'))
    if bad is BadKind.TRAILING_TOKENS:
        return raw + rng.choice((raw, b" {}", b"]", b" null"))
    return raw


def plant_canary(canary: Canary, package: dict[str, Any]) -> bytes:
    """The text of a ``package`` with a canary in its place; changes the package itself too."""
    section = package["metrics" if canary.place in package["metrics"] else "metadata"]
    section[canary.place] = canary.text
    raw = orjson.dumps(package)
    return raw.partition(b'"metrics"')[0] if canary.bad is BadKind.TRUNCATED else raw
