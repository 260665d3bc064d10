"""Kinds of filters: which rows are not to be sent."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.domains.residents.dates import BadDay, DayColumn, age_in_days
from pipelines.domains.residents.faults import Reject, Rejected, Skip, Skipped
from pipelines.domains.residents.feeds.contract import Cells, Context


@dataclass(frozen=True, slots=True)
class TestedWithin:
    """Passes rows whose test is less than so many days old; one to come passes too."""

    tested: DayColumn
    days: int

    __test__ = False  # the name is no test's

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads."""
        return (self.tested.name,)

    def judge(self, cells: Cells, context: Context) -> Skipped | Rejected | None:
        """Why the row is left out; a bad date can't be judged, so it rejects."""
        day = self.tested.read(cells)
        if day is None:
            return Skipped(Skip.NOT_TESTED)
        if isinstance(day, BadDay):
            return Rejected(day, self.tested.name, filtered=True)
        return None if age_in_days(day, context.today) < self.days else Skipped(Skip.TESTED_EARLIER)


@dataclass(frozen=True, slots=True)
class NotExcluded:
    """Passes rows whose id is not on the list of excluded ones."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads."""
        return (self.column,)

    def judge(self, cells: Cells, context: Context) -> Skipped | None:
        """Why the row is left out."""
        return Skipped(Skip.EXCLUDED) if cells[self.column] in context.excluded else None


def read_excluded(setting: str) -> frozenset[str]:
    """The ids of a setting, between commas and trimmed; a blank one is none, or it would exclude all without an id."""
    return frozenset(one for one in map(str.strip, setting.split(",")) if one)


@dataclass(frozen=True, slots=True)
class AnyIs:
    """Passes rows in which one of some columns holds one of some texts."""

    columns: tuple[str, ...]
    texts: frozenset[str]
    otherwise: Skip
    any_case: bool = False

    def judge(self, cells: Cells, context: Context) -> Skipped | None:
        """Why the row is left out."""
        del context
        found = [cells[column] for column in self.columns]
        if self.any_case:
            found = [text.lower() for text in found]
        return Skipped(self.otherwise) if self.texts.isdisjoint(found) else None


@dataclass(frozen=True, slots=True)
class Known:
    """Passes rows whose cell is one of the known texts, in any case; others have to be put right, so they reject."""

    column: str
    texts: frozenset[str]
    otherwise: Reject

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads."""
        return (self.column,)

    def judge(self, cells: Cells, context: Context) -> Rejected | None:
        """Why the row is left out."""
        del context
        known = cells[self.column].upper() in self.texts
        return None if known else Rejected(self.otherwise, self.column, filtered=True)
