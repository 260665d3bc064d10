"""The circuit of an outside system: open while the system, not an object, is what fails.

While it is open nothing is lost and no object loses an attempt: everything stays pending, and one object at a time
probes whether the system is back.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec.structs import replace

from pipelines.core.retry import LONGEST_PAUSE, Judgement, RetryPolicy, Verdict
from pipelines.core.work import Reason

TRIPS_AFTER = 5
"""Failed attempts in a row, with no success between, after which the system rather than the objects is at fault."""

_OBJECTS = 2
"""Of how many different objects these must be: one that fails alone, again and again, is itself at fault."""


class Circuit(msgspec.Struct, frozen=True):
    """``failures`` in a row; ``opened_at`` and ``probe_at`` are set while it is open.

    Attributes:
        failures: since the last success.
        opened_at: when it opened.
        probe_at: from when on one object may try whether the system is back.
        probes: how many have failed so far, with that which opened it.
        reason: of the last failure.
        objects: how many objects failed in this row; one that fails again after another counts again. None, as long as
            it is just the one that failed before the others got through: that one is at fault, not the system.
        last: the id of the item that failed last, be it before the last success.
    """

    failures: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    probes: int = 0
    reason: str | None = None
    objects: int = 0
    last: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether the system is held to be out of order."""
        return self.opened_at is not None

    def allowance(self, now: datetime) -> int | None:
        """How many objects may be tried now: ``None`` for any number, 1 for a probe, 0 for none."""
        if self.opened_at is None:
            return None
        # A probe further away than any pause is a clock's fault, which must not shut the way out for good.
        return 0 if self.probe_at is not None and now < self.probe_at <= now + LONGEST_PAUSE else 1

    def after(
        self, judgement: Judgement, now: datetime, policy: RetryPolicy, retry_after: float | None, item_id: int
    ) -> Circuit:
        """The circuit after one more answer, to the attempt at this item."""
        if judgement.verdict in (Verdict.DONE, Verdict.OBJECT):
            # A refusal of one object is an answer too: the system is there and lets us in. Whoever failed last may have
            # failed by itself: it is remembered until it has an answer of its own.
            return Circuit(last=None if item_id == self.last else self.last)
        if not self.failures:
            objects = int(item_id != self.last)
        else:
            objects = self.objects if item_id == self.last else max(1, self.objects) + 1
        row = replace(self, failures=self.failures + 1, objects=objects, last=item_id)
        if self.allowance(now) == 0:
            return row  # sent before it opened: no probe, and no reason to wait longer
        row = replace(row, reason=judgement.reason)
        tripped = row.failures >= TRIPS_AFTER and row.objects >= _OBJECTS
        # Only an answer can concern the suspect alone: with no connection nobody has seen it.
        suspected = judgement.reason == Reason.NOT_ALLOWED and not objects
        if not (self.is_open or tripped or (judgement.verdict is Verdict.SYSTEM and not suspected)):
            return row
        probes = self.probes + 1
        wait = max(policy.pause(probes, 0.0, retry_after), timedelta(seconds=1))
        return replace(row, opened_at=self.opened_at or now, probe_at=now + wait, probes=probes)
