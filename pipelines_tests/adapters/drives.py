"""Drives of each form, with what staff do to them."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias
from xml.sax.saxutils import escape

from python_calamine import CalamineWorkbook
from xlsxwriter import Workbook

from pipelines.adapters.drive import Drive, Folders, Sheet, open_drive
from pipelines_tests.servers.google import Google
from pipelines_tests.servers.google_files import NATIVE, File

FEEDS = ("nsss", "spl")
QUIET = timedelta(seconds=30)

Value: TypeAlias = str | float
Values: TypeAlias = Sequence[Sequence[Value]]


def xlsx(rows: Values, *, shared: bool = True) -> bytes:
    """A workbook as Excel would write it, or with each text in its cell."""
    content = io.BytesIO()
    workbook = Workbook(content, {"constant_memory": not shared, "strings_to_formulas": False})
    workbook.set_properties({"created": datetime(2021, 11, 20, tzinfo=UTC)})  # the same cells are the same bytes
    sheet = workbook.add_worksheet()
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            if isinstance(cell, str):
                sheet.write_string(row, column, cell)
            else:
                sheet.write_number(row, column, cell)
    workbook.close()
    return content.getvalue()


def ods(rows: Values) -> bytes:
    """A workbook as LibreOffice would write it, as far as its cells go."""

    def cell(value: Value) -> str:
        if not isinstance(value, str):
            return f'<table:table-cell office:value-type="float" office:value="{value!r}"/>'
        if not value:
            return "<table:table-cell/>"
        lines = "".join(f"<text:p>{escape(line)}</text:p>" for line in value.split("\n"))
        return f'<table:table-cell office:value-type="string">{lines}</table:table-cell>'

    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    spaces = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in ("office", "table", "text")
    )
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content{spaces}><office:body><office:spreadsheet>'
        f'<table:table table:name="Sheet1">{body}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", document)
        archive.writestr("META-INF/manifest.xml", "<manifest/>")
    return content.getvalue()


def delimited(rows: Values, delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode(encoding)


MAKE = {"xlsx": xlsx, "ods": ods, "csv": delimited}


class Place(ABC):
    """A drive, and the hands of staff on it."""

    drive: Drive
    now: datetime
    """Late enough for what was last changed to be still."""

    @abstractmethod
    def drop(self, feed: str, name: str, rows: Values) -> None:
        """Puts a new sheet in."""

    @abstractmethod
    def edit(self, sheet: Sheet, rows: Values) -> None:
        """Changes all of its cells."""

    @abstractmethod
    def remove(self, sheet: Sheet) -> None: ...

    @abstractmethod
    def rename(self, sheet: Sheet, name: str) -> None: ...

    @abstractmethod
    def outcomes(self, feed: str) -> list[str]:
        """The names of what staff see in the outbound folder."""

    @abstractmethod
    def tabs(self, feed: str, name: str) -> dict[str, list[list[str]]]:
        """An outcome, as staff see it."""

    @abstractmethod
    def remove_outcome(self, feed: str, name: str) -> None: ...

    def sheets(self, *feeds: str) -> list[Sheet]:
        return list(self.drive.sheets(feeds or FEEDS, self.now))


class Local(Place):
    """Folders, and sheets of one kind in them."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind
        for feed in FEEDS:
            (root / feed / "inbound").mkdir(parents=True)
        self.drive = open_drive(root.as_uri(), quiet=QUIET)
        self.now = datetime.now(UTC) + timedelta(hours=1)

    def drop(self, feed: str, name: str, rows: Values) -> None:
        (self.root / feed / "inbound" / f"{name}.{self.kind}").write_bytes(MAKE[self.kind](rows))

    def edit(self, sheet: Sheet, rows: Values) -> None:
        path = self.root / sheet.id
        before = path.stat().st_mtime_ns
        path.write_bytes(MAKE[self.kind](rows))
        os.utime(path, ns=(before + 1_000_000, before + 1_000_000))

    def remove(self, sheet: Sheet) -> None:
        (self.root / sheet.id).unlink()

    def rename(self, sheet: Sheet, name: str) -> None:
        (self.root / sheet.id).rename((self.root / sheet.id).with_name(f"{name}.{self.kind}"))

    def outcomes(self, feed: str) -> list[str]:
        folder = self.root / feed / "outbound"
        return sorted(path.stem for path in folder.iterdir()) if folder.exists() else []

    def tabs(self, feed: str, name: str) -> dict[str, list[list[str]]]:
        workbook = CalamineWorkbook.from_path(self.root / feed / "outbound" / f"{name}.xlsx")
        return {
            title: [[str(cell) for cell in row] for row in workbook.get_sheet_by_name(title).to_python()]
            for title in workbook.sheet_names
        }

    def remove_outcome(self, feed: str, name: str) -> None:
        (self.root / feed / "outbound" / f"{name}.xlsx").unlink()


class OnGoogle(Place):
    """Google's folders, with native sheets or with uploads of one kind in them."""

    def __init__(self, google: Google, kind: str) -> None:
        self.google, self.kind = google, kind
        self.folders = {feed: Folders(google.files.folder(feed), google.files.folder(f"{feed} out")) for feed in FEEDS}
        self.drive = open_drive(f"gdrive://{google.host}", self.folders, quiet=QUIET)

    @property
    def now(self) -> datetime:  # type: ignore[override]  # read only, as it is used
        return self.google.files.tick() + timedelta(hours=1)

    def drop(self, feed: str, name: str, rows: Values) -> None:
        folder = self.folders[feed].inbound
        if self.kind == "native":
            self.google.files.add(name, NATIVE, [folder], rows=rows)
        else:
            self.google.files.add(f"{name}.{self.kind}", "application/x-sheet", [folder], MAKE[self.kind](rows))

    def edit(self, sheet: Sheet, rows: Values) -> None:
        file = self.file(sheet)
        if self.kind == "native":
            file.grids[0].cells.clear()
            file.grids[0].put(rows)
            self.google.files.changed(file)
        else:
            self.google.files.changed(file, content=MAKE[self.kind](rows))

    def remove(self, sheet: Sheet) -> None:
        self.file(sheet).trashed = True

    def rename(self, sheet: Sheet, name: str) -> None:
        self.file(sheet).name = name

    def outcomes(self, feed: str) -> list[str]:
        return sorted(file.name for file in self.google.files.inside(self.folders[feed].outbound))

    def tabs(self, feed: str, name: str) -> dict[str, list[list[str]]]:
        (file,) = self.google.files.named(self.folders[feed].outbound, name)
        return {grid.title: _even(grid.texts()) for grid in file.grids}

    def remove_outcome(self, feed: str, name: str) -> None:
        (file,) = self.google.files.named(self.folders[feed].outbound, name)
        file.trashed = True

    def file(self, sheet: Sheet) -> File:
        return self.google.files.get(sheet.id)


def _even(rows: list[list[str]]) -> list[list[str]]:
    width = max(map(len, rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows]


def older(sheet: Sheet) -> Sheet:
    """A version of it that there is not any more."""
    return replace(sheet, version=f"not {sheet.version}")
