"""The parts of an xlsx cut into blocks, each a tab that calamine can read by itself.

Here: XML as bytes, cut at ends of rows and of shared texts; neither can be inside a text, where ``<`` is escaped. Not
here: what is in a cell.
"""

from __future__ import annotations

import re
import secrets
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import IO

from pipelines.adapters.drive.cells import Stored
from pipelines.adapters.drive.contract import SheetUnreadable

_BLOCK = 1 << 18  # bytes of XML
_ROWS = 4096  # of a block, the missing ones between others counted
_LAST_ROW = 1 << 20

_ROW = re.compile(rb'<row\b(?:[^>]*?\br="(\d+)"|[^>]*>\s*<c\b[^>]*?\br="[A-Z]+(\d+)")?')
_BEYOND = re.compile(rb'<c r="[A-Z]{3}')  # no feed has half as many columns as there are before AAA
_BEYOND_ANYWHERE = re.compile(rb'<c\b[^>]*?\br="[A-Z]{3}')
_REFERENCE = re.compile(rb'(<c\b[^>]*?)\bt="s"([^>]*>\s*<v>)')

_TEXT = re.compile(r'<si><t(?: xml:space="preserve")?>([^<]*)</t></si>')
_WRITTEN = ("&", "\r", "_x", "<!")  # other than it reads

_TAB = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
_TAB_END = b"</sheetData></worksheet>"
_CELL, _CELL_END = b'<c t="inlineStr"><is>', b"</is></c>"


class Texts:
    """Shared texts by their number, packed: their characters, and eight bytes for each text."""

    def __init__(self, blocks: Iterable[Sequence[str]]) -> None:
        ends, packed = array("Q", [0]), []
        for block in blocks:
            ends.extend(accumulate(map(len, block), initial=ends.pop()))
            packed.append("".join(block))
        self._ends = ends
        self._packed = "".join(packed)
        # What stands before a number in place of a text: nothing that a cell could say by chance, or on purpose.
        self._mark = f"{secrets.token_hex(4)}:"
        self.reference = self._mark.encode()

    def __len__(self) -> int:
        return len(self._ends) - 1

    def resolved(self, stored: list[Stored]) -> list[Stored]:
        """The cells of a row, the texts in place of what stands for them."""
        mark, size, ends, packed = self._mark, len(self._mark), self._ends, self._packed
        for place, value in enumerate(stored):
            if isinstance(value, str) and value.startswith(mark):
                number = int(value[size:])
                stored[place] = packed[ends[number] : ends[number + 1]]
        return stored


def row_blocks(xml: IO[bytes], texts: Texts | None) -> Iterator[tuple[bytes, int]]:
    """A tab as smaller ones, and how many rows there are above that those don't know of."""
    pieces = _pieces(xml, b"</row>")
    first = next(pieces)
    head, row, rest = first.partition(b"<row")
    if not row:  # none, or a prefix stands before the name of each element: then the tab is taken as it is
        yield first, 0
        return
    number = 0
    for piece in chain([row + rest], pieces):
        starts, number = _starts(piece, number)
        for (start, above), (end, _) in pairwise([*starts, (len(piece), 0)]):
            rows = piece[start:end] if texts is None else _marked(piece[start:end], texts)
            yield b"".join((head, rows, _TAB_END)), above


def text_blocks(xml: IO[bytes]) -> Iterator[bytes]:
    """The shared texts, as many at a time as there are in a block."""
    for piece in _pieces(xml, b"</si>"):
        start, end = piece.find(b"<si"), max(piece.rfind(b"</si>"), piece.rfind(b"<si/>"))
        if 0 <= start <= end:
            yield piece[start : end + 5]


def plain_texts(block: bytes) -> list[str] | None:
    """The texts of a block, if each is of one piece, and none is written in another way than it reads."""
    shown = block.decode()
    if any(mark in shown for mark in _WRITTEN):
        return None
    texts: list[str] = _TEXT.findall(shown)
    return texts if len(texts) == shown.count("<si") else None


def texts_tab(block: bytes) -> tuple[bytes, int]:
    """The texts of a block as a tab of one row, and how many cells that has, the empty ones at its end too."""
    cells = block.replace(b"<si/>", _CELL + _CELL_END).replace(b"<si>", _CELL).replace(b"</si>", _CELL_END)
    return b"".join((_TAB, b"<row>", cells, b"</row>", _TAB_END)), block.count(b"<si>") + block.count(b"<si/>")


def _pieces(xml: IO[bytes], end: bytes) -> Iterator[bytes]:
    """The text of a part, cut where elements end, and what is left after the last."""
    rest = b""
    while more := xml.read(_BLOCK):
        rest += more
        if (found := rest.rfind(end)) >= 0:
            yield rest[: found + len(end)]
            rest = rest[found + len(end) :]
    yield rest


def _starts(piece: bytes, number: int) -> tuple[list[tuple[int, int]], int]:
    """Where blocks of rows start, with how many rows there are above if they don't say so; the last row's number."""
    if (_BEYOND if b'<c r="' in piece else _BEYOND_ANYWHERE).search(piece):
        raise SheetUnreadable("there are cells beyond column ZZ")
    starts, first = [], -_ROWS
    for row in _ROW.finditer(piece):
        stated = row[1] or row[2]
        following = int(stated) if stated else number + 1
        if not number < following <= _LAST_ROW:
            raise SheetUnreadable("an xlsx whose rows are out of order")
        if following - first >= _ROWS:
            first = following
            starts.append((row.start(), 0 if stated else number))
        number = following
    return starts, number


def _marked(rows: bytes, texts: Texts) -> bytes:
    """The rows with the number of each shared text as a text of its own, marked."""
    marked = rows.replace(b't="s"><v>', b't="str"><v>' + texts.reference)
    return _REFERENCE.sub(rb'\1t="str"\2' + texts.reference, marked) if b't="s"' in marked else marked
