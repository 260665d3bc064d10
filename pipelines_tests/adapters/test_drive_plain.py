"""Cells in all the ways in which programs write them: they come to what calamine makes of the whole workbook."""

from __future__ import annotations

import io
import zipfile
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from python_calamine import CalamineError, CalamineWorkbook
from xlsxwriter import Workbook
from xlsxwriter.utility import xl_col_to_name

from pipelines.adapters.drive import Row, SheetUnreadable
from pipelines.adapters.drive.cells import read_row, with_blanks
from pipelines.adapters.drive.reading import sheet_rows
from pipelines_tests.adapters.drives import xlsx

SHEET = "xl/worksheets/sheet1.xml"
HEAD = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
FORMATS = ("dd/mm/yyyy", "0.00", "[h]:mm", "@", "hh:mm")

NUMBERS = [
    "<c {r}><v>{n}</v></c>",
    '<c {r} t="n"><v>{n}</v></c>',
    '<c {r} s="1"><v>4{n}</v></c>',
    '<c {r} s="2"><v>{n}</v></c>',
    '<c {r} s="2" t="n"><v>{n}</v></c>',
    '<c {r} s="3" t="n"><v>{n}.25</v></c>',
    '<c {r} s="5"><v>0.{n}</v></c>',
    '<c {r} s="99"><v>{n}</v></c>',
    "<c {r}><v>0{n}</v></c>",
    "<c {r}><v>-{n}</v></c>",
    "<c {r}><v>1234567890{n}</v></c>",
    "<c {r}><v>1234567890123456789{n}</v></c>",
    "<c {r}><v>1.50E+{n}</v></c>",
    "<c {r}><f>1+1</f><v>{n}</v></c>",
    '<c {r} t="b"><v>1</v></c>',
    '<c {r} t="e"><v>#N/A</v></c>',
    '<c {r} t="d"><v>2021-02-05</v></c>',
]
BLANKS = ["<c {r}></c>", "<c {r}/>", '<c {r} s="1"/>', '<c {r} s="1" />', '<c {r} t="n"/>', "<c {r}><v></v></c>"]
SHARED = [
    '<c {r} t="s"><v>{n}</v></c>',
    '<c {r} s="1" t="s"><v>{n}</v></c>',
    '<c {r} t="s" s="1"><v>{n}</v></c>',
    '<c {r} t="s"><v>000{n}</v></c>',
    '<c {r} t="s"><v>9{n}9</v></c>',
]
TEXTS = [
    '<c {r} t="str"><v>text {n}</v></c>',
    '<c {r} t="str"><f>"x"</f><v>t &amp; {n}</v></c>',
    '<c {r} t="inlineStr"><is><t>text {n}</t></is></c>',
    '<c {r} t="inlineStr"><is><t> text  {n} </t></is></c>',
    '<c {r} t="inlineStr"><is><t xml:space="preserve"> Zoë 🦀 {n} </t></is></c>',
    '<c {r} s="4" t="inlineStr"><is><t>0{n}</t></is></c>',
    '<c {r} t="inlineStr"><is><t>a &amp; b &#38; {n}</t></is></c>',
    '<c {r} t="inlineStr"><is><t>_x0041_ {n}</t></is></c>',
    '<c {r} t="inlineStr"><is><t>two\r\nlines\rand\n{n}</t></is></c>',
    '<c {r} t="inlineStr"><is><t>a > b</t></is></c>',
    '<c {r} t="inlineStr"><is><t></t></is></c>',
    '<c {r} t="inlineStr"><is><t/></is></c>',
    '<c {r} t="inlineStr"><is><r><rPr><b/><charset val="1"/></rPr><t>rich </t></r><r><t>text</t></r></is></c>',
]
ODD = [
    "<c {r}><!-- said --><v>{n}</v></c>",
    "<c {r} ><v>{n}</v></c>",
    "<c {r}> <v>{n}</v> </c>",
    "<c {r} cm='>'><v>{n}</v></c>",
    "\n<c {r}><v>{n}</v></c>\n",
    '<c s="1" {r}><v>{n}</v></c>',
    '<c {r} t="inlineStr"><is><t><![CDATA[<c r="B1">]]></t></is></c>',
]


@cache
def workbook() -> dict[str, bytes]:
    """Its parts; it has the styles 1 to 5, and some shared texts."""
    content = io.BytesIO()
    with Workbook(content) as made:
        sheet = made.add_worksheet()
        for place, shown in enumerate(FORMATS):
            sheet.write_number(0, place, 1, made.add_format({"num_format": shown}))
        for place, text in enumerate(["plain", "a & b", " left", "Zoë 🦀", "_x0041_", "two\nlines", "a > b", "é", "x"]):
            sheet.write_string(1, place, text)
        sheet.write_rich_string(2, 0, "one ", made.add_format({"bold": True}), "two")
    with zipfile.ZipFile(content) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_rows(rows: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in workbook().items():
            archive.writestr(name, f"{HEAD}{rows}</sheetData></worksheet>".encode() if name == SHEET else part)
    return content.getvalue()


def as_calamine_reads(content: bytes) -> list[Row] | None:
    """``None``: not at all."""
    try:
        sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0)
    except CalamineError:
        return None
    top, left = sheet.start or (0, 0)
    return list(with_blanks(read_row(top + n, stored, left=left) for n, stored in enumerate(sheet.to_python(), 1)))


def as_read(content: bytes) -> list[Row] | None:
    try:
        return list(sheet_rows(content))
    except SheetUnreadable:
        return None


def written(rows: list[list[tuple[int, str, int]]], gap: int = 1) -> str:
    """Rows of cells, each so many columns behind the one before it, in one of the ways, with a number in it."""
    made = []
    for number, row in enumerate(rows):
        shown, column, cells = 1 + number * gap, -1, []
        for behind, way, value in row:
            column += behind
            cells.append(way.replace("{r}", f'r="{xl_col_to_name(column)}{shown}"').replace("{n}", f"{value}"))
        made.append(f'<row r="{shown}" spans="1:9">{"".join(cells)}</row>')
    return "".join(made)


WAYS = [*NUMBERS, *BLANKS, *SHARED, *TEXTS, *ODD]


@pytest.mark.parametrize("way", WAYS)
def test_a_cell_reads_as_calamine_reads_it(way: str) -> None:
    content = with_rows(written([[(1, way, 7), (30, TEXTS[2], 1)], [(2, way, 0), (1, way, 1)]]))
    assert as_read(content) == as_calamine_reads(content)


CELL = st.tuples(st.integers(1, 30), st.sampled_from([*NUMBERS, *BLANKS, *SHARED[:4], *TEXTS]), st.integers(0, 9))


@given(rows=st.lists(st.lists(CELL, max_size=6), max_size=6), gap=st.integers(1, 3))
@example(rows=[[], [(1, SHARED[0], 1), (1, SHARED[0], 9)], []], gap=2)
def test_cells_read_as_calamine_reads_them_whatever_is_beside_them(
    rows: list[list[tuple[int, str, int]]], gap: int
) -> None:
    content = with_rows(written(rows, gap))
    assert as_read(content) == as_calamine_reads(content)


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1"/><row r="2"><c r="A2"><v>1</v></c></row><row r="4" ht="9"/>',
        '<row r="1"></row><row r="2"><c r="A2"><v>1</v></c></row>',
        '<row><c r="A1"><v>1</v></c></row><row><c r="A2"><v>2</v></c></row>',
        '<row r="1">\n<c r="A1"><v>1</v></c>\n<c r="B1"><v>1</v></c>\n</row>\n<row r="2"><c r="A2"><v>1</v></c></row>',
        '<row r="1"><c r="B1"><v>1</v></c><c r="A1"><v>2</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c><c r="A1"><v>2</v></c></row>',
        '<row r="1"><c r="A1"><v>1</v></c><extLst><ext uri="x"/></extLst></row>',
        '<row r="1"><c r="A1"><v>1</v></c><c r="B1"><v>2</v></row>',
        '<row r="1"><c r="A1"><v>1</v></c></c></row>',
        '<row r="1"><c r="A1"><v>1</x></c></row>',
        '<row r="1"><c r="A1" t="inlineStr"><is><t>\xff</t></is></c></row>',
    ],
)
def test_rows_read_as_calamine_reads_them(rows: str) -> None:
    content = with_rows(rows)
    assert as_read(content) == as_calamine_reads(content)


@pytest.mark.parametrize(
    "text",
    [
        "<si><t> left </t></si>",
        '<si><t xml:space="preserve"> left </t></si>',
        "<si><t>a &amp; b</t></si>",
        "<si><t>a > b</t></si>",
        "<si><t>_x0041_</t></si>",
        "<si><t/></si>",
        "<si/>",
        "<si></si>",
        "<si >\n<t>x</t></si>",
        "<si><t><![CDATA[<si>]]></t></si>",
        '<si><r><t>one </t></r><r><rPr><sz val="9"/></rPr><t>two</t></r></si>',
        '<si><t>base</t><rPh sb="0" eb="1"><t>said</t></rPh></si>',
    ],
)
def test_a_shared_text_reads_as_calamine_reads_it(text: str) -> None:
    content = with_rows(written([[(1, SHARED[0], number) for number in range(3)]]))
    changed = f"<sst>{text}<si><t>after</t></si>{text}</sst>".encode()
    with_texts = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(with_texts, "w") as other:
        for name in archive.namelist():
            other.writestr(name, changed if name == "xl/sharedStrings.xml" else archive.read(name))
    assert as_read(with_texts.getvalue()) == as_calamine_reads(with_texts.getvalue())


def test_a_cell_that_says_another_row_than_its_own_is_no_plain_one() -> None:
    content = with_rows('<row r="1"><c r="A1"><v>1</v></c></row><row r="2"><c r="A3"><v>2</v></c></row>')
    assert as_read(content) == as_calamine_reads(content)


def test_a_text_that_is_no_utf_8_is_damage() -> None:
    for shared in (True, False):
        content = xlsx([["Zoe", "x"]], shared=shared)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name).replace(b"Zoe", b"Zo\xff") for name in archive.namelist()}
        broken = io.BytesIO()
        with zipfile.ZipFile(broken, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, part)
        with pytest.raises(SheetUnreadable, match="damaged"):
            list(sheet_rows(broken.getvalue()))
