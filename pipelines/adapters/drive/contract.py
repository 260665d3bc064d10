"""What every drive promises: folders into which staff drop sheets, and from which they take the outcomes.

Names of sheets, and of outcomes, can hold personal data, and so can where a file form keeps a sheet. They are in the
fields for them alone: no ``repr`` and no message of an error has them, and what caused an error is never chained to it.
"""
# ruff: noqa: N818  # the exceptions here say what is the case, and read as sentences where they are caught

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import NamedTuple, Protocol


class DriveError(Exception):
    """The drive did not do what it was asked."""


class SheetGone(DriveError):
    """The sheet is not, or not any more, in its inbound folder."""


class SheetChanged(DriveError):
    """The sheet is not, or not any more, the version that was asked for."""


class SheetUnreadable(DriveError):
    """There is no reading this version, now or later; the message says what was seen."""


class DriveUnavailable(DriveError):
    """Nothing is known about what was asked; it may pass."""


class DriveBusy(DriveUnavailable):
    """A quota is used up."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """For how many seconds the drive wants to be left alone, if it says."""


class DriveDenied(DriveError):
    """A person has to change something first: credentials, sharing, a folder, space."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One version of an inbound sheet.

    Attributes:
        feed: whose inbound folder it is in.
        id: what the drive finds it by; see ``Drive.keeps_ids`` for how long that is so.
        version: differs wherever the content does; the same one never comes back, even if the content does.
        name: as shown, with its extension if it has one; two sheets of a folder may have the same.
        size: in bytes, if it is made of bytes: a native sheet is not.
        created: in UTC; of a file, when its name or content last changed, as far as the file system tells.
        modified: in UTC.
        kind: its media type where the drive knows that, else empty.
    """

    feed: str
    id: str = field(repr=False)
    version: str
    name: str = field(repr=False)
    size: int | None
    created: datetime
    modified: datetime
    kind: str = ""

    @property
    def stem(self) -> str:
        """The name without the extension of a kind of sheet."""
        shown = PurePath(self.name)
        return self.name[: -len(shown.suffix)] if shown.suffix.lower() in {".xlsx", ".ods", ".csv"} else self.name


class Row(NamedTuple):
    """A row of a sheet.

    Attributes:
        number: as a spreadsheet counts it, from 1.
        cells: the text of each, without the empty ones at the end. A cell that was stored as a number is its exact
            decimal, a date ``YYYY-MM-DD``, a moment ``YYYY-MM-DD HH:MM:SS``; a native sheet's dates are as shown.
        numbers: the places of the cells that were stored as numbers. They have lost their leading zeros, if any.
    """

    number: int
    cells: tuple[str, ...]
    numbers: tuple[int, ...] = ()

    def __repr__(self) -> str:
        return f"Row(number={self.number}, {len(self.cells)} cells)"


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab of an outcome; ``rows`` is gone through once for each time that it is written."""

    title: str
    columns: Sequence[str]
    rows: Iterable[Sequence[str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A workbook in an outbound folder."""

    feed: str
    id: str = field(repr=False)
    name: str = field(repr=False)
    modified: datetime


@dataclass(frozen=True, slots=True)
class Folders:
    """The ids of a feed's two folders, where a drive knows folders by id."""

    inbound: str
    outbound: str


FeedFolders = Mapping[str, Folders]


class Drive(Protocol):
    """A drive. All of it may raise ``DriveUnavailable``, ``DriveBusy`` among them, and ``DriveDenied``."""

    url: str
    keeps_ids: bool
    """Whether a sheet that is renamed or moved keeps its id; if not, it is known again by its ``sha256``."""

    def sheets(self, feeds: Collection[str], now: datetime) -> Sequence[Sheet]:
        """All that is in the inbound folders of these feeds, the whole of it or an error, the oldest first.

        What is still changing is left out, for a later look, and so are names of what is not finished; what can't be
        a sheet is in it, for ``read`` to refuse.

        Args:
            feeds: whose folders; a folder that is not there is no empty one: ``DriveDenied``.
            now: the time, in UTC.
        """

    def sha256(self, sheet: Sheet) -> str | None:
        """The checksum of its bytes, in hexadecimal; a native sheet has none.

        Raises:
            SheetGone, SheetChanged: as when it is read.
        """

    def read(self, sheet: Sheet) -> AbstractContextManager[Iterator[Row]]:
        """The rows of its first tab, the blank ones between others included, in memory that rows don't add much to.

        Raises:
            SheetGone, SheetChanged, SheetUnreadable: before the first row, or at the latest after the last: until the
                end, trust nothing.
        """

    def write(self, feed: str, name: str, tabs: Sequence[Tab]) -> Outcome:
        """Writes an outcome, whole or not at all, in the place of the one of that name, if there is one.

        Every cell is the very text that it is given, a formula's too. A text that is longer than a cell can be is cut,
        and says so at its end.

        Raises:
            ValueError: it is none, or larger than a workbook can be.
        """

    def outcomes(self, feed: str, names: Collection[str]) -> Mapping[str, Outcome]:
        """Those outcomes of these names that are there, by name, in one look however many they are."""
