"""Calamine, given parts of a workbook: it reads a tab that is made for it as the first one of that workbook.

Here: the workbook around such a tab. Not here: what is cut out of the true one, and why.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from zipfile import ZipFile

from python_calamine import CalamineWorkbook

from pipelines.adapters.drive.cells import Stored

TAB = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
TAB_END = b"</sheetData></worksheet>"

_KNOWN, _SHORT = 1 << 14, 64  # cells that are remembered, and bytes of one of them

Table = list[list[Stored]]


class Reader:
    """Reads tabs, and cells, as if they stood in a workbook."""

    def __init__(self, others: Mapping[str, bytes], part: str) -> None:
        """Takes what else is in the workbook, by its name, and the name of the part that is the tab."""
        self._others = others
        self._part = part
        self._known: dict[bytes, Stored] = {}

    def table(self, tab: bytes) -> tuple[int, int, Table]:
        """How many rows are above the table and how many columns to its left, and the table."""
        workbook = io.BytesIO()
        with ZipFile(workbook, "w") as archive:
            for name, content in self._others.items():
                archive.writestr(name, content)
            archive.writestr(self._part, tab)
        workbook.seek(0)
        return read_table(workbook)

    def cells(self, written: Sequence[bytes]) -> Sequence[Stored]:
        """What cells come to, each given as what stands behind its reference. Dates, for one, are often the same."""
        known = self._known
        unknown = [each for each in dict.fromkeys(written) if each not in known]
        known.update(zip(unknown, self._read(unknown), strict=True))
        values = [known[each] for each in written]
        for each in unknown:
            if len(each) > _SHORT:
                del known[each]
        if len(known) > _KNOWN:
            known.clear()
        return values

    def _read(self, written: Sequence[bytes]) -> Sequence[Stored]:
        if not written:
            return []
        rows = (b'<row r="%d"><c r="A%d"%b</row>' % (number, number, each) for number, each in enumerate(written, 1))
        top, _, table = self.table(b"".join((TAB, *rows, TAB_END)))
        values = [*repeat("", top), *chain.from_iterable(table)]
        return [*values, *repeat("", len(written) - len(values))]


def read_table(workbook: io.BytesIO) -> tuple[int, int, Table]:
    """How many rows are above the table of the first tab and how many columns to its left, and the table."""
    with CalamineWorkbook.from_filelike(workbook) as opened:
        tab = opened.get_sheet_by_index(0)
    top, left = tab.start or (0, 0)
    return top, left, tab.to_python()  # type: ignore[return-value]  # lists don't vary: of some of what is stored
