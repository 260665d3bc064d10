"""Outcomes as xlsx.

Here: cells as the texts that they are. Not here: where a workbook goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxWriterException

from pipelines.adapters.drive.cells import fitting
from pipelines.adapters.drive.contract import Tab

_ROWS = 1 << 20
_COLUMNS = 1 << 14
_CELL = 32_767


def check_tabs(tabs: Sequence[Tab]) -> None:
    """Refuses with ``ValueError`` what is no workbook anywhere."""
    titles = [tab.title.lower() for tab in tabs]
    if not tabs or len(set(titles)) < len(titles):
        raise ValueError("a workbook needs tabs of different titles")
    if any(not title or len(title) > 31 or set(title) & set("[]:*?/\\'") for title in titles):
        raise ValueError("the title of a tab is empty, too long, or has a character that it can't")


def write_xlsx(path: Path, tabs: Sequence[Tab]) -> None:
    """Writes a workbook, a row at a time; the file is not whole before this returns.

    Raises:
        ValueError: a tab has more rows or columns than there can be.
        OSError: as of any file.
    """
    with path.open("wb") as file:  # by xlsxwriter itself, failures would come in a form of its own
        workbook = Workbook(file, {"constant_memory": True, "in_memory": False, "tmpdir": str(path.parent)})
        try:
            for tab in tabs:
                _write_tab(workbook, tab)
        finally:
            try:
                workbook.close()
            except XlsxWriterException as error:
                raise OSError(type(error).__name__) from None


def tab_rows(tab: Tab) -> Iterator[Sequence[str]]:
    """The columns of a tab and then its rows; ``ValueError`` for a row that has more cells than there are columns."""
    yield tab.columns
    for number, cells in enumerate(tab.rows, 2):
        if len(cells) > len(tab.columns):
            raise ValueError(f"row {number} of a tab has more cells than there are columns")
        yield cells


def _write_tab(workbook: Workbook, tab: Tab) -> None:
    sheet = workbook.add_worksheet(tab.title)
    if len(tab.columns) > _COLUMNS:
        raise ValueError(f"a tab has at most {_COLUMNS} columns")
    for number, cells in enumerate(tab_rows(tab)):
        if number == _ROWS:
            raise ValueError(f"a tab has at most {_ROWS} rows")
        for place, cell in enumerate(cells):
            if cell:
                sheet.write_string(number, place, fitting(cell, _CELL))
