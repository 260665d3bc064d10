"""The constitution of the feeds' tables, and the filters that they are made of."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from pipelines.domains.residents.dates import USUAL_FORMS, BadDay, DayColumn
from pipelines.domains.residents.faults import Reject, Rejected, Skip, Skipped
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.filters import read_excluded
from pipelines.domains.residents.feeds.sources import cell, constant, house_and_line
from pipelines.domains.residents.rows import Mapped, map_cells
from pipelines.domains.residents.sheet import read_sheet
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    CONTEXT,
    GENERIC,
    SELF_ISOLATION,
    SPL,
    TODAY,
    cells,
    lines,
    mapped,
    unsent,
)

ALL = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)


def test_the_feeds_are_those_of_the_contract_under_their_names() -> None:
    assert list(FEEDS) == ["contact_tracing", "nsss", "spl", "self_isolation", "generic"]
    assert [len(feed.columns) for feed in FEEDS.values()] == [16, 14, 23, 22, 17]


@ALL
def test_every_feed_says_all_that_a_row_needs(feed: Feed) -> None:
    assert len(set(feed.needed)) == len(feed.needed)
    assert {"FirstName", "LastName", "CallbackRequired"} <= feed.fields.keys()
    assert feed.key in {*feed.fields, *feed.metadata}
    assert feed.note_in_request or feed.author
    assert not feed.note_in_request or len(feed.notes) == 1
    assert set(feed.marks) <= set(feed.needed)
    assert (feed.header_rows > 1) is bool(feed.marks)
    assert feed.books


@ALL
def test_the_sound_row_of_every_feed_is_sent(feed: Feed) -> None:
    assert isinstance(map_cells(feed, cells(feed), CONTEXT), Mapped)


def test_a_feed_that_reads_a_column_it_does_not_need_is_no_feed() -> None:
    with pytest.raises(ValueError, match="generic reads columns that it does not need: Nickname"):
        dataclasses.replace(GENERIC, fields={**GENERIC.fields, "FirstName": cell("Nickname")})


def test_a_sixth_feed_is_one_more_table() -> None:
    """No code asks which feed it has: a table that nothing here knows of is read, judged, mapped and written back."""
    sixth = Feed(
        name="sixth",
        columns=("Code", "Given", "Family", "Born"),
        born=DayColumn("Born", USUAL_FORMS),
        fields={"FirstName": cell("Given"), "LastName": cell("Family"), "NhsCtasId": cell("Code")},
        help_needed=constant("Sixth"),
        metadata={},
        key="NhsCtasId",
        author="Data Ingestion: Sixth",
        notes=(),
        books=SPL.books,
    )
    row = dict(zip(sixth.columns, ("c1", "Ada", "Sample", "1/2/1990"), strict=True))
    result = map_cells(sixth, row, CONTEXT)
    assert isinstance(result, Mapped)
    assert result.key == "c1"
    assert result.payload == {
        "FirstName": "Ada",
        "LastName": "Sample",
        "NhsCtasId": "c1",
        "DobDay": "1",
        "DobMonth": "2",
        "DobYear": "1990",
        "HelpNeeded": "Sixth",
    }


@pytest.mark.parametrize(
    ("feed", "days", "is_sent"),
    [
        (CONTACT_TRACING, 13, True),
        (CONTACT_TRACING, 14, False),
        (CONTACT_TRACING, -30, True),
        (SELF_ISOLATION, 6, True),
        (SELF_ISOLATION, 7, False),
        (SELF_ISOLATION, -1, True),
        (SELF_ISOLATION, 80, False),
    ],
)
def test_a_test_counts_until_its_age_is_reached(feed: Feed, days: int, is_sent: bool) -> None:
    tested = TODAY - timedelta(days=days)
    for text in (f"{tested:%d/%m/%Y}", tested.isoformat(), f"{tested:%d/%m/%Y} 23:59"):
        result = map_cells(feed, cells(feed, {"Date Tested": text}), CONTEXT)
        assert isinstance(result, Mapped) if is_sent else result == Skipped(Skip.TESTED_EARLIER)


@pytest.mark.parametrize(
    ("feed", "changes", "verdict"),
    [
        (CONTACT_TRACING, {"Date Tested": ""}, Skipped(Skip.NOT_TESTED)),
        (SELF_ISOLATION, {"Date Tested": ""}, Skipped(Skip.NOT_TESTED)),
        (
            CONTACT_TRACING,
            {"Date Tested": "44520"},
            Rejected(BadDay.SERIAL, "Date Tested", filtered=True),
        ),
        (CONTACT_TRACING, {"Account ID": "excluded1"}, Skipped(Skip.EXCLUDED)),
        (CONTACT_TRACING, {"UTLA": "Islington"}, Skipped(Skip.ELSEWHERE)),
        (CONTACT_TRACING, {"UTLA": "hackney"}, Skipped(Skip.ELSEWHERE)),
        (CONTACT_TRACING, {"UTLA": ""}, Skipped(Skip.ELSEWHERE)),
        (SELF_ISOLATION, {"Status Report": "failed"}, Skipped(Skip.NOT_COMPLETED)),
        (
            SELF_ISOLATION,
            {"LA Support Required": "0", "LA Support Letter Received": ""},
            Skipped(Skip.NO_SUPPORT),
        ),
        (
            SELF_ISOLATION,
            {"LA Support Required": "1.0", "LA Support Letter Received": "yes"},
            Skipped(Skip.NO_SUPPORT),
        ),
        (
            GENERIC,
            {"Help Request Type": "unknown"},
            Rejected(Reject.UNKNOWN_TYPE, "Help Request Type", filtered=True),
        ),
        (GENERIC, {"Help Request Type": ""}, Rejected(Reject.UNKNOWN_TYPE, "Help Request Type", filtered=True)),
        (GENERIC, {"Subtype": "Painting"}, Rejected(Reject.UNKNOWN_SUBTYPE, "Subtype", filtered=True)),
    ],
)
def test_each_filter_says_why(feed: Feed, changes: dict[str, str], verdict: Skipped | Rejected) -> None:
    assert unsent(feed, changes) == verdict


@pytest.mark.parametrize(
    ("feed", "changes", "verdict"),
    [
        (
            CONTACT_TRACING,
            {"Date Tested": "", "Account ID": "excluded1", "UTLA": "Islington"},
            Skipped(Skip.NOT_TESTED),
        ),
        (CONTACT_TRACING, {"Account ID": "excluded1", "UTLA": "Islington"}, Skipped(Skip.EXCLUDED)),
        (CONTACT_TRACING, {"UTLA": "Islington", "Date of Birth": "bad"}, Skipped(Skip.ELSEWHERE)),
        (
            SELF_ISOLATION,
            {"Status Report": "", "LA Support Letter Received": "", "Date Tested": ""},
            Skipped(Skip.NOT_COMPLETED),
        ),
        (SELF_ISOLATION, {"LA Support Letter Received": "", "Date Tested": ""}, Skipped(Skip.NO_SUPPORT)),
        (
            GENERIC,
            {"Help Request Type": "?", "Subtype": "?"},
            Rejected(Reject.UNKNOWN_TYPE, "Help Request Type", filtered=True),
        ),
    ],
)
def test_filters_judge_in_their_order_and_before_anything_else(
    feed: Feed, changes: dict[str, str], verdict: Skipped | Rejected
) -> None:
    assert unsent(feed, changes) == verdict


@pytest.mark.parametrize(
    ("setting", "excluded"),
    [("", set()), (" a1 ,b2,", {"a1", "b2"}), (",  ,", set()), ("a1", {"a1"}), ("a1\n, b2", {"a1", "b2"})],
)
def test_excluded_ids_are_trimmed_and_a_blank_one_excludes_nobody(setting: str, excluded: set[str]) -> None:
    """The reference trims none of them, and does not start without the setting."""
    assert read_excluded(setting) == excluded


@pytest.mark.parametrize("place", ["Hackney", "CityofLondon", "City of London"])
def test_hackney_and_both_names_of_the_city_are_sent(place: str) -> None:
    assert mapped(CONTACT_TRACING, {"UTLA": place})


def test_a_place_with_blanks_around_it_is_itself() -> None:
    """Every needed cell is trimmed, where the reference forgets this one."""
    sheet = read_sheet(lines(CONTACT_TRACING, {"UTLA": " Hackney "}), CONTACT_TRACING)
    assert isinstance(map_cells(CONTACT_TRACING, sheet.cells(next(sheet.rows)), CONTEXT), Mapped)


@pytest.mark.parametrize("status", ["completed", "COMPLETED", "Completed"])
def test_a_status_is_completed_in_any_case(status: str) -> None:
    assert mapped(SELF_ISOLATION, {"Status Report": status})


@pytest.mark.parametrize(
    ("house", "line", "address"),
    [
        ("7", "Mare Street", "7 Mare Street"),
        ("7", "", "7"),
        ("", "Mare Street", "Mare Street"),
        ("7 Mare Street", "7 Mare Street", "7 Mare Street"),
        ("", "", ""),
    ],
)
def test_a_house_number_goes_before_its_street(house: str, line: str, address: str) -> None:
    assert house_and_line(house, line) == address
