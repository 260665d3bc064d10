"""The parts of an xlsx cut into pieces, at ends of rows and of shared texts.

Here: XML as bytes; neither end can be inside a text, where ``<`` is escaped. Not here: what is in a cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import IO

from pipelines.adapters.drive.asking import TAB_END
from pipelines.adapters.drive.contract import SheetUnreadable

_PIECE = 1 << 18  # bytes of XML
_ROWS = 4096  # of a tab of its own, the missing ones between others counted
_LAST_ROW = 1 << 20

_ROW = re.compile(rb'<row\b(?:[^>]*?\br="(\d+)"|[^>]*>\s*<c\b[^>]*?\br="[A-Z]+(\d+)")?')
_BEYOND = re.compile(rb'<c r="[A-Z]{3}')  # no feed has half as many columns as there are before AAA
_BEYOND_ANYWHERE = re.compile(rb'<c\b[^>]*?\br="[A-Z]{3}')
_REFERENCE = re.compile(rb'(<c\b[^>]*?)\bt="s"([^>]*>\s*<v>)')


def cut_rows(xml: IO[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """What stands above the first row of a tab; the rows in pieces, what is behind them as the last one.

    If no row is found, perhaps as a prefix stands before its name, nothing is above and the whole is one piece.
    """
    pieces = _pieces(xml, b"</row>")
    first = next(pieces)
    head, row, rest = first.partition(b"<row")
    return (head, chain([row + rest], pieces)) if row else (b"", iter([first]))


def cut_texts(xml: IO[bytes]) -> Iterator[bytes]:
    """The shared texts, as many at a time as there are in a piece."""
    for piece in _pieces(xml, b"</si>"):
        start, end = piece.find(b"<si"), max(piece.rfind(b"</si>"), piece.rfind(b"<si/>"))
        if 0 <= start <= end:
            yield piece[start : end + 5]


def tabs(head: bytes, piece: bytes, number: int, reference: bytes) -> tuple[list[tuple[bytes, int]], int]:
    """Rows as tabs of their own.

    Args:
        head: what stands above the first row; if nothing does, the piece is a tab already.
        piece: the rows.
        number: of the row before.
        reference: what is written in the place of a reference to a shared text, before its number; nothing, if such
            references are left as they are.

    Returns:
        Each tab with how many rows there are above that it doesn't know of; and the number of the last row.
    """
    if not head:
        return [(piece, 0)], number
    piece, _, _ = piece.partition(b"</sheetData>")
    starts, number = _starts(piece, number)
    cut = []
    for (start, above), (end, _) in pairwise([*starts, (len(piece), 0)]):
        rows = _marked(piece[start:end], reference) if reference else piece[start:end]
        cut.append((b"".join((head, rows, TAB_END)), above))
    return cut, number


def _pieces(xml: IO[bytes], end: bytes) -> Iterator[bytes]:
    """The text of a part, cut where elements end, and what is left after the last."""
    rest = b""
    while more := xml.read(_PIECE):
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


def _marked(rows: bytes, reference: bytes) -> bytes:
    """The rows with the number of each shared text as a text of its own."""
    marked = rows.replace(b't="s"><v>', b't="str"><v>' + reference)
    return _REFERENCE.sub(rb'\g<1>t="str"\g<2>' + reference, marked) if b't="s"' in marked else marked
