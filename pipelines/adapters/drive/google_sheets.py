"""The cells of native sheets, block by block.

Here: reading a first tab, filling an empty sheet. Not here: where the sheet is, and whether it stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from gspread import HTTPClient
from gspread.urls import SPREADSHEET_URL
from gspread.utils import rowcol_to_a1

from pipelines.adapters.drive.cells import fitting, read_row, with_blanks
from pipelines.adapters.drive.contract import Row, SheetUnreadable, Tab
from pipelines.adapters.drive.google_client import GoogleClient
from pipelines.adapters.drive.writing import tab_rows

_READ = 250_000  # cells of a request; a minute has sixty of them
_WRITTEN = 50_000
_WRITTEN_TEXT = 2_000_000  # Google advises against more than two megabytes
_CELL = 50_000
_CELLS = 10_000_000
_MONTH_FIRST = frozenset({"en_US", "en_PH", "es_US", "fil_PH"})
"""Locales that show a date as mm/dd/yyyy."""


class _Grid(msgspec.Struct, rename="camel", frozen=True):
    row_count: int = 0
    column_count: int = 0


class _Properties(msgspec.Struct, rename="camel", frozen=True):
    sheet_id: int = 0
    sheet_type: str = "GRID"
    grid_properties: _Grid = _Grid()


class _Tab(msgspec.Struct, frozen=True):
    properties: _Properties


class _Book(msgspec.Struct, frozen=True):
    locale: str = ""


class _Spreadsheet(msgspec.Struct, frozen=True):
    sheets: tuple[_Tab, ...]
    properties: _Book = _Book()


class _Values(msgspec.Struct, frozen=True):
    values: tuple[list[Any], ...] = ()


class _Matched(msgspec.Struct, rename="camel", frozen=True):
    value_range: _Values


class _Found(msgspec.Struct, rename="camel", frozen=True):
    value_ranges: tuple[_Matched, ...] = ()


def native_rows(client: GoogleClient, spreadsheet: str) -> Iterator[Row]:
    """The rows of the first tab, each request in the time of who reads them."""
    return with_blanks(_rows(client, spreadsheet))


def fill_sheet(client: GoogleClient, spreadsheet: str, tabs: Sequence[Tab]) -> None:
    """Puts tabs into a spreadsheet, in the place of those that it has. ``ValueError`` if it can't hold them."""
    before = [each.properties for each in _ask(client, spreadsheet).sheets]
    titles = [{"addSheet": {"properties": _named(number, tab)}} for number, tab in enumerate(tabs, 1)]
    gone = [{"deleteSheet": {"sheetId": each.sheet_id}} for each in before]
    client.batch_update(spreadsheet, {"requests": [*titles, *gone]})
    cells = 0
    for number, tab in enumerate(tabs, 1):
        first = 1
        for block in _blocks(tab):
            cells += len(block) * len(tab.columns)
            if cells > _CELLS:
                raise ValueError(f"a spreadsheet has at most {_CELLS} cells")
            if first > 1:
                longer = {"sheetId": number, "dimension": "ROWS", "length": len(block)}
                client.batch_update(spreadsheet, {"requests": [{"appendDimension": longer}]})
            else:
                _resize(client, spreadsheet, number, len(block))
            _write(client, spreadsheet, tab, first, block)
            first += len(block)


def _rows(client: GoogleClient, spreadsheet: str) -> Iterator[Row]:
    found = _ask(client, spreadsheet)
    tab, locale = found.sheets[0].properties, found.properties.locale
    if (
        locale in _MONTH_FIRST
    ):  # what was typed as 1/2/1990 is the 2nd of January to it, and nobody sees which was meant
        raise SheetUnreadable(
            f"its locale {locale} takes 1/2 for January 2nd: set the United Kingdom's, mend the dates"
        )
    if tab.sheet_type != "GRID":
        raise SheetUnreadable("its first tab is no table")
    rows = tab.grid_properties.row_count
    step = max(1, _READ // max(1, tab.grid_properties.column_count))
    for start in range(0, rows, step):
        grid = {"sheetId": tab.sheet_id, "startRowIndex": start, "endRowIndex": min(start + step, rows)}
        for number, stored in enumerate(_read(client, spreadsheet, grid), start + 1):
            yield read_row(number, stored)


def _ask(client: GoogleClient, spreadsheet: str) -> _Spreadsheet:
    tabs = "sheets(properties(sheetId,sheetType,gridProperties(rowCount,columnCount)))"
    return client.ask(_Spreadsheet, "get", SPREADSHEET_URL % spreadsheet, {"fields": f"properties(locale),{tabs}"})


def _read(client: GoogleClient, spreadsheet: str, grid: dict[str, int]) -> Iterator[list[Any]]:
    """Numbers as they are stored, and not as they are shown: a format shows 1.00083E+10 for 10008345678."""
    body = {
        "dataFilters": [{"gridRange": grid}],
        "majorDimension": "ROWS",
        "valueRenderOption": "UNFORMATTED_VALUE",
        "dateTimeRenderOption": "FORMATTED_STRING",
    }
    url = f"{SPREADSHEET_URL % spreadsheet}/values:batchGetByDataFilter"
    for matched in client.ask(_Found, "post", url, json=body).value_ranges:
        yield from matched.value_range.values


def _named(number: int, tab: Tab) -> dict[str, Any]:
    grid = {"rowCount": 1, "columnCount": max(1, len(tab.columns))}
    return {"sheetId": number, "title": tab.title, "index": number - 1, "gridProperties": grid}


def _resize(client: HTTPClient, spreadsheet: str, number: int, rows: int) -> None:
    properties = {"sheetId": number, "gridProperties": {"rowCount": rows}}
    change = {"properties": properties, "fields": "gridProperties.rowCount"}
    client.batch_update(spreadsheet, {"requests": [{"updateSheetProperties": change}]})


def _write(client: HTTPClient, spreadsheet: str, tab: Tab, first: int, block: Sequence[Sequence[str]]) -> None:
    last = rowcol_to_a1(first + len(block) - 1, max(1, len(tab.columns)))
    data = {"range": f"'{tab.title}'!A{first}:{last}", "majorDimension": "ROWS", "values": block}
    client.values_batch_update(spreadsheet, {"valueInputOption": "RAW", "data": [data]})


def _blocks(tab: Tab) -> Iterator[list[list[str]]]:
    """The rows of a tab, its columns first, as many at a time as one request takes."""
    block: list[list[str]] = []
    text = 0
    for row in tab_rows(tab):
        cells = [fitting(cell, _CELL) for cell in row]
        size = sum(map(len, cells))
        if block and (text + size > _WRITTEN_TEXT or (len(block) + 1) * len(tab.columns) > _WRITTEN):
            yield block
            block, text = [], 0
        block.append(cells)
        text += size
    yield block
