"""Submissions of events as phones send them, written by hand: one of each type and version."""

from __future__ import annotations

from typing import Any

DISTRICT, AUTHORITY = "AL2", "E07000098"
MERGED = "AL2_AL4_WD7"
IDENTIFIER = "00000000-0000-5000-8000-000000000000"

WINDOW: dict[str, Any] = {
    "date": "2020-08-24T21:59:00Z",
    "infectiousness": "high",
    "scanInstances": [
        {"minimumAttenuation": 97, "secondsSinceLastScan": 201, "typicalAttenuation": 0},
        {"minimumAttenuation": 1, "secondsSinceLastScan": 2, "typicalAttenuation": 3},
    ],
    "riskScore": 150.0,
    "riskCalculationVersion": 2,
}
RISKY = {"isConsideredRisky": True}
TEST = {"testType": "LAB_RESULT"}
CONFIRMATORY = {"requiresConfirmatoryTest": False}

EVENTS: list[dict[str, Any]] = [
    {"type": "exposureWindow", "version": 1, "payload": WINDOW},
    {"type": "exposureWindow", "version": 2, "payload": WINDOW | RISKY},
    {"type": "exposureWindowPositiveTest", "version": 1, "payload": WINDOW | TEST},
    {"type": "exposureWindowPositiveTest", "version": 2, "payload": WINDOW | TEST | CONFIRMATORY},
    {"type": "exposureWindowPositiveTest", "version": 3, "payload": WINDOW | TEST | CONFIRMATORY | RISKY},
]

METADATA: dict[str, Any] = {
    "operatingSystemVersion": "iPhone OS 13.5.1 (17F80)",
    "latestApplicationVersion": "3.0",
    "deviceModel": "iPhone11,2",
    "postalDistrict": DISTRICT,
    "localAuthority": AUTHORITY,
}


def submission(*events: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A submission of these events, one of the first kind if none are named; metadata may be replaced."""
    return {"metadata": METADATA | metadata, "events": list(events or EVENTS[:1])}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A submission of one event of the last kind, with another value at a path such as ``events.0.payload.date``."""
    whole: Any = submission(EVENTS[-1])
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    copy: Any = _copied(whole)
    part = copy
    for step in parents:
        part = part[step]
    if value is ABSENT:
        del part[last]
    else:
        part[last] = value
    result: dict[str, Any] = copy
    return result


ABSENT = object()


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(one) for key, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value
