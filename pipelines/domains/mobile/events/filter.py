"""The privacy filter of events: a raw submission in, the JSON that may leave out.

Here: what becomes of a submission and of each of its keys. Not here: what makes one acceptable, the mapping itself,
reading and writing files. A raw district does not leave this module.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from pipelines.domains.mobile.events.contract import METADATA, PAYLOADS, SCAN, Key, Kind
from pipelines.domains.mobile.events.faults import parse_submission
from pipelines.domains.mobile.faults import Fault

_SUBMISSIONS = uuid.UUID("0b8a2b60-5d0e-4a5e-9f0b-3c1d4f0a7e21")
"""The namespace of the identifiers of submissions."""

UNKNOWN = "UNKNOWN"


class Lookup(Protocol):
    """The privacy mapping, as far as it is needed here."""

    def lookup(self, district: str, authority: str | None) -> tuple[str, str | None]:
        """The district and authority that may stand for these."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission as it may leave.

    Attributes:
        body: its JSON; the same submission, mapping and identifier give the same bytes.
        events: how many it holds.
        unknown: whether the mapping does not know its place.
        dropped: how many keys it held that the contract does not name.
    """

    body: bytes = field(repr=False)
    events: int
    unknown: bool
    dropped: int


def submission_uuid(key: str, version: str, index: int) -> str:
    """The identifier of a submission by the landed file that it stands in: it tells nothing of what it holds.

    Args:
        key: of the landed file.
        version: of the landed file.
        index: the place of the submission in it, from 0.
    """
    return str(uuid.uuid5(_SUBMISSIONS, f"{key}\n{version}\n{index}"))


def filter_submission(data: bytes, mapping: Lookup, identifier: str) -> Submission | Fault:
    """Map the place, keep what the contract names and nothing else, and add our identifier; or say what is wrong."""
    raw = parse_submission(data)
    if isinstance(raw, Fault):
        return raw
    picker = _Picker()
    submission = picker.pick(raw, ("metadata", "events"))
    metadata = picker.take(submission["metadata"], METADATA)
    district, authority = mapping.lookup(metadata["postalDistrict"], metadata.get("localAuthority"))
    metadata |= {"postalDistrict": district, "localAuthority": authority}
    events = [picker.take_event(event) for event in submission["events"]]
    body = orjson.dumps({"metadata": metadata, "events": events, "uuid": identifier})
    return Submission(body, len(events), district == UNKNOWN, picker.dropped)


class _Picker:
    """Takes the known keys out of objects and counts the others."""

    def __init__(self) -> None:
        self.dropped = 0

    def pick(self, part: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
        picked = {name: part[name] for name in names if name in part}
        self.dropped += len(part) - len(picked)
        return picked

    def take(self, part: Mapping[str, Any], keys: Iterable[Key]) -> dict[str, Any]:
        keys = tuple(keys)
        taken = self.pick(part, (key.name for key in keys))
        for key in keys:
            if key.kind is Kind.SCANS:
                taken[key.name] = [self.take(scan, SCAN) for scan in taken[key.name]]
        return taken

    def take_event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        taken = self.pick(event, ("type", "version", "payload"))
        return taken | {"payload": self.take(taken["payload"], PAYLOADS[taken["type"], taken["version"]])}
