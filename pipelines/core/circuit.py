"""The circuit of an outside system: open while the system, not an object, is what fails.

While it is open nothing is lost and no object loses an attempt: everything stays pending, and one object at a time
probes whether the system is back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pipelines.core.retry import Judgement, RetryPolicy, Verdict

TRIPS_AFTER = 5
"""Failed attempts in a row, with no success between, after which the system rather than the objects is at fault."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """``failures`` in a row; ``opened_at`` and ``probe_at`` are set while it is open."""

    failures: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    probes: int = 0
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the system is held to be out of order."""
        return self.opened_at is not None

    def allowance(self, now: datetime) -> int | None:
        """How many objects may be tried now: ``None`` for any number, 1 for a probe, 0 for none."""
        if self.opened_at is None:
            return None
        return 1 if self.probe_at is None or now >= self.probe_at else 0

    def after(self, judgement: Judgement, now: datetime, policy: RetryPolicy, retry_after: float | None) -> Circuit:
        """The circuit after one more answer."""
        if judgement.verdict in (Verdict.DONE, Verdict.OBJECT):
            return Circuit()  # a refusal of one object is an answer too: the system is there and lets us in
        failures = self.failures + 1
        if self.allowance(now) == 0:
            return replace(self, failures=failures)  # sent before it opened: no probe, and no reason to wait longer
        if self.is_open:
            probes = self.probes + 1
        elif judgement.verdict is Verdict.SYSTEM or failures >= TRIPS_AFTER:
            probes = 1
        else:
            return replace(self, failures=failures, reason=judgement.reason)
        wait = policy.pause(probes, 0.0, retry_after)
        return Circuit(failures, self.opened_at or now, now + max(wait, timedelta(seconds=1)), probes, judgement.reason)
