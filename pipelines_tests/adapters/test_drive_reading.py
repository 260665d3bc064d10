"""Files that staff drop, good and bad: what is read of them, and what is said of those that can't be."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msoffcrypto.format.ooxml import OOXMLFile
from python_calamine import CalamineWorkbook
from xlsxwriter import Workbook

from pipelines.adapters.drive import Row, SheetUnreadable
from pipelines.adapters.drive.cells import fitting, text
from pipelines.adapters.drive.reading import LARGEST, sheet_rows
from pipelines_tests.adapters.drives import delimited, ods, xlsx

ROWS = [["ID", "Phone", "Comments"], ["00123", "+44 7", 'said "no";\nand, left'], ["", "", ""], ["x", "", "Zoë 🦀"]]
CELLS = [("ID", "Phone", "Comments"), ("00123", "+44 7", 'said "no";\nand, left'), (), ("x", "", "Zoë 🦀")]


def cells(content: bytes) -> list[tuple[str, ...]]:
    return [row.cells for row in sheet_rows(content)]


def written(write: Callable[[Workbook], object]) -> bytes:
    content = io.BytesIO()
    workbook = Workbook(content)
    write(workbook)
    workbook.close()
    return content.getvalue()


def with_part(content: bytes, name: str, part: Callable[[str], str]) -> bytes:
    """The archive with one part of it changed."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(changed, "w") as other:
        for each in archive.namelist():
            body = archive.read(each)
            other.writestr(each, part(body.decode()).encode() if each == name else body)
    return changed.getvalue()


FIRST = "xl/worksheets/sheet1.xml"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_is_read_in_every_encoding_and_with_every_delimiter_that_is_known(delimiter: str, encoding: str) -> None:
    mark = "\ufeff".encode(encoding) if encoding in {"utf-16-le", "utf-16-be"} else b""
    assert cells(mark + delimited(ROWS, delimiter, encoding)) == CELLS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_every_way(end: str) -> None:
    assert cells(f'a,b{end}1,"x{end}y"{end}'.encode()) == [("a", "b"), ("1", f"x{end}y")]


def test_the_delimiter_is_what_every_row_has_and_not_what_a_comment_is_full_of() -> None:
    comment = ", ".join(["very"] * 60)
    assert cells(f"a;b;c\n1;2;{comment}\n3;4;x\n".encode()) == [("a", "b", "c"), ("1", "2", comment), ("3", "4", "x")]
    assert cells(b"Extract\n\nAccount ID,Forename\n1,Jo;e\n") == [
        ("Extract",),
        (),
        ("Account ID", "Forename"),
        ("1", "Jo;e"),
    ]


def test_a_first_line_that_names_the_delimiter_is_no_row() -> None:
    assert list(sheet_rows(b"sep=;\r\na,b;c\r\n")) == [Row(1, ("a,b", "c"))]


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\r\n\r\n", b" \n", b",,\n,,\n"])
def test_a_text_of_nothing_has_no_rows(content: bytes) -> None:
    assert [row for row in cells(content) if any(cell.strip() for cell in row)] == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a|b\n1|2\n", "neither a comma, a semicolon, a tab stands between cells; seen: a bar"),
        (b"names\nJane\n", "neither a comma.*nothing else that could"),
        ("a,b\nZoë,1\n".encode("latin-1"), "as text, after line 0, it is not UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "zero bytes in line 1: no text, or UTF-16 without its mark"),
        ("a,b\n".encode("utf-32"), "UTF-32"),
        (b"\xff\xfea", "not UTF-16"),
        (b'a,b\n1,"2\n3,4\n', "a row that ends in line 3: the quotes don't fit"),
        (b'a,b\n1,"2"x\n', "a row that ends in line 2: the quotes don't fit"),
        (b"a,b\n1," + b"x" * 200_000, "a row that ends in line 2.*a cell is too long"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), r"an old Excel workbook \(xls\)"),
        (b"%PDF-1.7\n", "a PDF document, not xlsx, ods or csv"),
        (b"\x89PNG\r\n", "an image"),
        (b"<!DOCTYPE html><table>", "a web page or XML"),
        (b"\xef\xbb\xbf <?xml?>", "a web page or XML"),
        (b"PK\x03\x04", "an archive, as xlsx and ods are, that is damaged"),
        (bytes(100), "zero bytes in line 1"),
    ],
)
def test_what_is_no_sheet_is_refused_saying_what_was_seen(content: bytes, said: str) -> None:
    with pytest.raises(SheetUnreadable, match=said):
        cells(content)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["word/document.xml"], "a Word document, not xlsx"),
        (["xl/workbook.bin"], r"\(xlsb\)"),
        (["ppt/presentation.xml"], "a presentation"),
        (["photo.jpg"], "an archive, not xlsx"),
        ([], "an archive, not xlsx"),
    ],
)
def test_an_archive_of_something_else_is_refused_saying_what_was_seen(names: list[str], said: str) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    with pytest.raises(SheetUnreadable, match=said):
        cells(content.getvalue())


def test_a_workbook_with_a_password_says_so() -> None:
    content = io.BytesIO()
    OOXMLFile(io.BytesIO(xlsx(ROWS))).encrypt("secret", content)
    with pytest.raises(SheetUnreadable, match="protected by a password"):
        cells(content.getvalue())
    locked = with_part(ods(ROWS), "META-INF/manifest.xml", lambda _: "<m><manifest:encryption-data/></m>")
    with pytest.raises(SheetUnreadable, match="protected by a password"):
        cells(locked)


@pytest.mark.parametrize("make", [xlsx, ods])
def test_a_workbook_that_is_not_whole_says_so(make: Callable[[Any], bytes]) -> None:
    content = make(ROWS)
    for size in range(4, len(content), len(content) // 40):
        with pytest.raises(SheetUnreadable, match="damaged or not whole"):
            cells(content[:size])


@cache
def whole(make: Callable[[Any], bytes]) -> bytes:
    """One workbook for all examples: the time that stands in it makes each another one."""
    return make(ROWS)


@pytest.mark.parametrize("make", [xlsx, ods])
@given(data=st.data())
def test_damage_anywhere_is_told_or_does_no_harm(make: Callable[[Any], bytes], data: st.DataObject) -> None:
    content = bytearray(whole(make))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(2, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SheetUnreadable):
        cells(bytes(content))


@pytest.mark.parametrize("part", [FIRST, "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/sharedStrings.xml"])
@pytest.mark.parametrize("broken", ["", "<", "no xml", "<worksheet><sheetData><row r='1'><c r='A1' t='s'><v>99</v>"])
def test_a_part_that_is_broken_is_told_or_does_no_harm(part: str, broken: str) -> None:
    try:
        found = cells(with_part(xlsx(ROWS), part, lambda _: broken))
    except SheetUnreadable:
        return
    assert part in {FIRST, "xl/sharedStrings.xml"}
    assert found in ([], CELLS) or part == "xl/sharedStrings.xml"


def test_a_reference_to_a_shared_text_that_there_is_not_is_damage() -> None:
    with pytest.raises(SheetUnreadable, match="damaged"):
        cells(with_part(xlsx(ROWS), FIRST, lambda part: part.replace("<v>0</v>", "<v>99</v>")))


def test_dates_times_and_truths_read_as_one_would_write_them() -> None:
    stored: list[Any] = [
        datetime(2021, 2, 5, 3, 10, 31),  # noqa: DTZ001  # a sheet knows no zones
        date(1956, 5, 2),
        datetime(1983, 5, 2),  # noqa: DTZ001
        time(3, 4),
        timedelta(hours=30, minutes=2),
        True,
        False,
        None,
        1.5,
    ]

    def write(workbook: Workbook) -> None:
        formats = ["dd/mm/yyyy hh:mm:ss", "dd/mm/yyyy", "yyyy-mm-dd", "hh:mm", "[h]:mm", "", "", "", ""]
        sheet = workbook.add_worksheet()
        for column, (value, shown) in enumerate(zip(stored, formats, strict=True)):
            sheet.write(0, column, value, workbook.add_format({"num_format": shown}) if shown else None)

    (row,) = sheet_rows(written(write))
    assert row.cells == (
        "2021-02-05 03:10:31", "1956-05-02", "1983-05-02", "03:04:00", "30:02:00", "TRUE", "FALSE", "", "1.5",
    )  # fmt: skip  # beside what they were stored as
    assert row.numbers == (8,)


def test_a_formula_is_what_it_came_to_and_an_error_is_empty() -> None:
    def write(workbook: Workbook) -> None:
        sheet = workbook.add_worksheet()
        sheet.write_formula(0, 0, '=HYPERLINK("http://x", "shown")', value="shown")
        sheet.write_formula(0, 1, "=1+1", value=2)
        sheet.write_formula(0, 2, "=1/0", value="#DIV/0!")
        sheet.write_string(0, 3, "end")

    assert list(sheet_rows(written(write))) == [Row(1, ("shown", "2", "", "end"), (1,))]


def test_only_the_first_tab_counts_and_it_has_to_be_a_table() -> None:
    def two(workbook: Workbook) -> None:
        workbook.add_worksheet("b").write(2, 1, "x")
        workbook.add_worksheet("a").write(0, 0, "y")

    def chart(workbook: Workbook) -> None:
        bars = workbook.add_chart({"type": "bar"})
        bars.add_series({"values": "=a!$A$1:$A$2"})
        workbook.add_chartsheet().set_chart(bars)
        workbook.add_worksheet("a").write(0, 0, "y")

    assert cells(written(two)) == [(), (), ("", "x")]
    with pytest.raises(SheetUnreadable, match="its first tab is no table"):
        cells(written(chart))


def test_a_stray_cell_in_the_last_row_does_not_make_a_table_of_all_between() -> None:
    def write(workbook: Workbook) -> None:
        sheet = workbook.add_worksheet()
        sheet.write(0, 0, "a")
        sheet.write(1_048_575, 701, "stray")

    rows = sheet_rows(written(write))
    assert next(rows) == Row(1, ("a",))
    last = next(row for row in rows if row.cells)
    assert (last.number, len(last.cells), last.cells[-1]) == (1_048_576, 702, "stray")


def test_a_cell_far_to_the_right_is_refused() -> None:
    with pytest.raises(SheetUnreadable, match="beyond column ZZ"):
        cells(written(lambda workbook: workbook.add_worksheet().write(0, 702, "stray")))


FILLER = '<table:table-cell table:number-columns-repeated="16384"/>'
STRAY = '<table:table-cell office:value-type="string"><text:p>stray</text:p></table:table-cell>'
ODS_ROWS = {
    "filling": (f'<table:table-row table:number-rows-repeated="1048000">{FILLER}</table:table-row>', True),
    "a gap": (f'<table:table-row table:number-rows-repeated="9999">{FILLER}</table:table-row>', True),
    "below": (
        f'<table:table-row table:number-rows-repeated="1048000"/><table:table-row>{STRAY}</table:table-row>',
        False,
    ),
    "often": (f'<table:table-row table:number-rows-repeated="20000">{STRAY}</table:table-row>', False),
    "right": (f"<table:table-row>{FILLER}{STRAY}</table:table-row>", False),
    "after an end": (f"<table:table-row>{FILLER[:-2]}></table:table-cell>{STRAY}</table:table-row>", False),
    "wide": (f"<table:table-row>{FILLER[:-2]} office:value-type='string'/></table:table-row>", False),
}


@pytest.mark.parametrize(("rows", "sound"), ODS_ROWS.values(), ids=ODS_ROWS)
def test_cells_far_away_in_an_ods_are_refused_and_its_filling_is_none(rows: str, sound: bool) -> None:
    content = with_part(ods(ROWS), "content.xml", lambda part: part.replace("</table:table>", f"{rows}</table:table>"))
    if sound:
        assert cells(content) == CELLS
    else:
        with pytest.raises(SheetUnreadable, match="far below the others, or far to the right"):
            cells(content)


@pytest.mark.parametrize("row", ["1", "0", "1048577", "9" * 5000])
def test_rows_out_of_order_are_refused(row: str) -> None:
    content = xlsx([["a"], ["b"]])
    with pytest.raises(SheetUnreadable, match=r"out of order|damaged"):
        cells(with_part(content, FIRST, lambda part: part.replace('<row r="2"', f'<row r="{row}"')))


def test_rows_and_cells_that_don_t_say_where_they_are_follow_each_other() -> None:
    rows = [[f"{number}", "x"] for number in range(10_000)]
    content = with_part(xlsx(rows), FIRST, lambda part: re.sub(r'(<row|<c) r="\w+"', r"\1", part))
    found = list(sheet_rows(content))
    assert [row.cells for row in found] == [tuple(row) for row in rows]
    assert [row.number for row in found] == list(range(1, 10_001))


def test_elements_with_a_prefix_are_read_too() -> None:
    def prefixed(part: str) -> str:
        return re.sub(r"<(/?)(\w)", r"<\1x:\2", part.replace("xmlns=", "xmlns:x=")).replace("<?x:xml", "<?xml")

    content = xlsx(ROWS)
    for part in (FIRST, "xl/sharedStrings.xml"):
        content = with_part(content, part, prefixed)
    assert cells(content) == CELLS


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(SheetUnreadable, match="larger than 256 MiB"):
        cells(bytes(LARGEST + 1))


VALUES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\ufffe\uffff"), max_size=12),
    st.sampled_from(["", "", "_x0041_", "&lt;", "]]>", "#N/A", "TRUE"]),
    st.integers(-(2**53), 2**53).map(float),
    st.floats(-1e15, 1e15).map(lambda value: float(f"{value:.15g}")),  # xlsxwriter keeps sixteen digits
)


@pytest.mark.parametrize("shared", [True, False])
@given(rows=st.lists(st.lists(VALUES, max_size=5), max_size=8))
@example(rows=[["", "", 1.0], [], ["", "x"], [0.1, 1e-300, -0.0]])
@example(rows=[["\x00\x1f"]])
def test_every_value_comes_back_as_it_was_stored(shared: bool, rows: list[list[str | float]]) -> None:
    expected = [trimmed(value if isinstance(value, str) else text(value) for value in row) for row in rows]
    found = cells(xlsx(rows, shared=shared))
    assert found == expected[: len(found)]
    assert not any(expected[len(found) :])


def trimmed(row: Iterable[str]) -> tuple[str, ...]:
    shown = list(row)
    while shown and not shown[-1]:
        shown.pop()
    return tuple(shown)


def test_blocks_come_to_what_the_whole_comes_to() -> None:
    """Texts that are shared, some of them of several pieces, over several blocks."""

    def write(workbook: Workbook) -> None:
        sheet, bold = workbook.add_worksheet(), workbook.add_format({"bold": True})
        for row in range(9000):
            sheet.write_string(row, 0, f"{row % 7}")
            sheet.write_rich_string(row, 2, "one ", bold, f"two {row}", " three")
            sheet.write_string(row, 3, f" Zoë & {row} ")
            sheet.write_number(row, 4, row / 7)

    content = written(write)
    whole = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()
    assert cells(content) == [tuple(text(value) for value in row) for row in whole]


@pytest.mark.parametrize("value", [0.1, 1e300, 1e-7, 123456789.123, 2.0**53, 5e-324])
def test_a_number_reads_as_the_shortest_decimal_that_is_that_number(value: float) -> None:
    shown = text(value)
    assert float(shown) == value
    assert "e" not in shown.lower()
    assert not shown.endswith(".0")


@given(st.text(st.characters(codec="utf-8"), max_size=120), st.integers(60, 80))
def test_a_text_fits_whatever_it_is_made_of(value: str, limit: int) -> None:
    cut = fitting(value, limit)
    assert len(cut.encode("utf-16-le")) // 2 <= limit
    if len(value.encode("utf-16-le")) // 2 <= limit:
        assert cut == value
    else:
        kept, _, said = cut.rpartition(" [cut here: ")
        assert value.startswith(kept)
        assert said == f"{len(value) - len(kept)} characters more]"


READER = """
import sys
from pathlib import Path
from pipelines.adapters.drive.reading import sheet_rows
content = Path(sys.argv[1]).read_bytes()
assert sum(1 for row in sheet_rows(content)) == int(sys.argv[2])
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory where Linux has it")
@pytest.mark.parametrize("shared", [True, False])
def test_a_row_of_a_large_sheet_takes_less_than_a_kilobyte(shared: bool, tmp_path: Path) -> None:
    peaks = []
    sizes = (3_000, 10_000)  # both with more shared texts than are kept ready
    for size in sizes:
        rows = [
            [f"text {row} {column}" if column < 12 else f"word {row % 50}" for column in range(25)]
            for row in range(size)
        ]
        path = tmp_path / f"{size}.xlsx"
        path.write_bytes(xlsx(rows, shared=shared))
        command = [sys.executable, "-c", READER, str(path), str(size)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True).stdout) * 1024)
    assert (peaks[1] - peaks[0]) / (sizes[1] - sizes[0]) < 1024
