"""The files of a stand-in Google Drive, and the cells of its spreadsheets.

Here: what is kept, and how it changes. Not here: requests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import RLock
from typing import Any, TypeAlias
from uuid import uuid4

NATIVE = "application/vnd.google-apps.spreadsheet"
FOLDER = "application/vnd.google-apps.folder"


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell that is shown in its own way, as a date is."""

    text: str


Cell: TypeAlias = str | int | float | bool | Shown


@dataclass(slots=True)
class Grid:
    """A tab: the cells that are not empty, by row and column, from 0."""

    id: int
    title: str
    rows: int = 1000
    columns: int = 26
    kind: str = "GRID"
    cells: dict[tuple[int, int], Cell] = field(default_factory=dict)

    def put(self, rows: Sequence[Sequence[Cell]], top: int = 0, left: int = 0) -> None:
        for row, cells in enumerate(rows, top):
            for column, cell in enumerate(cells, left):
                if cell == "":
                    self.cells.pop((row, column), None)
                else:
                    self.cells[row, column] = cell

    def values(self, start: int, end: int) -> list[list[Any]]:
        """Rows without what is empty at the end of each, and without those that are empty at the end."""
        found: list[list[Any]] = [[] for _ in range(start, end)]
        for (row, column), cell in sorted(self.cells.items()):
            if start <= row < end:
                cells = found[row - start]
                cells += [""] * (column - len(cells))
                cells.append(cell.text if isinstance(cell, Shown) else cell)
        while found and not found[-1]:
            found.pop()
        return found

    def texts(self) -> list[list[Any]]:
        return self.values(0, self.rows)


@dataclass(slots=True)
class File:
    """A file or a folder."""

    id: str
    name: str
    kind: str
    parents: list[str]
    created: datetime
    modified: datetime
    trashed: bool = False
    content: bytes | None = None
    revision: int = 1
    locale: str = "en_GB"
    grids: list[Grid] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """As Drive tells of it."""
        told: dict[str, Any] = {
            "kind": "drive#file",
            "id": self.id,
            "name": self.name,
            "mimeType": self.kind,
            "parents": self.parents,
            "trashed": self.trashed,
            "createdTime": _told(self.created),
            "modifiedTime": _told(self.modified),
        }
        if self.content is not None:
            told["size"] = str(len(self.content))
            told["sha256Checksum"] = hashlib.sha256(self.content).hexdigest()
            told["headRevisionId"] = f"revision-{self.revision}"
        return told


class Files:
    """All files of a drive. May be used by any thread; its clock goes on by a second for each change."""

    def __init__(self) -> None:
        self.lock = RLock()
        self._files: dict[str, File] = {}
        self._now = datetime(2025, 3, 1, 9, tzinfo=UTC)

    def add(
        self,
        name: str,
        kind: str,
        parents: Sequence[str],
        content: bytes | None = None,
        rows: Sequence[Sequence[Cell]] = (),
    ) -> File:
        with self.lock:
            now = self.tick()
            file = File(f"id-{uuid4().hex}", name, kind, list(parents), now, now, content=content)
            if kind == NATIVE:
                grid = Grid(0, "Sheet1", rows=max(1000, len(rows)), columns=max([26, *map(len, rows)]))
                grid.put(rows)
                file.grids.append(grid)
            self._files[file.id] = file
            return file

    def folder(self, name: str) -> str:
        return self.add(name, FOLDER, ["root"]).id

    def get(self, file: str) -> File:
        return self._files[file]

    def changed(self, file: File, *, content: bytes | None = None) -> None:
        """Its content is another one, if it is given, or a cell of it."""
        with self.lock:
            file.modified = self.tick()
            if content is not None:
                file.content = content
                file.revision += 1

    def remove(self, file: str) -> None:
        with self.lock:
            del self._files[file]

    def named(self, folder: str, name: str) -> list[File]:
        return [file for file in self.inside(folder) if file.name == name]

    def inside(self, folder: str) -> list[File]:
        with self.lock:
            return [file for file in self._files.values() if folder in file.parents and not file.trashed]

    def found(self, query: str) -> list[File]:
        """Those that a query finds; ``LookupError`` if it asks for a folder that is not there."""
        asked = _Query(query)
        with self.lock:
            for folder in asked.folders:
                if folder not in self._files:
                    raise LookupError(folder)
            return [file for file in self._files.values() if asked.holds(file)]

    def tick(self) -> datetime:
        with self.lock:
            self._now += timedelta(seconds=1)
            return self._now


class _Query:
    """A search of Drive's, with the few words that are asked here; ``ValueError`` for every other."""

    def __init__(self, query: str) -> None:
        self.folders: list[str] = []
        self._tokens = re.findall(r"'(?:[^'\\]|\\.)*'|[()]|!=|=|\w+|\S", query)
        self.holds = self._any()
        if self._tokens:
            raise ValueError(query)

    def _any(self) -> Callable[[File], bool]:
        terms = [self._all()]
        while self._tokens[:1] == ["or"]:
            self._tokens.pop(0)
            terms.append(self._all())
        return lambda file: any(term(file) for term in terms)

    def _all(self) -> Callable[[File], bool]:
        terms = [self._term()]
        while self._tokens[:1] == ["and"]:
            self._tokens.pop(0)
            terms.append(self._term())
        return lambda file: all(term(file) for term in terms)

    def _term(self) -> Callable[[File], bool]:
        if self._tokens[:1] == ["("]:
            self._tokens.pop(0)
            inner = self._any()
            if self._tokens[:1] != [")"]:
                raise ValueError("a parenthesis is not closed")
            self._tokens.pop(0)
            return inner
        first, operator, last = (self._tokens.pop(0) for _ in range(3))
        match first, operator, last:
            case folder, "in", "parents":
                wanted = _unquoted(folder)
                self.folders.append(wanted)
                return lambda file: wanted in file.parents
            case "trashed", "=", "true" | "false":
                return lambda file: file.trashed == (last == "true")
            case "mimeType", "=" | "!=", kind:
                return lambda file: (file.kind == _unquoted(kind)) == (operator == "=")
        raise ValueError(f"{first} {operator} {last}")


def _unquoted(text: str) -> str:
    if not (len(text) > 1 and text[0] == text[-1] == "'"):
        raise ValueError(text)
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _told(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
