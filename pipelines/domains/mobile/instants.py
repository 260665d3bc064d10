"""Instants as packages write them: the one text form that is read, and the one that is written.

Here: the ISO form in UTC that Java's `Instant` reads and prints. Not here: which instants are acceptable.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_FORM = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{0,9}))?[Zz]")


@dataclass(frozen=True, slots=True, order=True)
class Instant:
    """A moment: its whole second in UTC, the nanoseconds (0 to 999,999,999) after it, and its printed form."""

    second: datetime
    nanoseconds: int
    text: str = field(default="", compare=False)


def read_instant(text: str) -> Instant | None:
    """Read an instant, for example `2020-07-27T23:00:00.000Z`.

    Seconds are needed, a fraction of up to nine digits is allowed, an offset other than `Z` is not; `T` and `Z` may be
    lower case. As in Java, `24:00:00` is the next midnight and the leap second `23:59:60` the second before it. Years
    are 0001 to 9999.

    Returns:
        The instant, printed with its fraction in groups of three digits, none if it is zero; None if the text has
        another form or no such moment exists.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    day, time, fraction = match.groups()
    nanoseconds = int((fraction or "").ljust(9, "0"))
    shift = timedelta()
    if time == "24:00:00" and not nanoseconds:
        time, shift = "00:00:00", timedelta(days=1)
    elif time == "23:59:60":
        time = "23:59:59"
    try:
        second = datetime.fromisoformat(f"{day}T{time}") + shift
    except (ValueError, OverflowError):
        return None
    return Instant(second.replace(tzinfo=UTC), nanoseconds, f"{second.isoformat()}{_print_fraction(nanoseconds)}Z")


def _print_fraction(nanoseconds: int) -> str:
    if not nanoseconds:
        return ""
    digits = f"{nanoseconds:09}"
    while digits.endswith("000"):
        digits = digits.removesuffix("000")
    return f".{digits}"
