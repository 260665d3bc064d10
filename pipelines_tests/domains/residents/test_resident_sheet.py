from __future__ import annotations

import itertools
import re
import tracemalloc
from collections.abc import Iterator

import pytest

from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.sheet import Line, Refusal, Row, SheetRefused, read_sheet
from pipelines_tests.domains.residents.people import CONTACT_TRACING, GENERIC, NSSS, SPL, cells, lines

ALL = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)


@ALL
def test_a_sheet_is_its_header_and_its_rows(feed: Feed) -> None:
    sheet = read_sheet(lines(feed, {}, {}), feed)
    rows = list(sheet.rows)
    assert sheet.header == feed.needed
    assert [row.number for row in rows] == [2, 3]
    assert [sheet.cells(row) for row in rows] == [cells(feed)] * 2


@pytest.mark.parametrize("above", range(10))
def test_the_header_of_contact_tracing_may_be_any_of_ten_rows(above: int) -> None:
    sheet = read_sheet(lines(CONTACT_TRACING, {}, above=above), CONTACT_TRACING)
    assert [row.number for row in sheet.rows] == [above + 2]


def test_a_header_below_the_tenth_row_is_not_found() -> None:
    with pytest.raises(SheetRefused) as refused:
        read_sheet(lines(CONTACT_TRACING, {}, above=10), CONTACT_TRACING)
    assert refused.value.reason is Refusal.NO_HEADER
    assert refused.value.headers == ("Account ID", "Forename", "Surname")


def test_the_header_of_other_feeds_is_the_first_row() -> None:
    with pytest.raises(SheetRefused) as refused:
        read_sheet(lines(NSSS, {}, above=1), NSSS)
    assert refused.value.headers == NSSS.needed


@pytest.mark.parametrize("empty", [[], [Line(())], [Line(("", " "))] * 30])
@ALL
def test_a_sheet_without_anything_is_refused(feed: Feed, empty: list[Line]) -> None:
    with pytest.raises(SheetRefused) as refused:
        read_sheet(empty, feed)
    assert refused.value.reason is Refusal.NO_HEADER


@ALL
def test_each_missing_header_refuses_the_sheet_by_its_name_before_any_row_is_read(feed: Feed) -> None:
    for column in feed.needed:
        header = tuple(one for one in feed.needed if one != column)
        rest = iter([Line(header), Line(("a",) * len(header))])
        with pytest.raises(SheetRefused, match=re.escape(column)) as refused:
            read_sheet(rest, feed)
        if column not in feed.marks:
            assert (refused.value.reason, refused.value.headers) == (Refusal.MISSING, (column,))
            assert len(list(rest)) == 1


@ALL
def test_each_needed_header_that_stands_twice_refuses_the_sheet_by_its_name(feed: Feed) -> None:
    for column in feed.needed:
        with pytest.raises(SheetRefused) as refused:
            read_sheet([Line((*feed.needed, column))], feed)
        assert (refused.value.reason, refused.value.headers) == (Refusal.DUPLICATE, (column,))


@pytest.mark.parametrize("odd", ["postcode", "Postcode ", "Post code"])
def test_headers_match_exactly(odd: str) -> None:
    header = tuple(odd if column == "Postcode" else column for column in GENERIC.needed)
    with pytest.raises(SheetRefused, match=r"missing header: Postcode$"):
        read_sheet([Line(header)], GENERIC)


def test_a_refusal_names_no_header_that_the_sheet_brought() -> None:
    with pytest.raises(SheetRefused) as refused:
        read_sheet([Line(("Fred Flintstone", "22/02/1963"))], NSSS)
    assert "Fred" not in str(refused.value)


def test_other_columns_are_kept_as_they_are_wherever_they_stand_and_however_often() -> None:
    header = ("extra", *SPL.needed, "extra", "")
    row = (" kept ", *cells(SPL).values(), "=1+1", "beyond")
    sheet = read_sheet([Line(header), Line(row)], SPL)
    (read,) = sheet.rows
    assert sheet.header == header[:-1]
    assert read.texts == row[:-1]
    assert read.is_longer


def test_only_needed_cells_are_trimmed() -> None:
    row = dict(cells(SPL), category="  Deceased \n")
    sheet = read_sheet([Line((*SPL.needed, "x")), Line((*row.values(), " y "))], SPL)
    (read,) = sheet.rows
    assert sheet.cells(read)["category"] == "Deceased"
    assert read.texts[-1] == " y "


def test_blank_rows_in_the_middle_are_kept_and_those_at_the_end_are_not() -> None:
    blank = [Line(()), Line(("", " ", "\t"))]
    sound = lines(GENERIC, {}, {})
    sheet = read_sheet([sound[0], *blank, sound[1], *blank, sound[2], *blank * 50], GENERIC)
    assert [(row.number, row.is_blank) for row in sheet.rows] == [
        (2, True),
        (3, True),
        (4, False),
        (5, True),
        (6, True),
        (7, False),
    ]


def test_a_blank_row_is_as_wide_as_the_header() -> None:
    sheet = read_sheet([*lines(GENERIC), Line(()), *lines(GENERIC, {})[1:]], GENERIC)
    assert next(sheet.rows) == Row(2, ("",) * len(GENERIC.needed), is_blank=True)


def test_a_short_row_is_padded() -> None:
    sheet = read_sheet([Line(GENERIC.needed), Line(("Grace",))], GENERIC)
    (row,) = sheet.rows
    assert row.texts == ("Grace", *[""] * (len(GENERIC.needed) - 1))
    assert not row.is_longer


def test_a_header_without_rows_is_a_sheet_of_none() -> None:
    assert list(read_sheet([Line(NSSS.needed)], NSSS).rows) == []


def test_columns_in_another_order_are_read_by_their_headers() -> None:
    row = cells(NSSS)
    order = NSSS.needed[::-1]
    sheet = read_sheet([Line(order), Line([row[column] for column in order], [0])], NSSS)
    (read,) = sheet.rows
    assert sheet.cells(read) == row
    assert sheet.columns_of_numbers(read) == {order[0]}


def test_what_a_row_holds_is_in_no_text_about_it() -> None:
    sheet = read_sheet(lines(NSSS, {}), NSSS)
    (row,) = sheet.rows
    assert "Flintstone" not in repr(row) + repr(sheet)


def test_rows_are_not_kept() -> None:
    whole = lines(CONTACT_TRACING, {})

    def many() -> Iterator[Line]:
        yield whole[0]
        yield from itertools.repeat(whole[1], 30_000)

    tracemalloc.start()
    try:
        read = sum(1 for _ in read_sheet(many(), CONTACT_TRACING).rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert read == 30_000
    assert peak < 1_000_000, "some 30 bytes a row: not even its cells' references"
