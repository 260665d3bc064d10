"""What a partition's metadata says of its items: counts by state, bytes, ages and reasons. No names, no values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pipelines.core.work import OPEN, Standing, State


@dataclass(frozen=True, slots=True)
class Summary:
    """Items and bytes by state; ``oldest`` is the first sighting among what is still open."""

    items: Counter[State]
    bytes: Counter[State]
    reasons: Counter[str]
    oldest: datetime | None

    @property
    def waiting(self) -> int:
        """Items that still ask for work."""
        return sum(self.items[state] for state in OPEN)


def summarise(standings: Iterable[Standing]) -> Summary:
    """Add up the standings of a queue."""
    found = list(standings)
    items: Counter[State] = Counter()
    size: Counter[State] = Counter()
    reasons: Counter[str] = Counter()
    for one in found:
        items[one.state] += one.items
        size[one.state] += one.size
        if one.reason is not None:
            reasons[one.reason] += one.items
    oldest = min((one.oldest for one in found if one.state in OPEN), default=None)
    return Summary(items, size, reasons, oldest)
