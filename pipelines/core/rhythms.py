"""When which folders are listed, since a notification can be lost and a file can come late.

Three rhythms look at one feed: the last hours at every tick, the last days each hour, and everything once a day. The
last two may be too long for one tick; each has a mark that says when it began and how far it got, and goes on from
there. Nothing is listed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Rhythm(StrEnum):
    """How often, and how far back."""

    RECENT = "recent"
    WINDOW = "window"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Cadence:
    """How much each rhythm looks at, and how often.

    ``recent_hours`` and ``window_days`` count folders, the present one included; with 0 of them that rhythm is off.
    """

    recent_hours: int = 3
    window_days: int = 4
    window_every: timedelta = timedelta(hours=1)
    all_every: timedelta = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a rhythm came.

    ``at`` is when the latest listing began. ``position`` is the last key of it that is dealt with, or ``None`` once
    all of it is.
    """

    at: datetime | None = None
    position: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Folders to list now, in this order: the keys after ``after``. The listing as a whole began at ``began``."""

    rhythm: Rhythm
    prefixes: tuple[str, ...]
    after: str | None
    began: datetime


def due_listings(prefix: str, now: datetime, marks: Mapping[Rhythm, Mark], cadence: Cadence) -> list[Listing]:
    """What to list of the feed under ``prefix`` (no slash at its end) at this tick, the freshest first."""
    longer = {
        Rhythm.WINDOW: (_day_prefixes(prefix, now, cadence.window_days), cadence.window_every),
        Rhythm.ALL: ((f"{prefix}/",), cadence.all_every),
    }
    due = [Listing(Rhythm.RECENT, _hour_prefixes(prefix, now, cadence.recent_hours), None, now)]
    for rhythm, (prefixes, every) in longer.items():
        mark = marks.get(rhythm, Mark())
        if mark.at is not None and mark.position is not None:
            due.append(Listing(rhythm, prefixes, mark.position, mark.at))
        elif _is_due(mark.at, now, every):
            due.append(Listing(rhythm, prefixes, None, now))
    return [listing for listing in due if listing.prefixes]


def _is_due(at: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether the time has come; a mark from the future is a clock's fault and must not silence the rhythm."""
    return at is None or not at <= now < at + every


def _hour_prefixes(prefix: str, now: datetime, hours: int) -> tuple[str, ...]:
    """The last hours and the next one: an uploader's clock may be ahead of ours."""
    last = now.astimezone(UTC)
    moments = [last + timedelta(hours=hour) for hour in range(1 - hours, 2)] if hours else []
    return tuple(f"{prefix}/{moment:%Y/%m/%d/%H}/" for moment in moments)


def _day_prefixes(prefix: str, now: datetime, days: int) -> tuple[str, ...]:
    last = now.astimezone(UTC)
    return tuple(f"{prefix}/{last + timedelta(days=day):%Y/%m/%d}/" for day in range(1 - days, 1))
