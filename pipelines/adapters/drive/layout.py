"""Where the rows and the cells of a tab stand, if they stand as nearly all programs write them.

Here: rows that say their number, cells that say their place, and nothing between them. Not here: what is in a cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.adapters.drive.markup import Markup, Places

_LAST_ROW = 1 << 20
_ROW, _ROW_END, _CELL = b'<row r="', b"</row>", b'<c r="'
_AFTER_A_NAME = np.frombuffer(b" \t\r\n/>", np.uint8)
_LETTERS = range(ord("A"), ord("Z") + 1)
_COLUMNS = np.full(1 << 16, -1, np.int16)
"""The columns of references by their first two bytes: a letter and a digit, or two letters, to ZZ."""
for _place, _letter in enumerate(_LETTERS):
    _COLUMNS[[_letter | digit << 8 for digit in b"0123456789"]] = _place
    _COLUMNS[[_letter | second << 8 for second in _LETTERS]] = [26 * (_place + 1) + each for each in range(26)]


class Unusual(Exception):  # noqa: N818  # nothing is wrong with it
    """It is written in another way."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows, each by its place in every array.

    Attributes:
        number: that it says.
        said: where it says so,
        digits: and in how many digits.
        tag: the number of the tag that opens it,
        last: and of the one that closes it; the same, if it is bare.
    """

    number: Places
    said: Places
    digits: Places
    tag: Places
    last: Places


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells in their order, each by its place in every array.

    Attributes:
        row: how many rows there are above its own.
        column: from 0.
        tag: the number of the tag that opens it.
        tags: how many there are from that one up to what follows the cell.
        said: where its reference ends, the quote too.
        end: where it ends itself.
    """

    row: Places
    column: Places
    tag: Places
    tags: Places
    said: Places
    end: Places


def find_rows(markup: Markup, above: int) -> Rows:
    """The rows of a piece that is made of rows.

    Args:
        markup: of the piece.
        above: the number of the row before.

    Raises:
        Unusual: it is not made like that, or the rows are out of order.
    """
    opens, data = markup.opens, markup.bytes
    tag = np.flatnonzero(markup.initials == ord("r"))
    tag = tag[markup.have(opens[tag], _ROW[:4])]  # others are runs of texts
    start, last = opens[tag], np.append(tag[1:], len(opens)) - 1
    need(markup.is_plain and len(tag) and start[0] == 0 and markup.have(start, _ROW).all())
    end, closing = np.append(start[1:], markup.size), opens[last]
    is_bare = last == tag
    need((markup.have(end - 2, b"/>") | ~is_bare).all())
    need(((markup.have(closing, _ROW_END) & (closing + len(_ROW_END) == end)) | is_bare).all())
    said = start + len(_ROW)
    digits = np.argmax(data[said[:, np.newaxis] + np.arange(8)] == ord('"'), axis=1)
    number, is_number = markup.numbers(said, said + digits)
    need(is_number.all() and (np.diff(number, prepend=above) > 0).all() and number[-1] <= _LAST_ROW)
    return Rows(number, said, digits, tag, last)


def find_cells(markup: Markup, rows: Rows) -> Cells:
    """The cells of these rows.

    Raises:
        Unusual: one doesn't say where it is, or stands elsewhere, or there is something between them.
    """
    opens, data = markup.opens, markup.bytes
    tag = np.flatnonzero(markup.initials == ord("c"))
    is_cell = markup.have(opens[tag], _CELL)
    if not is_cell.all():
        need(not np.isin(data[opens[tag[~is_cell]] + 2], _AFTER_A_NAME).any())
        tag = tag[is_cell]
    bounds = np.searchsorted(tag, np.append(rows.tag, len(opens)))
    counts = np.diff(bounds)
    row = np.repeat(np.arange(len(counts)), counts)
    following = np.append(tag[1:], 0)
    filled = counts > 0
    following[bounds[1:][filled] - 1] = rows.last[filled]
    first = np.where(filled, tag[np.minimum(bounds[:-1], len(tag) - 1)] if len(tag) else 0, rows.last)
    need((first <= rows.tag + 1).all() and (data[opens[first[first > rows.tag]] - 1] == ord(">")).all())
    start, end = opens[tag], opens[following]
    column = _COLUMNS[markup.words(start + len(_CELL), 2)].astype(np.int64)
    need((column >= 0).all() and (np.diff(row * len(_COLUMNS) + column) > 0).all())
    said = start + len(_CELL) + 1 + (column >= len(_LETTERS))
    sizes = (rows.digits + 1)[row]  # the quote is compared too
    need((markup.words(said, sizes) == markup.words(rows.said, rows.digits + 1)[row]).all())
    return Cells(row, column, tag, following - tag, said + sizes, end)


def need(holds: object) -> None:
    """Raises ``Unusual``, or not."""
    if not holds:
        raise Unusual
