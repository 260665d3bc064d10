"""On what terms a batch is sent: how much at once, how long a call may take, how often it is tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from pipelines.core.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Terms:
    """How a batch is sent; times in seconds.

    Attributes:
        connections: calls under way at once.
        lease: how long an effect is held without renewing.
        call_seconds: what a call may take at most.
        late_seconds: after a lost answer, the time by which the call must be over on the other side as well.
        policy: how often an effect is tried, and how far apart.
    """

    connections: int
    lease: timedelta
    call_seconds: float
    late_seconds: float
    policy: RetryPolicy

    def __post_init__(self) -> None:
        if self.lease.total_seconds() * 2 / 3 < self.call_seconds:  # it is renewed every third
            raise ValueError("a lease must be at least one and a half times as long as one call may take")
