"""A sheet as its header and its rows, streamed: one row in memory, whatever its length.

Here: where the header is, and rows as wide as it. Not here: the file's format, and what a row means.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice
from typing import NamedTuple

from pipelines.domains.residents.feeds.contract import Feed


class Line(NamedTuple):
    """One row of a sheet, from column A on and from row 1 on, blank rows too.

    Attributes:
        texts: the cells: texts as they are stored, numbers as their exact decimals, days as `yyyy-mm-dd`, nothing
            as "". The line may end with its last cell that is not blank.
        numbers: places of the cells that were stored as numbers.
    """

    texts: Sequence[str]
    numbers: Collection[int] = ()


class Refusal(StrEnum):
    """Why a whole sheet is refused."""

    NO_HEADER = "no header row with"
    MISSING = "missing header"
    DUPLICATE = "header stands twice"


class SheetRefused(ValueError):  # noqa: N818 (it says what is the case)
    """The sheet can't be read as one of its feed; nothing of it may be sent. Only known headers are named."""

    def __init__(self, reason: Refusal, headers: Sequence[str]) -> None:
        super().__init__(f"{reason}: {', '.join(headers)}")
        self.reason = reason
        self.headers = tuple(headers)


@dataclass(frozen=True, slots=True)
class Row:
    """One row below the header.

    Attributes:
        number: in the sheet, from 1.
        texts: as many cells as the header has, those of needed columns trimmed.
        numbers: places of the cells that were stored as numbers.
        is_blank: whether no cell holds anything.
        is_longer: whether cells beyond the header hold something; they are not kept.
    """

    number: int
    texts: tuple[str, ...] = field(repr=False)
    numbers: frozenset[int] = frozenset()
    is_blank: bool = False
    is_longer: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet of a feed.

    Attributes:
        feed: whose columns it has.
        header: all of it, without the blank cells at its end.
        places: of the needed columns.
        rows: in order, to be read once; blank ones only where others follow.
    """

    feed: Feed = field(repr=False)
    header: tuple[str, ...] = field(repr=False)
    places: Mapping[str, int]
    rows: Iterator[Row] = field(repr=False)

    def cells(self, row: Row) -> dict[str, str]:
        """The row's needed cells, by column."""
        return {column: row.texts[place] for column, place in self.places.items()}

    def columns_of_numbers(self, row: Row) -> frozenset[str]:
        """The needed columns in which the row has a number."""
        if not row.numbers:
            return frozenset()
        return frozenset(column for column, place in self.places.items() if place in row.numbers)


def read_sheet(lines: Iterable[Line], feed: Feed) -> Sheet:
    """Find a sheet's header; its rows are read as they are consumed.

    Raises:
        SheetRefused: there is no header row, or a needed header is missing from it or stands in it twice.
    """
    rest = iter(lines)
    number, header = _find_header(rest, feed)
    if missing := [column for column in feed.needed if column not in header]:
        raise SheetRefused(Refusal.MISSING, missing)
    if twice := [column for column in feed.needed if header.count(column) > 1]:
        raise SheetRefused(Refusal.DUPLICATE, twice)
    places = {column: header.index(column) for column in feed.needed}
    return Sheet(feed, header, places, _read_rows(rest, number + 1, len(header), frozenset(places.values())))


def _find_header(lines: Iterator[Line], feed: Feed) -> tuple[int, tuple[str, ...]]:
    """Find the header among the first rows, and consume the lines up to it."""
    marks = set(feed.marks)
    for number, line in enumerate(islice(lines, feed.header_rows), start=1):
        if marks <= set(line.texts) and any(map(str.strip, line.texts)):
            header = list(line.texts)
            while not header[-1].strip():
                header.pop()
            return number, tuple(header)
    raise SheetRefused(Refusal.NO_HEADER, feed.marks or feed.needed)


def _read_rows(lines: Iterator[Line], start: int, width: int, needed: frozenset[int]) -> Iterator[Row]:
    blank = ("",) * width
    waiting = 0  # blank rows that are kept only if another one follows
    for number, line in enumerate(lines, start):
        if not any(map(str.strip, line.texts)):
            waiting += 1
            continue
        for before in range(number - waiting, number):
            yield Row(before, blank, is_blank=True)
        waiting = 0
        texts = chain(islice(line.texts, width), blank[len(line.texts) :])
        trimmed = tuple(text.strip() if place in needed else text for place, text in enumerate(texts))
        is_longer = any(map(str.strip, line.texts[width:]))
        yield Row(number, trimmed, frozenset(line.numbers), is_longer=is_longer)
