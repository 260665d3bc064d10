"""When a delivery asks for a person."""

from __future__ import annotations

from datetime import datetime, timedelta

from pipelines.core.summary import Summary
from pipelines.core.work import State


def alarms(standing: Summary, now: datetime, longest_wait: timedelta, dead_letters: int) -> list[str]:
    """What is over its bound: the age of the oldest waiting object, the number of dead letters."""
    raised: list[str] = []
    if standing.oldest is not None and now - standing.oldest > longest_wait:
        raised.append(f"{standing.waiting} objects wait, the oldest since {standing.oldest:%Y-%m-%d %H:%M} UTC")
    dead = standing.items[State.DEAD]
    if dead > dead_letters:
        raised.append(f"{dead} dead letters, {dead_letters} allowed")
    return raised
