"""What staff do to a council's drive, in each form that it can have: sheets dropped, edited, renamed and taken away.

A sheet is called as in a folder, ``a.csv``; where it is of another kind, only its name is as that says.
"""

from __future__ import annotations

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from python_calamine import CalamineWorkbook

from pipelines.adapters.drive import Drive, Folders, open_drive
from pipelines.domains.residents.feeds import FEEDS

if TYPE_CHECKING:  # a process that only sends starts faster without a stand-in of Google
    from pipelines_tests.servers.google import Google
    from pipelines_tests.servers.google_files import File

Rows = Sequence[Sequence[str]]


class Staff(ABC):
    """The drive, and the hands of those who use it."""

    drive: Drive
    tells_versions_by_content: bool
    """If not, a sheet that is renamed is another version, and a copy is another sheet."""

    @abstractmethod
    def drop(self, feed: str, name: str, rows: Rows) -> None:
        """Puts a sheet in, in the place of the one of that name."""

    @abstractmethod
    def put(self, feed: str, name: str, content: bytes) -> None:
        """Puts any file in, in the place of the one of that name."""

    @abstractmethod
    def rename(self, feed: str, name: str, new: str) -> None: ...

    @abstractmethod
    def take_away(self, feed: str, name: str) -> Callable[[], object]:
        """Moves a sheet out of its folder; what this returns brings it back."""

    @abstractmethod
    def outcomes(self, feed: str) -> list[str]:
        """What is in the outbound folder, without extensions."""

    @abstractmethod
    def tab(self, feed: str, outcome: str, title: str) -> list[list[str]]:
        """The cells of an outcome's tab, each a text."""

    @abstractmethod
    def lose(self, feed: str, outcome: str) -> None:
        """Deletes an outcome."""


class InFolders(Staff):
    """Folders below one, with sheets as csv."""

    tells_versions_by_content = True

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stamp = 1_600_000_000 * 10**9
        for feed in FEEDS:
            (root / feed / "inbound").mkdir(parents=True, exist_ok=True)
        self.drive = open_drive(root.as_uri(), quiet=timedelta(0))

    def drop(self, feed: str, name: str, rows: Rows) -> None:
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        self.put(feed, name, text.getvalue().encode())

    def put(self, feed: str, name: str, content: bytes) -> None:
        """Whole at once, and no two written at one time."""
        self._stamp += 1_000_000
        fresh = self._root / "fresh"
        fresh.write_bytes(content)
        os.utime(fresh, ns=(self._stamp, self._stamp))
        fresh.rename(self._path(feed, name))

    def rename(self, feed: str, name: str, new: str) -> None:
        self._path(feed, name).rename(self._path(feed, new))

    def take_away(self, feed: str, name: str) -> Callable[[], object]:
        away = self._path(feed, name).rename(self._root / "away")
        return lambda: away.rename(self._path(feed, name))

    def outcomes(self, feed: str) -> list[str]:
        return sorted(path.stem for path in (self._root / feed / "outbound").glob("*"))

    def tab(self, feed: str, outcome: str, title: str) -> list[list[str]]:
        workbook = CalamineWorkbook.from_path(self._root / feed / "outbound" / f"{outcome}.xlsx")
        rows = workbook.get_sheet_by_name(title).to_python(skip_empty_area=False)
        return [[_text(cell) for cell in row] for row in rows]

    def lose(self, feed: str, outcome: str) -> None:
        (self._root / feed / "outbound" / f"{outcome}.xlsx").unlink()

    def _path(self, feed: str, name: str) -> Path:
        return self._root / feed / "inbound" / name


class AtGoogle(Staff):
    """Google's folders, with native sheets or uploaded workbooks, in which a number is stored as one."""

    def __init__(self, google: Google, *, native: bool) -> None:
        self.google = google
        self.tells_versions_by_content = not native
        self.files = google.files
        self.folders = {feed: Folders(self.files.folder(feed), self.files.folder(f"{feed} out")) for feed in FEEDS}
        self.drive = open_drive(f"gdrive://{google.host}", self.folders, quiet=timedelta(0))

    def drop(self, feed: str, name: str, rows: Rows) -> None:
        from pipelines_tests.adapters.drives import xlsx  # noqa: PLC0415 (as above)
        from pipelines_tests.servers.google_files import NATIVE  # noqa: PLC0415

        cells = [[_stored(cell) for cell in row] for row in rows]
        if self.tells_versions_by_content:
            self.put(feed, self._name(name), xlsx(cells))
        elif there := self.files.named(self.folders[feed].inbound, self._name(name)):
            there[0].grids[0].cells.clear()
            there[0].grids[0].put(cells)
            self.files.changed(there[0])
        else:
            self.files.add(self._name(name), NATIVE, [self.folders[feed].inbound], rows=cells)

    def put(self, feed: str, name: str, content: bytes) -> None:
        folder = self.folders[feed].inbound
        if there := self.files.named(folder, name):
            self.files.changed(there[0], content=content)
        else:
            self.files.add(name, "application/octet-stream", [folder], content)

    def rename(self, feed: str, name: str, new: str) -> None:
        file = self._inbound(feed, name)
        file.name = self._name(new)
        self.files.changed(file)

    def take_away(self, feed: str, name: str) -> Callable[[], object]:
        file = self._inbound(feed, name)
        file.parents[0] = "elsewhere"
        return lambda: file.parents.__setitem__(0, self.folders[feed].inbound)

    def outcomes(self, feed: str) -> list[str]:
        return sorted(file.name for file in self.files.inside(self.folders[feed].outbound))

    def tab(self, feed: str, outcome: str, title: str) -> list[list[str]]:
        (grid,) = [grid for grid in self._outcome(feed, outcome).grids if grid.title == title]
        header, *rows = grid.texts()
        return [header, *([*map(_text, row)] + [""] * (len(header) - len(row)) for row in rows)]

    def lose(self, feed: str, outcome: str) -> None:
        self._outcome(feed, outcome).trashed = True

    def _inbound(self, feed: str, name: str) -> File:
        (file,) = self.files.named(self.folders[feed].inbound, self._name(name))
        return file

    def _outcome(self, feed: str, outcome: str) -> File:
        (file,) = self.files.named(self.folders[feed].outbound, outcome)
        return file

    def _name(self, name: str) -> str:
        return f"{PurePath(name).stem}{'.xlsx' if self.tells_versions_by_content else ''}"


def _stored(cell: str) -> str | int:
    return int(cell) if cell.isdigit() and not cell.startswith("0") else cell


def _text(cell: object) -> str:
    assert isinstance(cell, str)
    return cell
