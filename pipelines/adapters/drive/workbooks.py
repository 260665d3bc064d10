"""Rows from workbooks, as calamine reads them: an ods as a whole, an xlsx in pieces of some hundred rows.

Calamine makes a table of a whole tab, of all cells between its corners, in 2.4 KB for a row of 25 texts. So an xlsx is
cut into pieces: what is plain in one is read here, and calamine is given its other cells; a piece that is written in an
unusual way is given to it as a workbook of its own. That takes little memory for the rows, and a stray cell in the last
of them makes no table of a thousand million cells. The shared texts are kept here, packed.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from xml.etree import ElementTree
from zipfile import BadZipFile, ZipFile

from python_calamine import CalamineError, PasswordError

from pipelines.adapters.drive.asking import Reader, Table, read_table
from pipelines.adapters.drive.cells import read_row, with_blanks
from pipelines.adapters.drive.contract import Row, SheetUnreadable
from pipelines.adapters.drive.layout import Unusual
from pipelines.adapters.drive.parts import cut_rows, tabs
from pipelines.adapters.drive.plain import plain_rows
from pipelines.adapters.drive.texts import Texts, read_texts

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
        reader = Reader(others, part)
        texts = Texts([])
        if _SHARED in archive.namelist():
            with archive.open(_SHARED) as xml:
                texts = read_texts(xml, reader.cells)
            if not texts:  # none that are written as usual: calamine is left to look for them
                others[_SHARED] = archive.read(_SHARED)
        with archive.open(part) as xml:
            yield from with_blanks(_tab_rows(xml, texts, reader))


def ods_rows(content: bytes) -> Iterator[Row]:
    """The rows of the first tab of an ods. Raises ``SheetUnreadable``."""
    with _damage("an ods"), ZipFile(io.BytesIO(content)) as archive:
        first, _, _ = archive.read("content.xml").partition(b"</table:table>")
        if any(b"office:value-type" in first[gap.start() :] for gap in _ROW_GAP.finditer(first)) or _FAR.search(first):
            raise SheetUnreadable("there are cells far below the others, or far to the right")
        yield from with_blanks(_table_rows(read_table(io.BytesIO(content)), 0))


def _first_part(archive: ZipFile) -> str:
    sheet = next(each for each in _xml(archive, _WORKBOOK).iter() if each.tag.rpartition("}")[2] == "sheet")
    wanted = next(value for name, value in sheet.attrib.items() if name.endswith("}id"))
    relation = next(each for each in _xml(archive, _RELATIONS) if each.get("Id") == wanted)
    if not relation.get("Type", "").endswith("/worksheet"):
        raise SheetUnreadable("its first tab is no table")
    return posixpath.normpath(posixpath.join("/xl", relation.get("Target", "")))[1:]


def _xml(archive: ZipFile, name: str) -> ElementTree.Element:
    return ElementTree.fromstring(archive.read(name))  # noqa: S314  # expat itself refuses entities that multiply


def _tab_rows(xml: IO[bytes], texts: Texts, reader: Reader) -> Iterator[Row]:
    head, pieces = cut_rows(xml)
    number = 0
    for piece in pieces:
        try:
            for row in plain_rows(piece, number, texts, reader.cells):
                number = row.number
                yield row
        except Unusual:
            blocks, number = tabs(head, piece, number, texts.reference if texts else b"")
            for block, above in blocks:
                yield from _table_rows(reader.table(block), above, texts)


def _table_rows(read: tuple[int, int, Table], above: int, texts: Texts | None = None) -> Iterator[Row]:
    top, left, table = read
    for number, stored in enumerate(table, top + above + 1):
        yield read_row(number, texts.resolved(stored) if texts else stored, left=left)


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
