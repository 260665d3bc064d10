"""Rows from delimited text: UTF-8 or UTF-16, with commas, semicolons or tabs.

Anything else is refused: a guess could go wrong without anybody noticing it.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from pipelines.adapters.drive.cells import read_row, with_blanks
from pipelines.adapters.drive.contract import Row, SheetUnreadable

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
_OTHERS = {"|": "a bar", "^": "a caret", "~": "a tilde", ":": "a colon"}
_NONE = (0, 0)
_SAMPLE = 50
"""So many rows tell what stands between their cells: the header is in the first ten."""


def delimited_rows(content: bytes) -> Iterator[Row]:
    """The rows of a text; ``number`` counts rows, not lines, since a quoted cell may have several.

    Raises:
        SheetUnreadable: before the first row for its encoding and its delimiter, at a row for that.
    """
    encoding = _encoding(content)
    delimiter, first = _delimiter(content, encoding)
    records = islice(_records(content, encoding, delimiter), first, None)
    return with_blanks(read_row(number, cells) for number, cells in enumerate(records, 1))


def _encoding(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise SheetUnreadable("a text in UTF-32, not in UTF-8 or UTF-16")
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    line = 0
    try:
        for line, text in enumerate(_lines(content, encoding), 1):
            if "\0" in text:
                raise SheetUnreadable(f"zero bytes in line {line}: no text, or UTF-16 without its mark at the start")
    except UnicodeError:
        shown = "UTF-16" if encoding == "utf-16" else "UTF-8, nor has it the mark of UTF-16 at its start"
        raise SheetUnreadable(f"neither xlsx nor ods; as text, after line {line}, it is not {shown}") from None
    return encoding


def _delimiter(content: bytes, encoding: str) -> tuple[str, int]:
    """What stands between cells, and how many rows come before the first: one, if that is there to say it.

    It is what makes the most rows of one length, and of these the longest: a comment may have any number of commas, but
    not each row has the same number of them.
    """
    first = next(_lines(content, encoding), "").rstrip("\r\n")
    if first[:4].lower() == "sep=" and first[4:] in _DELIMITERS:
        return first[4:], 1
    cells = {delimiter: _cells(content, encoding, delimiter) for delimiter in _DELIMITERS}
    best = max(cells, key=lambda delimiter: cells[delimiter])
    if cells[best] == _NONE and not all(line.isspace() for line in _lines(content, encoding)):
        seen = [name for other, name in _OTHERS.items() if _cells(content, encoding, other) != _NONE]
        what = f"seen: {', '.join(seen)}" if seen else "nothing else that could"
        raise SheetUnreadable(f"neither {', '.join(_DELIMITERS.values())} stands between cells; {what}")
    return best, 0


def _cells(content: bytes, encoding: str, delimiter: str) -> tuple[int, int]:
    """Of the first rows that a delimiter makes cells in, how many there are of one length, and that length."""
    widths: Counter[int] = Counter()
    records = csv.reader(_lines(content, encoding), delimiter=delimiter)
    with suppress(csv.Error):  # it may be the wrong one; if it is the right one, this comes again when it is read
        widths.update(len(record) for record in islice(records, _SAMPLE))
    return max(((count, width) for width, count in widths.items() if width > 1), default=_NONE)


def _records(content: bytes, encoding: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(_lines(content, encoding), delimiter=delimiter, strict=True)
    try:
        yield from reader
    except csv.Error:
        what = "the quotes don't fit together, or a cell is too long"
        raise SheetUnreadable(f"a row that ends in line {reader.line_num}: {what}") from None


def _lines(content: bytes, encoding: str) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
