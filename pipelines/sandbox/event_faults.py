"""What can be wrong with a submission of events, and where in it texts are planted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any

from pipelines.sandbox.encounters import EVENTS, FULLEST, make_event
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

WHOLE_NUMBERS = ("riskCalculationVersion", "minimumAttenuation", "secondsSinceLastScan", "typicalAttenuation")
NUMBERS = ("riskScore", *WHOLE_NUMBERS)
PAYLOAD = EVENTS[FULLEST]
BOOLEANS = ("requiresConfirmatoryTest", "isConsideredRisky")
SCAN = WHOLE_NUMBERS[1:]

WRONG_VALUES: Mapping[BadKind, WrongValues] = {
    BadKind.MISSING_FIELD: (
        ("metadata", *TEXTS, "events", "type", "version", "payload", *PAYLOAD, *SCAN),
        (ABSENT,),
    ),
    BadKind.NULL_METADATA: ((*TEXTS, "localAuthority", "metadata"), (None,)),
    BadKind.NULL_IN_PAYLOAD: ((*PAYLOAD, *SCAN), (None,)),
    BadKind.TEXT_FOR_NUMBER: (NUMBERS, NOT_NUMBERS),
    BadKind.NUMBER_FOR_TEXT: ((*TEXTS, "date", "infectiousness"), (5, 13.7)),
    BadKind.BOOLEAN_FOR_NUMBER: (NUMBERS, (True, False)),
    BadKind.NOT_A_BOOLEAN: (BOOLEANS, (0, 1, "true", "")),
    BadKind.FRACTION: (WHOLE_NUMBERS, (0.5, -1.7)),
    BadKind.NOT_A_NUMBER: (NUMBERS, (math.nan, math.inf, -math.inf)),
    BadKind.OUT_OF_32_BITS: (WHOLE_NUMBERS, (2**31, -(2**31) - 1, 2**63 - 1, 2**64, 10**40)),
    BadKind.BAD_DATE: (("date",), NOT_DATES),
    BadKind.EVENTS_NOT_A_LIST: (("events",), ({}, None, "", 0)),
    BadKind.EVENT_NOT_AN_OBJECT: (("events",), ([None], ["exposureWindow"], [17], [[]])),
    BadKind.UNKNOWN_TYPE: (("type",), ("exposure_window", "EXPOSUREWINDOW", "", None, 1)),
    BadKind.UNKNOWN_VERSION: (("version",), (0, 4, -1, 99, "1", None, True)),
    BadKind.PAYLOAD_NOT_AN_OBJECT: (("payload",), (None, [], "", 5)),
    BadKind.WRONG_SCANS: (("scanInstances",), ({}, "", 5, [None], [17], [[]])),
    BadKind.UNKNOWN_INFECTIOUSNESS: (("infectiousness",), ("High", "NONE", "low", "")),
    BadKind.UNKNOWN_TEST_TYPE: (("testType",), ("lab_result", "PCR", "UNKNOWN", "")),
}
INSERTIONS: Insertions = {
    BadKind.DUPLICATE_KEY: (
        (b'"metadata":{', b'"deviceModel":"",'),
        (b'"events":[{', b'"version":1,'),
        (b'"payload":{', b'"riskScore":1,'),
        (b'"scanInstances":[{', b'"minimumAttenuation":1,'),
    ),
    BadKind.NOT_UTF8: ((b'"deviceModel":"', b"\xe9"), (b'"postalDistrict":"', b"\xff\xfe")),
    BadKind.LONE_SURROGATE: ((b'"deviceModel":"', rb"\ud83d"), (b'"infectiousness":"', rb"\udc00")),
}
KINDS = (*ANY_TEXT, *INSERTIONS, *WRONG_VALUES)

CANARY_PLACES: Sequence[Place] = (
    ("metadata", "postalDistrict", None),
    ("metadata", "deviceOwner", None),  # keys that no contract knows
    ("payload", "contactName", None),
    ("payload", "riskScore", BadKind.TEXT_FOR_NUMBER),
    ("metadata", "deviceModel", BadKind.TRUNCATED),
)


def spoil_submission(bad: BadKind, submission: dict[str, Any], rng: Random, hour: datetime) -> bytes:
    """The text of a ``submission`` that arrives at ``hour``, with one fault of a kind; spoils the submission too."""
    if bad in {BadKind.NOT_A_BOOLEAN, BadKind.UNKNOWN_TEST_TYPE}:
        submission["events"] = []  # not every event has what is spoilt; the one that is filled in does
    return spoil(bad, _fill(submission, rng, hour), rng, WRONG_VALUES.get(bad), INSERTIONS)


def plant_in_submission(canary: Canary, submission: dict[str, Any], rng: Random, hour: datetime) -> bytes:
    """The text of a ``submission`` with a canary in its place; changes the submission itself too."""
    return plant(canary, _fill(submission, rng, hour))


def _fill(submission: dict[str, Any], rng: Random, hour: datetime) -> dict[str, Any]:
    """With an event, if it has none, so that there is something to change."""
    submission["events"] = submission["events"] or [make_event(rng, hour, FULLEST)]
    return submission
