"""An exported submission read back and compared with what it must be, before anybody may see it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Set
from typing import Any

import orjson

from pipelines.domains.mobile.events.contract import METADATA, PAYLOADS, SCAN
from pipelines.domains.mobile.events.faults import find_fault
from pipelines.domains.mobile.landed import VerificationError

_TOP = {"metadata", "events", "uuid"}
_EVENT = {"type", "version", "payload"}
_METADATA = {key.name for key in METADATA}
_SCAN = {key.name for key in SCAN}


def verify(body: bytes, targets: Set[tuple[str, str | None]], expected_events: int) -> None:
    """Read a body as whoever receives it would, and compare it with the contract.

    Args:
        body: the JSON that is to leave.
        targets: every (district, authority) that the mapping can answer: nothing else may stand in it.
        expected_events: how many events were accepted.

    Raises:
        VerificationError: the body can't be read, or its keys, its values, its place or its events disagree.
    """
    try:
        _compare(orjson.loads(body), targets, expected_events)
    except (LookupError, TypeError, ValueError, AttributeError):
        # Without its cause: texts of errors may quote values.
        raise VerificationError("the submission is not of the contract's form") from None


def _compare(submission: dict[str, Any], targets: Set[tuple[str, str | None]], expected_events: int) -> None:
    if not _has_known_keys_only(submission):
        raise VerificationError("the submission holds other keys than those of the contract")
    metadata = submission["metadata"]
    if (metadata["postalDistrict"], metadata["localAuthority"]) not in targets:
        raise VerificationError("the submission holds a place that the mapping never answers")
    if len(submission["events"]) != expected_events:
        raise VerificationError(f"{len(submission['events'])} events are there, {expected_events} were accepted")
    known = {name: value for name, value in metadata.items() if value is not None}  # a district alone has no authority
    if find_fault({**submission, "metadata": known}) or str(uuid.UUID(submission["uuid"])) != submission["uuid"]:
        raise VerificationError("the submission holds a value that the contract does not take")


def _has_known_keys_only(submission: Mapping[str, Any]) -> bool:
    if set(submission) != _TOP or set(submission["metadata"]) != _METADATA:
        return False
    for event in submission["events"]:
        keys = {key.name for key in PAYLOADS[event["type"], event["version"]]}
        scans = event["payload"]["scanInstances"]
        if set(event) != _EVENT or set(event["payload"]) != keys or any(set(scan) != _SCAN for scan in scans):
            return False
    return True
