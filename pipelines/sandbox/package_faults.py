"""What can be wrong with a package, and where in it texts are planted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from pipelines.sandbox.faults import (
    ABSENT,
    ANY_TEXT,
    NOT_DATES,
    NOT_NUMBERS,
    TEXTS,
    BadKind,
    Canary,
    Insertions,
    Place,
    WrongValues,
    plant,
    spoil,
)
from pipelines.sandbox.phones import NUMBERS, format_instant

DATES = ("startDate", "endDate")
COUNTERS = ("cumulativeDownloadBytes", "cumulativeUploadBytes")
PRIMITIVES = ("totalBackgroundTasks", "runningNormallyBackgroundTick", "receivedVoidTestResult", "completedOnboarding")
PARTS = ("analyticsWindow", "metadata", "metrics", "includesMultipleApplicationVersions")

WRONG_VALUES: Mapping[BadKind, WrongValues] = {
    BadKind.MISSING_FIELD: ((*TEXTS, *DATES, *PARTS), (ABSENT,)),
    BadKind.NULL_METADATA: ((*TEXTS, "localAuthority", "metadata"), (None,)),
    BadKind.NULL_METRIC: (PRIMITIVES, (None,)),
    BadKind.TEXT_FOR_NUMBER: (NUMBERS, NOT_NUMBERS),
    BadKind.NUMBER_FOR_TEXT: (TEXTS, (5, 13.7)),
    BadKind.BOOLEAN_FOR_NUMBER: (NUMBERS, (True, False)),
    BadKind.FRACTION: (NUMBERS, (2.0, 0.5, -1.7)),
    BadKind.NOT_A_NUMBER: (NUMBERS, (math.nan, math.inf, -math.inf)),
    BadKind.OUT_OF_32_BITS: (NUMBERS, (2**31, -(2**31) - 1, 2**63 - 1)),
    BadKind.OUT_OF_64_BITS: (COUNTERS, (2**63, 2**64 - 1)),
    BadKind.BEYOND_64_BITS: (COUNTERS, (2**64, -(2**63) - 1, 10**40)),
    BadKind.BAD_DATE: (DATES, NOT_DATES),
}
INSERTIONS: Insertions = {
    BadKind.DUPLICATE_KEY: ((b'"metadata":{', b'"deviceModel":"",'), (b'"metrics":{', b'"completedOnboarding":0,')),
    BadKind.NOT_UTF8: ((b'"deviceModel":"', b"\xe9"), (b'"postalDistrict":"', b"\xff\xfe")),
    BadKind.LONE_SURROGATE: ((b'"deviceModel":"', rb"\ud83d"), (b'"postalDistrict":"', rb"\udc00")),
}
KINDS = (*ANY_TEXT, *INSERTIONS, *WRONG_VALUES, BadKind.FAR_FUTURE)

CANARY_PLACES: Sequence[Place] = (
    ("metadata", "deviceOwner", None),  # a key that no contract knows
    ("metadata", "postalDistrict", None),
    ("metadata", "deviceModel", BadKind.TRUNCATED),
    ("metrics", "totalBackgroundTasks", BadKind.TEXT_FOR_NUMBER),
)


def spoil_package(bad: BadKind, package: dict[str, Any], rng: Random, hour: datetime) -> bytes:
    """The text of a ``package`` that arrives at ``hour``, with one fault of a kind; spoils the package itself too."""
    wrong = WRONG_VALUES.get(bad)
    if bad is BadKind.FAR_FUTURE:
        over = timedelta(days=365, hours=1, seconds=1 + int(1e6 * rng.random()))  # counted from the hour's end
        wrong = DATES, (format_instant(hour + over),)
    return spoil(bad, package, rng, wrong, INSERTIONS)


def plant_in_package(canary: Canary, package: dict[str, Any], _rng: Random, _hour: datetime) -> bytes:
    """The text of a ``package`` with a canary in its place; changes the package itself too."""
    return plant(canary, package)
