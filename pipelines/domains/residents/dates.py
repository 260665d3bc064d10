"""Days as spreadsheets write them: the forms that are read, and why any other text is not.

Nothing is guessed: a day that is read wrongly reaches a stranger's record. Not here: which days are acceptable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

EARLIEST_YEAR = 1800
"""Four digits that say less, such as 0063, are a year of two digits that some program has filled up."""


class Form(StrEnum):
    """How a day may be written; an hour may follow, and is not kept."""

    DAY_FIRST = "dd/mm/yyyy"
    """One or two digits for day and month; `.` or `-` may stand for both slashes."""
    ISO = "yyyy-mm-dd"
    """One or two digits for month and day."""
    COMPACT = "yyyymmdd"


USUAL_FORMS = (Form.DAY_FIRST, Form.ISO)


class BadDay(StrEnum):
    """Why a text is not read as a day."""

    TWO_DIGIT_YEAR = "a year of two digits"
    SERIAL = "a number instead of a date"
    MONTH_FIRST = "month before day"
    IMPOSSIBLE = "no such day"
    BAD_TIME = "no such time"
    UNKNOWN = "not a known form of date"


_ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_TIME = rf"(?:(?: +|T)(?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}})(?:\.[0-9]+)?)?{_ZONE})?"
_FORMS = {
    Form.DAY_FIRST: re.compile(rf"(?P<day>[0-9]{{1,2}})([/.-])(?P<month>[0-9]{{1,2}})\2(?P<year>[0-9]{{4}}){_TIME}"),
    Form.ISO: re.compile(rf"(?P<year>[0-9]{{4}})-(?P<month>[0-9]{{1,2}})-(?P<day>[0-9]{{1,2}}){_TIME}"),
    Form.COMPACT: re.compile(rf"(?P<year>[0-9]{{4}})(?P<month>[0-9]{{2}})(?P<day>[0-9]{{2}}){_TIME}"),
}
_TWO_DIGIT_YEAR = re.compile(rf"[0-9]{{1,2}}([/.-])[0-9]{{1,2}}\1[0-9]{{2}}{_TIME}")
_SERIAL = re.compile(r"[0-9]{1,6}(?:\.[0-9]+)?")


def read_day(text: str, forms: tuple[Form, ...]) -> date | BadDay:
    """Read a day as it is written, whatever hour or offset follows.

    Args:
        text: without blanks around it.
        forms: those that the column may have.

    Returns:
        The day, or why the text is not one.
    """
    for form in forms:
        if found := _FORMS[form].fullmatch(text):
            return _make_day(form, found)
    if _TWO_DIGIT_YEAR.fullmatch(text):
        return BadDay.TWO_DIGIT_YEAR
    return BadDay.SERIAL if _SERIAL.fullmatch(text) else BadDay.UNKNOWN


@dataclass(frozen=True, slots=True)
class DayColumn:
    """A column with days and the forms that they may have there."""

    name: str
    forms: tuple[Form, ...]

    def read(self, cells: Mapping[str, str]) -> date | BadDay | None:
        """The row's day, or why it has none; None if the cell is blank."""
        return read_day(cells[self.name], self.forms) if cells[self.name] else None


def age_in_days(day: date, today: date) -> int:
    """Whole days since then, negative for a day to come."""
    return (today - day).days


def london_day(moment: datetime) -> date:
    """The day in London at a moment (aware)."""
    return moment.astimezone(ZoneInfo("Europe/London")).date()


def _make_day(form: Form, found: re.Match[str]) -> date | BadDay:
    year, month, day = (int(found[part]) for part in ("year", "month", "day"))
    if not _is_time(found):
        return BadDay.BAD_TIME
    if year < EARLIEST_YEAR:
        return BadDay.IMPOSSIBLE
    try:
        return date(year, month, day)
    except ValueError:
        is_swapped = form is Form.DAY_FIRST and month > 12 and 1 <= day <= 12 and month <= 31
        return BadDay.MONTH_FIRST if is_swapped else BadDay.IMPOSSIBLE


def _is_time(found: re.Match[str]) -> bool:
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    return hour < 24 and minute < 60 and second < 60
