"""What is made of a landed file of events: one JSON object, verified, or a rejected submission."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pipelines.core.work import Item
from pipelines.domains.mobile.carried import MOVED
from pipelines.domains.mobile.events.filter import filter_submission, submission_uuid
from pipelines.domains.mobile.events.verification import verify
from pipelines.domains.mobile.faults import Fault, Reason
from pipelines.domains.mobile.feeds import EVENTS, Feed
from pipelines.domains.mobile.landed import Content
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.quarantine import Reject, write_reject

HEAD_LENGTH = 64 << 10
"""Bytes that are kept of a submission that is too long."""

_NOTHING = {"events": 0, "unknown": 0, "dropped": 0}


@dataclass(frozen=True, slots=True)
class EventRecipe:
    """A file of one submission; one longer than ``event_bytes`` is rejected."""

    event_bytes: int
    feed: Feed = EVENTS
    at_once: int = 16

    def make(
        self, item: Item, mapping: PrivacyMapping, chunks: Iterator[bytes], output: IO[bytes], rejected: IO[bytes]
    ) -> Content:
        """See ``Recipe``."""
        data, length = self._read(chunks)
        if item.detail.get(MOVED):
            return Content(0, 0, {}, broken=False, counts=_NOTHING)
        identifier = submission_uuid(item.name, item.version, 0)
        made = Fault("", Reason.TOO_LONG) if length > self.event_bytes else filter_submission(data, mapping, identifier)
        if isinstance(made, Fault):
            rejected.write(write_reject(Reject(1, made.field, made.reason, data, length)))
            return Content(1, 0, {str(made.reason): 1}, broken=False, counts=_NOTHING)
        output.write(made.body)
        output.seek(0)
        verify(output.read(), mapping.targets, made.events)
        counts = {"events": made.events, "unknown": int(made.unknown), "dropped": made.dropped}
        return Content(1, 1, {}, broken=False, counts=counts)

    def _read(self, chunks: Iterator[bytes]) -> tuple[bytes, int]:
        """The submission and its length; of one that is too long its head only, so that memory stays flat."""
        kept = bytearray()
        length = 0
        for chunk in chunks:
            length += len(chunk)
            if len(kept) <= self.event_bytes:
                kept += chunk[: self.event_bytes + 1 - len(kept)]
        return bytes(kept[: HEAD_LENGTH if length > self.event_bytes else None]), length
