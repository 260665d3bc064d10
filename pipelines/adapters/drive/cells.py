"""The text of cells.

Here: what a stored value reads as. Not here: what a text means to a feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, TypeAlias

from pipelines.adapters.drive.contract import Row

Stored: TypeAlias = str | int | float | Decimal | bool | date | datetime | time | timedelta | None

NUMBERS = frozenset({int, float, Decimal})
"""The classes of values that were stored as numbers: compared as they are, a bool is none."""

_CUT = " [cut here: {} characters more]"


def read_row(number: int, stored: Sequence[Stored], *, left: int = 0) -> Row:
    """A row from its stored values, the first of which stands ``left`` cells from the left."""
    cells = [value if value.__class__ is str else _READ[value.__class__](value) for value in stored]
    odd = [place for place, value in enumerate(stored) if value.__class__ is not str]
    numbers = tuple([place + left for place in odd if stored[place].__class__ in NUMBERS]) if odd else ()
    while cells and not cells[-1]:
        del cells[-1]
    return Row(number, ("",) * left + tuple(cells), numbers) if cells else Row(number, ())


def with_blanks(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows that are not blank, and a blank one for each number that is left out before them."""
    expected = 1
    for row in rows:
        if row.cells:
            while expected < row.number:
                yield Row(expected, ())
                expected += 1
            yield row
            expected += 1


def text(value: Stored) -> str:
    """What a stored value reads as.

    A number is written out without an exponent, with as many digits as it takes to tell it from every other number
    that a spreadsheet can store: 0.1 is stored as 0.1000000000000000055, and read as 0.1.
    """
    return _READ[value.__class__](value)


def fitting(value: str, limit: int) -> str:
    """The text, or as much of it as fits into ``limit`` UTF-16 units, and how much is left out."""
    size = _units(value)
    if size <= limit:
        return value
    kept = value.encode("utf-16-le", "surrogatepass")[: 2 * (limit - len(_CUT.format(size)))]
    cut = kept.decode("utf-16-le", "ignore")
    return cut + _CUT.format(len(value) - len(cut))


def _units(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-16-le", "surrogatepass")) // 2


def _decimal(value: float | Decimal) -> str:
    plain = str(value)
    plain = plain.removesuffix(".0")
    if "E" in plain or "e" in plain:
        plain = f"{Decimal(plain):f}"
    if "." in plain:
        plain = plain.rstrip("0").removesuffix(".")
    return "0" if plain == "-0" else plain


def _rounded(value: datetime) -> datetime:
    """To the second: a moment is stored as a fraction of a day, which is seldom exact."""
    return (value + timedelta(microseconds=500_000)).replace(microsecond=0)


def _duration(value: timedelta) -> str:
    seconds = round(value.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


_READ: Mapping[type, Callable[[Any], str]] = {
    str: str,
    float: _decimal,
    int: str,
    Decimal: _decimal,
    bool: lambda value: "TRUE" if value else "FALSE",
    date: date.isoformat,
    datetime: lambda value: _rounded(value).isoformat(" ").removesuffix(" 00:00:00"),
    time: time.isoformat,
    timedelta: _duration,
    NoneType: lambda _: "",
}
