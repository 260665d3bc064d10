"""Time partitions as keys and paths. All of it is UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

HOUR = timedelta(hours=1)
HOUR_KEY = "%Y-%m-%d-%H:%M"
_HIVE_PATH = re.compile(r"(?:^|/)date=([0-9]{4}-[0-9]{2}-[0-9]{2})/hour=([0-9]{2})/")
_HOUR_PATH = re.compile(r"(?:^|/)([0-9]{4})/([0-9]{2})/([0-9]{2})/([0-9]{2})/[^/]+$")


def hour_key(moment: datetime) -> str:
    """The partition key of the hour that holds ``moment`` (aware)."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    return hour.isoformat("-", "minutes")  # as HOUR_KEY, but with four digits for every year


def hour_start(key: str) -> datetime:
    """The first moment of an hourly partition."""
    return datetime.strptime(key, HOUR_KEY).replace(tzinfo=UTC)


def hour_of_path(path: str) -> str | None:
    """The partition that a landing key's ``.../YYYY/MM/DD/HH/name`` names, or ``None`` if it names no hour."""
    found = _HOUR_PATH.search(path)
    if found is None:
        return None
    year, month, day, hour = map(int, found.groups())
    try:
        return hour_key(datetime(year, month, day, hour, tzinfo=UTC))
    except ValueError:
        return None


def exists(key: str, start: date, now: datetime) -> bool:
    """Whether an hourly partition is one of those from ``start`` up to the hour of ``now``."""
    return datetime(start.year, start.month, start.day, tzinfo=UTC) <= hour_start(key) <= now


def hive_path(key: str) -> str:
    """``date=YYYY-MM-DD/hour=HH`` of an hourly partition."""
    start = hour_start(key)
    return f"date={start.date()}/hour={start:%H}"


def hour_of_hive_path(path: str) -> str | None:
    """The partition that ``date=YYYY-MM-DD/hour=HH/`` in a path names, or ``None`` if it names no hour."""
    found = _HIVE_PATH.search(path)
    if found is None:
        return None
    try:
        return hour_key(datetime.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H").replace(tzinfo=UTC))
    except ValueError:
        return None
