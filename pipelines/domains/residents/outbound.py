"""The spreadsheets that are written back for a sheet, as names, tabs, columns and cells.

Every cell is text as it is: whoever writes it must write it as text, so that no formula in it comes alive.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from pipelines.domains.residents.feeds.contract import ROW, Id, Tab, Verdict
from pipelines.domains.residents.outcomes import Outcome
from pipelines.domains.residents.sheet import Row, Sheet


@dataclass(frozen=True, slots=True)
class Page:
    """One tab of a spreadsheet: its columns, and what it holds of a row."""

    sheet: Sheet
    tab: Tab

    @property
    def title(self) -> str:
        """Of the tab."""
        return self.tab.title

    @property
    def columns(self) -> tuple[str, ...]:
        """Its header."""
        header = self.sheet.header
        columns = (header[place] for place in self._places()) if self.tab.columns is None else self.tab.columns
        verdict = Verdict if self.tab.verdict else ()
        return (*([ROW] if self.tab.numbers else ()), *self.tab.ids, *columns, *verdict)

    def cells(self, row: Row, outcome: Outcome) -> tuple[str, ...] | None:
        """Texts for the row, as many as there are columns; None if it is not in this tab."""
        if not self.tab.holds(self.sheet.cells(row), outcome.passed):
            return None
        ids = {Id.CASE: outcome.case, Id.RESIDENT: outcome.resident, Id.REQUEST: outcome.request}
        told = [ids[name] for name in self.tab.ids]
        return (
            *([str(row.number)] if self.tab.numbers else ()),
            *("" if one is None else str(one) for one in told),
            *(row.texts[place] for place in self._places()),
            *(_tell(outcome) if self.tab.verdict else ()),
        )

    def _places(self) -> tuple[int, ...]:
        """Places of the sheet's cells; columns of ours that a sheet written back before has are not carried along."""
        if self.tab.columns is not None:
            return tuple(self.sheet.places[column] for column in self.tab.columns)
        ours = {*self.tab.ids, *(Verdict if self.tab.verdict else ())}
        return tuple(place for place, column in enumerate(self.sheet.header) if column not in ours)


@dataclass(frozen=True, slots=True)
class Workbook:
    """One spreadsheet: its name, without an ending, and its tabs in order."""

    name: str
    pages: tuple[Page, ...]


def make_workbooks(sheet: Sheet, name: str, day: date) -> tuple[Workbook, ...]:
    """The spreadsheets for a sheet.

    Args:
        sheet: whose header and columns are needed; its rows are not read.
        name: of the sheet, without an ending.
        day: in London when the sheet was first seen.
    """
    return tuple(
        Workbook(f"{book.prefix}_{name}_{day}", tuple(Page(sheet, tab) for tab in book.tabs))
        for book in sheet.feed.books
    )


def _tell(outcome: Outcome) -> tuple[str, ...]:
    told = {
        Verdict.OUTCOME: str(outcome.result),
        Verdict.REASON: outcome.reason,
        Verdict.WARNINGS: "; ".join(map(str, outcome.warnings)),
    }
    return tuple(told[column] for column in Verdict)
