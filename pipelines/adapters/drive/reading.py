"""Rows from the bytes of a sheet, whatever its name says it is.

Here: telling kinds of files apart by what is in them. Not here: where the bytes come from.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from zipfile import BadZipFile, ZipFile

from pipelines.adapters.drive.contract import Row, SheetUnreadable
from pipelines.adapters.drive.delimited import delimited_rows
from pipelines.adapters.drive.workbooks import ods_rows, xlsx_rows

LARGEST = 256 << 20
"""Bytes of a file that is still read: twenty times a sheet of a hundred thousand residents."""

_LARGEST_UNPACKED = 1 << 30
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_SEEN = {
    b"%PDF": "a PDF document",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"{\\rtf": "a text document",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_ARCHIVES = {
    "xl/workbook.bin": "a binary Excel workbook (xlsb)",
    "word/document.xml": "a Word document",
    "ppt/presentation.xml": "a presentation",
}


def sheet_rows(content: bytes) -> Iterator[Row]:
    """The rows of the first tab.

    Raises:
        SheetUnreadable: it is no xlsx, ods or delimited text, or is not whole, or protected; some of it shows only
            on the way.
    """
    if len(content) > LARGEST:
        raise SheetUnreadable(f"it is larger than {LARGEST >> 20} MiB")
    if content.startswith(b"PK"):
        return _archive_rows(content)
    if content.startswith(_COMPOUND):
        protected = "EncryptedPackage".encode("utf-16-le") in content
        raise SheetUnreadable("protected by a password" if protected else "an old Excel workbook (xls), not xlsx")
    for start, what in _SEEN.items():
        if content.startswith(start):
            raise SheetUnreadable(f"{what}, not xlsx, ods or csv")
    if content[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise SheetUnreadable("a web page or XML, not xlsx, ods or csv")
    return delimited_rows(content)


def _archive_rows(content: bytes) -> Iterator[Row]:
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            unpacked = sum(member.file_size for member in archive.infolist())
            locked = any(member.flag_bits & 1 for member in archive.infolist())
            manifest = archive.read("META-INF/manifest.xml") if "META-INF/manifest.xml" in names and not locked else b""
    except (BadZipFile, EOFError, NotImplementedError, OSError, ValueError, zlib.error):
        raise SheetUnreadable("an archive, as xlsx and ods are, that is damaged or not whole") from None
    if locked or b"encryption-data" in manifest:
        raise SheetUnreadable("protected by a password")
    if unpacked > _LARGEST_UNPACKED:
        raise SheetUnreadable(f"it unpacks to more than {_LARGEST_UNPACKED >> 30} GiB")
    if "xl/workbook.xml" in names:
        return xlsx_rows(content)
    if "content.xml" in names:
        return ods_rows(content)
    seen = next((what for name, what in _ARCHIVES.items() if name in names), "an archive")
    raise SheetUnreadable(f"{seen}, not xlsx, ods or csv")
