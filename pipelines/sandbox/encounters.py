"""What phones send at once: epidemiological events of their encounters, made up but of the real shape.

Here: submissions that are right, those with keys that no contract knows included. Not here: faults, files. The
platform's own contract is deliberately not used: a generator that shared it could never contradict it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from pipelines.sandbox.phones import Pair, choose_phone, format_instant

WINDOW = ("date", "infectiousness", "scanInstances", "riskScore", "riskCalculationVersion")

EVENTS: Mapping[tuple[str, int], Sequence[str]] = {
    ("exposureWindow", 1): WINDOW,
    ("exposureWindow", 2): (*WINDOW, "isConsideredRisky"),
    ("exposureWindowPositiveTest", 1): (*WINDOW, "testType"),
    ("exposureWindowPositiveTest", 2): (*WINDOW, "testType", "requiresConfirmatoryTest"),
    ("exposureWindowPositiveTest", 3): (*WINDOW, "testType", "requiresConfirmatoryTest", "isConsideredRisky"),
}
"""The payload's keys of each type and version."""
EVENT_SHARES = (5, 50, 5, 10, 30)
FULLEST = ("exposureWindowPositiveTest", 3)
"""The type and version whose payload has every key."""

INFECTIOUSNESS, INFECTIOUSNESS_SHARES = ("high", "standard", "none"), (60, 35, 5)
TESTS, TEST_SHARES = ("LAB_RESULT", "RAPID_RESULT", "unknown"), (50, 45, 5)
RISKY_SCORE = 100
SEVERAL_SHARE, NO_EVENTS_SHARE, UNKNOWN_KEY_SHARE = 0.1, 0.01, 0.03
MOST_EVENTS, MOST_SCANS, STORED_DAYS = 12, 8, 14

UNKNOWN_KEYS: Mapping[str, tuple[str, object]] = {
    "": ("sentBy", {"client": "app", "attempt": 2}),
    "metadata": ("deviceLanguage", "en-GB"),
    "events": ("sequence", 7),
    "payload": ("contactDuration", None),
    "scanInstances": ("calibrationConfidence", [1, 2]),
}
"""What later apps might add: in which part of a submission (empty: the whole) stands which key with which value."""


def make_submission(rng: Random, pairs: Sequence[Pair], hour: datetime) -> dict[str, Any]:
    """One phone's submission that arrives at ``hour``: as a rule of one event, never of two types."""
    metadata = choose_phone(rng, pairs).metadata
    kind = rng.choices(list(EVENTS), EVENT_SHARES)[0]
    events = [make_event(rng, hour, kind) for _ in range(_choose_size(rng))]
    submission: dict[str, Any] = {"metadata": metadata, "events": events}
    _add_unknown_keys(rng, "", submission)
    if rng.random() < UNKNOWN_KEY_SHARE:
        submission["uuid"] = str(UUID(int=rng.getrandbits(128), version=4))
    return submission


def make_event(rng: Random, hour: datetime, kind: tuple[str, int]) -> dict[str, Any]:
    """One encounter, as an event of this type and version."""
    score = round(900 * rng.random() ** 3, rng.choice((1, 3, 9)))
    values = {
        "date": format_instant(hour - timedelta(minutes=int(STORED_DAYS * 24 * 60 * rng.random()))),
        "infectiousness": rng.choices(INFECTIOUSNESS, INFECTIOUSNESS_SHARES)[0],
        "scanInstances": [_scan(rng) for _ in range(1 + int(MOST_SCANS * rng.random() ** 2))],
        "riskScore": int(score) if rng.random() < 0.5 else score,
        "riskCalculationVersion": 2,
        "testType": rng.choices(TESTS, TEST_SHARES)[0],
        "requiresConfirmatoryTest": rng.random() < 0.2,
        "isConsideredRisky": score >= RISKY_SCORE,
    }
    return {"type": kind[0], "version": kind[1], "payload": {name: values[name] for name in EVENTS[kind]}}


def _scan(rng: Random) -> dict[str, int]:
    nearest = 20 + int(60 * rng.random())
    return {
        "minimumAttenuation": nearest,
        "secondsSinceLastScan": 60 * rng.randint(1, 5),
        "typicalAttenuation": nearest + int(15 * rng.random()),
    }


def _choose_size(rng: Random) -> int:
    chosen = rng.random()
    if chosen < NO_EVENTS_SHARE:
        return 0
    return rng.randint(2, MOST_EVENTS) if chosen < NO_EVENTS_SHARE + SEVERAL_SHARE else 1


def _add_unknown_keys(rng: Random, name: str, part: Any) -> None:
    """Now and then, at any depth, behind the keys that are known."""
    if isinstance(part, list):
        for each in part:
            _add_unknown_keys(rng, name, each)
    elif isinstance(part, dict):
        for key, value in part.items():
            _add_unknown_keys(rng, key, value)
        if rng.random() < UNKNOWN_KEY_SHARE:
            key, value = UNKNOWN_KEYS[name]
            part[key] = value
