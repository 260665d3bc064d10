"""What can be wrong with a submission of events, and how it is found.

Here: reading a submission strictly, and judging each of its values. Not here: what becomes of the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from pipelines.domains.mobile.events.contract import METADATA, PAYLOADS, SCAN, Key, Kind
from pipelines.domains.mobile.faults import Fault, Reason, find_duplicate_key, judge_number, judge_unparsed
from pipelines.domains.mobile.instants import read_instant

_MARK = b"\xef\xbb\xbf"
_KNOWN = frozenset(
    {"metadata", "events", "type", "version", "payload", "uuid"}
    | {key.name for keys in (METADATA, SCAN, *PAYLOADS.values()) for key in keys}
)


def parse_submission(data: bytes) -> dict[str, Any] | Fault:
    """Read a submission: strict JSON without duplicate keys, every value what the contract says.

    Unknown keys are allowed, at any depth. Without a fault, all that the contract names can be taken as it is.
    """
    try:
        submission = orjson.loads(data.removeprefix(_MARK))
    except orjson.JSONDecodeError:
        return judge_unparsed(data)
    if not isinstance(submission, dict):
        return Fault("", Reason.NOT_AN_OBJECT)
    duplicate = find_duplicate_key(data)
    if duplicate is not None:
        return Fault(duplicate if duplicate in _KNOWN else "", Reason.DUPLICATE_KEY)
    return find_fault(submission) or submission


def find_fault(submission: Mapping[str, Any]) -> Fault | None:
    """Look through a submission that was read, value by value, for the first one that the contract doesn't take."""
    reason = _judge_part(submission, "metadata", dict)
    if reason is not None:
        return Fault("metadata", reason)
    fault = _find_in(submission["metadata"], METADATA)
    if fault is not None:
        return fault
    reason = _judge_part(submission, "events", list)
    if reason is not None:
        return Fault("events", reason)
    return next(filter(None, map(_find_in_event, submission["events"])), None)


def _find_in_event(event: Any) -> Fault | None:
    if not isinstance(event, dict):
        return Fault("events", Reason.NOT_AN_OBJECT)
    for name in ("type", "version", "payload"):
        if name not in event:
            return Fault(name, Reason.MISSING)
    kind, version = event["type"], event["version"]
    # Types are compared as well: to Python true, 1 and 1.0 are one key.
    keys = PAYLOADS.get((kind, version)) if type(kind) is str and type(version) is int else None
    if keys is None:
        return Fault("type", Reason.UNKNOWN_TYPE)
    reason = _judge_part(event, "payload", dict)
    return Fault("payload", reason) if reason is not None else _find_in(event["payload"], keys)


def _find_in(part: Mapping[str, Any], keys: Iterable[Key]) -> Fault | None:
    for key in keys:
        if key.name not in part:
            if key.optional:
                continue
            return Fault(key.name, Reason.MISSING)
        fault = _judge(key, part[key.name])
        if fault is not None:
            return fault
    return None


def _judge(key: Key, value: Any) -> Fault | None:
    if value is None:
        return Fault(key.name, Reason.NULL)
    if key.kind is Kind.SCANS:
        return _find_in_scans(key, value)
    if key.kind is Kind.INT32:
        reason = judge_number(value, 32)
    elif key.kind is Kind.NUMBER:
        reason = None if type(value) in (int, float) and math.isfinite(value) else Reason.WRONG_TYPE
    elif key.kind is Kind.BOOL:
        reason = None if type(value) is bool else Reason.WRONG_TYPE
    else:
        reason = _judge_text(key, value)
    return None if reason is None else Fault(key.name, reason)


def _judge_text(key: Key, value: Any) -> Reason | None:
    if not isinstance(value, str):
        return Reason.WRONG_TYPE
    if key.kind is Kind.INSTANT:
        return None if read_instant(value) else Reason.BAD_DATE
    return Reason.UNKNOWN_VALUE if key.kind is Kind.CHOICE and value not in key.choices else None


def _find_in_scans(key: Key, scans: Any) -> Fault | None:
    if not isinstance(scans, list):
        return Fault(key.name, Reason.WRONG_TYPE)
    if not all(isinstance(scan, dict) for scan in scans):
        return Fault(key.name, Reason.NOT_AN_OBJECT)
    return next((fault for scan in scans if (fault := _find_in(scan, SCAN))), None)


def _judge_part(whole: Mapping[str, Any], name: str, kind: type) -> Reason | None:
    if name not in whole:
        return Reason.MISSING
    if whole[name] is None:
        return Reason.NULL
    return None if isinstance(whole[name], kind) else Reason.WRONG_TYPE
