"""Rows from workbooks, as calamine reads them: an ods as a whole, an xlsx in blocks of some hundred rows.

Calamine makes a table of a whole tab, of all cells between its corners, in 2.4 KB for a row of 25 texts. So each block
of an xlsx is given to it as a workbook of its own. That takes little memory for the rows, and a stray cell in the last
of them makes no table of a thousand million cells. The shared texts are kept here, packed.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from pipelines.adapters.drive.cells import Stored, read_row, with_blanks
from pipelines.adapters.drive.contract import Row, SheetUnreadable
from pipelines.adapters.drive.parts import Texts, plain_texts, row_blocks, text_blocks, texts_tab

_WORKBOOK = "xl/workbook.xml"
_RELATIONS = "xl/_rels/workbook.xml.rels"
_SHARED = "xl/sharedStrings.xml"
_NEEDED = {"[Content_Types].xml", "_rels/.rels", _WORKBOOK, _RELATIONS, "xl/styles.xml"}

# Blank rows, and columns, are written as one: ten thousand, and a hundred, or more. At the end they do no harm.
_ROW_GAP = re.compile(rb'<table:table-row\b[^>]*number-rows-repeated="\d{5,}"')
_FAR = re.compile(
    rb'number-columns-repeated="\d{3,}"[^>]*(?:/>|></table:table-cell>)\s*<table:table-cell\b[^>]*office:value-type'
    rb'|<table:table-cell\b(?=[^>]*office:value-type)[^>]*number-columns-repeated="\d{3,}"'
)

_DAMAGE = (
    BadZipFile,
    CalamineError,
    ElementTree.ParseError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    StopIteration,
    ValueError,
    struct.error,
    zlib.error,
)


def xlsx_rows(content: bytes) -> Iterator[Row]:
    """The rows of the first tab of an xlsx. Raises ``SheetUnreadable``, also on the way."""
    with _damage("an xlsx"), ZipFile(io.BytesIO(content)) as archive:
        part = _first_part(archive)
        others = {name: archive.read(name) for name in _NEEDED.intersection(archive.namelist())}
        texts = _shared_texts(archive, others, part)
        with archive.open(part) as xml:
            blocks = row_blocks(xml, texts)
            yield from with_blanks(
                row for block, above in blocks for row in _rows(_with(others, part, block), above, texts)
            )


def ods_rows(content: bytes) -> Iterator[Row]:
    """The rows of the first tab of an ods. Raises ``SheetUnreadable``."""
    with _damage("an ods"), ZipFile(io.BytesIO(content)) as archive:
        first, _, _ = archive.read("content.xml").partition(b"</table:table>")
        if any(b"office:value-type" in first[gap.start() :] for gap in _ROW_GAP.finditer(first)) or _FAR.search(first):
            raise SheetUnreadable("there are cells far below the others, or far to the right")
        yield from with_blanks(_rows(io.BytesIO(content), 0, None))


def _first_part(archive: ZipFile) -> str:
    sheet = next(each for each in _xml(archive, _WORKBOOK).iter() if each.tag.rpartition("}")[2] == "sheet")
    wanted = next(value for name, value in sheet.attrib.items() if name.endswith("}id"))
    relation = next(each for each in _xml(archive, _RELATIONS) if each.get("Id") == wanted)
    if not relation.get("Type", "").endswith("/worksheet"):
        raise SheetUnreadable("its first tab is no table")
    return posixpath.normpath(posixpath.join("/xl", relation.get("Target", "")))[1:]


def _xml(archive: ZipFile, name: str) -> ElementTree.Element:
    return ElementTree.fromstring(archive.read(name))  # noqa: S314  # expat itself refuses entities that multiply


def _shared_texts(archive: ZipFile, others: dict[str, bytes], part: str) -> Texts | None:
    """The shared texts, those that are not plain read as cells; if none is found, calamine is left to look for them."""
    if _SHARED not in archive.namelist():
        return None
    texts = Texts(_text_blocks(archive, others, part))
    if not texts:
        others[_SHARED] = archive.read(_SHARED)
    return texts or None


def _text_blocks(archive: ZipFile, others: Mapping[str, bytes], part: str) -> Iterator[list[str]]:
    with archive.open(_SHARED) as xml:
        for block in text_blocks(xml):
            yield plain_texts(block) or _odd_texts(block, others, part)


def _odd_texts(block: bytes, others: Mapping[str, bytes], part: str) -> list[str]:
    tab, count = texts_tab(block)
    _, left, table = _table(_with(others, part, tab))
    found = [str(text) for row in table for text in row]  # without those that are empty at either end
    return [""] * left + found + [""] * (count - left - len(found))


def _with(others: Mapping[str, bytes], part: str, block: bytes) -> IO[bytes]:
    workbook = io.BytesIO()
    with ZipFile(workbook, "w") as archive:
        for name, content in others.items():
            archive.writestr(name, content)
        archive.writestr(part, block)
    workbook.seek(0)
    return workbook


def _rows(workbook: IO[bytes], above: int, texts: Texts | None) -> Iterator[Row]:
    top, left, table = _table(workbook)
    for number, stored in enumerate(table, top + above + 1):
        yield read_row(number, texts.resolved(stored) if texts else stored, left=left)


def _table(workbook: IO[bytes]) -> tuple[int, int, list[list[Stored]]]:
    """How many rows are above the table and how many columns to its left, and the table."""
    with CalamineWorkbook.from_filelike(workbook) as opened:
        tab = opened.get_sheet_by_index(0)
    top, left = tab.start or (0, 0)
    return top, left, tab.to_python()  # type: ignore[return-value]  # lists don't vary: of some of what is stored


@contextmanager
def _damage(what: str) -> Iterator[None]:
    """Whatever the libraries make of a damaged file is one thing."""
    try:
        yield
    except PasswordError:
        raise SheetUnreadable("protected by a password") from None
    except _DAMAGE:
        raise SheetUnreadable(f"{what} that is damaged or not whole") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # calamine's: it derives from nothing nearer
            raise
        raise SheetUnreadable(f"{what} that is damaged or not whole") from None
