from __future__ import annotations

from datetime import date

import pytest

from pipelines.domains.residents.faults import Oddity, Rejected, Skipped, Warned
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.outbound import make_workbooks
from pipelines.domains.residents.outcomes import Outcome, Result, tell_unsent
from pipelines.domains.residents.rows import map_row
from pipelines.domains.residents.sheet import Line, Sheet, read_sheet
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    CONTEXT,
    GENERIC,
    NSSS,
    SELF_ISOLATION,
    SPL,
    cells,
    lines,
)

DAY = date(2021, 11, 20)
VERDICT = ("outcome", "reason", "warnings")
SENT = Outcome(Result.SENT, "", (Warned(Oddity.PHONE, "Phone"), Warned(Oddity.ADDRESS)), True, 121231, 54, 77)
Written = dict[str, list[tuple[str, ...]]]


def written(sheet: Sheet, sent: Outcome = SENT) -> Written:
    """All tabs of all spreadsheets as their rows, the header first, had every row that can be been sent."""
    pages = [page for book in make_workbooks(sheet, "May", DAY) for page in book.pages]
    tabs: Written = {page.title: [page.columns] for page in pages}
    for row in sheet.rows:
        verdict = map_row(sheet, row, CONTEXT)
        outcome = tell_unsent(verdict) if isinstance(verdict, Skipped | Rejected) else sent
        for page in pages:
            told = page.cells(row, outcome)
            if told is not None:
                assert len(told) == len(page.columns)
                tabs[page.title].append(told)
    return tabs


@pytest.mark.parametrize(
    ("feed", "names"),
    [
        (CONTACT_TRACING, ["Hackney_CT_FOR_UPLOAD_file2_2021-11-20", "city_CT_FOR_UPLOAD_file2_2021-11-20"]),
        (NSSS, ["PROCESSED_file2_2021-11-20"]),
        (SPL, ["PROCESSED_file2_2021-11-20"]),
        (SELF_ISOLATION, ["PROCESSED_file2_2021-11-20"]),
        (GENERIC, ["PROCESSED_file2_2021-11-20"]),
    ],
)
def test_spreadsheets_are_named_as_by_the_reference(feed: Feed, names: list[str]) -> None:
    """Golden example 2: Hackney's before the City's."""
    sheet = read_sheet(lines(feed), feed)
    assert [book.name for book in make_workbooks(sheet, "file2", DAY)] == names


@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
def test_a_sheet_of_no_rows_has_its_tabs_with_their_headers(feed: Feed) -> None:
    assert all(len(rows) == 1 for rows in written(read_sheet(lines(feed), feed)).values())


@pytest.mark.parametrize("feed", [NSSS, SPL, GENERIC])
def test_most_feeds_have_one_tab_with_ids_before_all_inbound_columns_and_the_outcome_behind(feed: Feed) -> None:
    sheet = read_sheet([Line((*feed.needed, "extra")), Line((*cells(feed).values(), " =1+1"))], feed)
    tabs = written(sheet)
    assert list(tabs) == ["hackney_cases"]
    assert tabs["hackney_cases"] == [
        ("resident_id", "help_request_id", *feed.needed, "extra", *VERDICT),
        (
            "121231",
            "54",
            *cells(feed).values(),
            " =1+1",
            "sent",
            "",
            f"Phone: odd phone number; {Oddity.ADDRESS}",
        ),
    ]


def test_self_isolation_tells_the_added_case_first() -> None:
    rows = written(read_sheet(lines(SELF_ISOLATION, {}), SELF_ISOLATION))["hackney_cases"]
    assert rows[0][:4] == ("cev_case_added_id", "resident_id", "help_request_id", "ID")
    assert rows[1][:4] == ("77", "121231", "54", "5270010")


def test_every_row_that_is_not_sent_is_told_with_blank_ids_and_its_reason() -> None:
    """The reference tells no reason."""
    sheet = read_sheet(
        [*lines(GENERIC), Line(()), *lines(GENERIC, {"d.o.b": "31/02/2000"}, {"Help Request Type": "?"})[1:]], GENERIC
    )
    _, *rows = written(sheet)["hackney_cases"]
    assert [(row[:2], row[-3:-1]) for row in rows] == [
        (("", ""), ("skipped", "blank row")),
        (("", ""), ("rejected", "d.o.b: no such day")),
        (("", ""), ("rejected", "Help Request Type: unknown type of help")),
    ]


def test_a_sheet_that_was_written_back_may_come_in_again() -> None:
    """The reference dies of it. Its columns of ours are told anew, not beside the old ones."""
    header = ("resident_id", "help_request_id", *NSSS.needed, *VERDICT)
    row = ("1", "2", *cells(NSSS).values(), "rejected", "old", "older")
    rows = written(read_sheet([Line(header), Line(row)], NSSS))["hackney_cases"]
    assert rows[0] == header
    assert rows[1][:2] == ("121231", "54")
    assert rows[1][2:-3] == row[2:-3]
    assert rows[1][-3:-1] == ("sent", "")


TRACED = (
    {"Account ID": "both", "Email": "a@b"},
    {"Account ID": "mail", "Email": "a@b", "Postcode": ""},
    {"Account ID": "post", "Email": ""},
    {"Account ID": "none", "Email": "", "House Number": ""},
    {"Account ID": "phone", "Email": "a@b", "Phone": "07700900001"},
    {"Account ID": "phone2", "Email": "a@b", "Phone2": "07700900001"},
    {"Account ID": "city1", "Email": "a@b", "UTLA": "City of London"},
    {"Account ID": "city2", "UTLA": "CityofLondon", "Date of Birth": "bad"},
    {"Account ID": "born", "Date of Birth": "31/02/2000"},
    {"Account ID": "old", "Email": "a@b", "Date Tested": "6/11/2021"},
    {"Account ID": "excluded1", "Email": "a@b"},
    {"Account ID": "far", "Email": "a@b", "UTLA": "Islington"},
    {"Account ID": "bad", "Email": "a@b", "Date Tested": "yesterday"},
)


def traced() -> Written:
    header, *rows = lines(CONTACT_TRACING, *({"Surname": row["Account ID"]} | row for row in TRACED))
    wide = [Line((*header.texts, "ID")), *(Line((*row.texts, "x")) for row in rows)]
    return written(read_sheet([Line(()), *wide], CONTACT_TRACING))


def test_contact_tracing_has_three_tabs_for_hackney_one_for_the_city_and_one_for_who_was_left_out() -> None:
    columns = {title: rows[0] for title, rows in traced().items()}
    assert list(columns) == ["email_list", "address_list", "hackney_cases", "not_sent", "city_cases"]
    assert columns["email_list"] == ("Date Time Extracted", "Forename", "Surname", "Email")
    assert columns["address_list"] == ("Date Time Extracted", "Forename", "Surname", "House Number", "Postcode")
    assert columns["hackney_cases"] == (*CONTACT_TRACING.columns, *VERDICT)
    assert columns["city_cases"] == (*CONTACT_TRACING.needed, "ID", *VERDICT)
    assert columns["not_sent"] == ("row", "Account ID", *VERDICT)


def test_each_row_of_contact_tracing_is_in_the_tabs_that_it_belongs_to() -> None:
    found = {title: rows[1:] for title, rows in traced().items()}
    names = {title: [row[2 if title.endswith("list") else 3] for row in found[title]] for title in found}
    assert names["email_list"] == ["both", "mail"]
    assert names["address_list"] == ["both", "post", "born"]
    assert names["hackney_cases"] == ["both", "mail", "post", "none", "phone", "phone2", "born"]
    assert names["city_cases"] == ["city1", "city2"]
    assert found["not_sent"] == [
        ("12", "old", "skipped", "tested too long ago", ""),
        ("13", "excluded1", "skipped", "on the list of excluded ids", ""),
        ("14", "far", "skipped", "of another authority", ""),
        ("15", "bad", "rejected", "Date Tested: not a known form of date", ""),
    ]


def test_every_row_of_contact_tracing_is_told_once() -> None:
    """The reference drops those that its filters leave out, without a word."""
    tabs = traced()
    told = sum(len(tabs[title]) - 1 for title in ("hackney_cases", "city_cases", "not_sent"))
    assert told == len(TRACED)


def test_values_are_those_of_the_sheet_not_those_that_were_sent() -> None:
    rows = written(read_sheet(lines(CONTACT_TRACING, {"Postcode": " e95hx "}), CONTACT_TRACING))
    assert rows["address_list"][1] == ("1/21/21 3:53", "Test", "McTesty", "84", "e95hx")


def test_a_formula_stays_the_text_that_it_is() -> None:
    """It is the writer that must write it as text."""
    formula = '=HYPERLINK("http://x")'
    rows = written(read_sheet(lines(NSSS, {"address_line2": formula}), NSSS))["hackney_cases"]
    assert formula in rows[1]
