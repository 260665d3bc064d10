"""What is in the cells of an xlsx, read all at once where it is plain.

Here: references to shared texts, texts of one piece, whole numbers. Not here: anything else that can be in a cell,
which calamine is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.adapters.drive.cells import NUMBERS, text
from pipelines.adapters.drive.contract import Row
from pipelines.adapters.drive.layout import Cells, find_cells, find_rows, need
from pipelines.adapters.drive.markup import Marks, Markup, Places
from pipelines.adapters.drive.texts import INLINE, INLINE_END, Ask, Objects, Texts, find_plain

_SPARSE, _SMALL = 16, 1 << 16  # places in a table for each cell that there is, and how many do no harm
_STYLES = 10_000
_FEW = np.array([str(number) for number in range(1000)], object)  # that are ready to be given out
_EXACT = 15  # digits that a number keeps, whichever they are
_VALUE_END = b"</v></c>"
_TEXT_END = b"</t></is></c>"
_N = b' t="n">'
_SHARED = b't="s"'  # that nobody can be asked for, who has no shared texts


def plain_rows(piece: bytes, above: int, texts: Texts, ask: Ask) -> Iterator[Row]:
    """The rows of a piece of a tab, the blank ones too.

    Args:
        piece: made of rows.
        above: the number of the row before.
        texts: the shared ones.
        ask: for the cells that are not plain.

    Raises:
        Unusual: this has to be read in another way.
        IndexError: there is no such shared text.
        UnicodeDecodeError: a text is none.
    """
    markup = Markup(piece)
    rows = find_rows(markup, above)
    cells = find_cells(markup, rows)
    reading = _Reading(markup, cells, len(rows.number))
    reading.take_values(texts, ask)
    reading.take_texts()
    reading.pass_blanks()
    reading.take_others(ask)
    return reading.rows(rows.number)


class _Reading:
    """Cells, and the table that they fill."""

    def __init__(self, markup: Markup, cells: Cells, height: int) -> None:
        width = int(cells.column.max(initial=-1)) + 1
        need(height * width <= _SPARSE * len(cells.tag) + _SMALL)
        self._markup, self._cells = markup, cells
        self._table = np.empty((height, width), object)
        self._table.fill("")
        self._flat = self._table.reshape(-1)
        self._places = cells.row * width + cells.column
        self._left: Marks = np.ones(len(cells.tag), np.bool_)
        self._are_numbers: Marks = np.zeros(len(cells.tag), np.bool_)

    def take_values(self, texts: Texts, ask: Ask) -> None:
        """What stands in ``<v>`` alone."""
        markup, cells, opens = self._markup, self._cells, self._markup.opens
        which = np.flatnonzero(cells.tags == 4)
        start, end = opens[cells.tag[which] + 1] + 3, opens[cells.tag[which] + 2]
        fit = markup.have(end, _VALUE_END) & (cells.end[which] == end + len(_VALUE_END))
        fit &= (markup.bytes[start - 2] == ord("v")) & (markup.bytes[start - 1] == ord(">"))
        are_shared = markup.have(start - 10, b' t="s"><')
        if len(shared := np.flatnonzero(fit & are_shared)):
            number, is_number = markup.numbers(start[shared], end[shared])
            need(texts and is_number.all())
            self._put(which[shared], texts.at(number))
        if len(others := np.flatnonzero(fit & ~are_shared)):
            self._take_numbers(which[others], start[others], end[others], ask)

    def _take_numbers(self, which: Places, start: Places, end: Places, ask: Ask) -> None:
        markup, said = self._markup, self._cells.said[which]
        shut = start - 4
        shut = np.where(markup.have(shut - 6, _N), shut - 6, shut)
        fit = markup.are_digits(start, end) & (end - start <= _EXACT) & markup.have(start - 4, b"><")
        fit &= (markup.bytes[start] != ord("0")) | (end - start == 1)
        if len(styled := np.flatnonzero(fit & (said != shut))):
            fit[styled] = self._are_styled(said[styled], shut[styled], ask)
        number, is_short = markup.numbers(start, end)
        is_short &= fit & (number < len(_FEW))
        self._put(which[is_short], _FEW[number[is_short]])
        if len(longer := np.flatnonzero(fit & ~is_short)):
            self._put(which[longer], markup.texts(start[longer], end[longer]))
        self._are_numbers[which[fit]] = True

    def _are_styled(self, said: Places, shut: Places, ask: Ask) -> Marks:
        """Which have a style, and one that shows a number as such."""
        markup = self._markup
        styles, fit = markup.numbers(said + 4, shut - 1)
        fit &= markup.have(said, b' s="') & (markup.bytes[shut - 1] == ord('"')) & (styles < _STYLES)
        styles[~fit] = 0
        used = np.flatnonzero(np.bincount(styles[fit]))
        show_numbers = np.zeros(_STYLES, np.bool_)
        one = ask([b' s="%d"><v>1</v></c>' % style for style in used.tolist()])
        show_numbers[used] = [value.__class__ in NUMBERS for value in one]
        return fit & show_numbers[styles]

    def take_texts(self) -> None:
        """Texts of one piece that stand in their cells."""
        which = np.flatnonzero(self._cells.tags == 6)
        if len(which):
            start, end, fit = find_plain(self._markup, self._cells.tag[which] + 2, INLINE, INLINE_END)
            fit &= end + len(_TEXT_END) == self._cells.end[which]
            self._put(which[fit], self._markup.texts(start[fit], end[fit]))

    def pass_blanks(self) -> None:
        """Cells that have at most a style."""
        which = np.flatnonzero(self._cells.tags == 1)
        if len(which):
            said, shut = self._cells.said[which], self._cells.end[which] - 2
            need(self._markup.have(shut, b"/>").all())
            _, is_style = self._markup.numbers(said + 4, shut - 1)
            is_style &= self._markup.have(said, b' s="') & self._markup.have(shut - 1, b'"')
            self._left[which[(said == shut) | is_style]] = False

    def take_others(self, ask: Ask) -> None:
        """Whatever else there is."""
        which = np.flatnonzero(self._left)
        if len(which):
            spans = zip(self._cells.said[which].tolist(), self._cells.end[which].tolist(), strict=True)
            written = [self._markup[start:end] for start, end in spans]
            need(not any(_SHARED in each for each in written))
            values = ask(written)
            self._put(which, [text(value) for value in values])
            self._are_numbers[which] = [value.__class__ in NUMBERS for value in values]

    def rows(self, numbers: Places) -> Iterator[Row]:
        """The rows of these numbers."""
        rows_of_numbers = self._cells.row[self._are_numbers]
        ends = np.cumsum(np.bincount(rows_of_numbers, minlength=len(numbers))).tolist()
        columns = self._cells.column[self._are_numbers].tolist()
        start = 0
        for number, cells, end in zip(numbers.tolist(), self._table.tolist(), ends, strict=True):
            while cells and not cells[-1]:
                del cells[-1]
            yield Row._make((number, tuple(cells), tuple(columns[start:end])))
            start = end

    def _put(self, which: Places, texts: Objects | Sequence[str]) -> None:
        self._flat[self._places[which]] = texts
        self._left[which] = False
