from __future__ import annotations

import pytest

from pipelines.domains.residents.dates import BadDay
from pipelines.domains.residents.faults import Oddity, Reject, Rejected, Skip, Skipped, Warned
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.rows import Mapped, is_identifiable, map_cells, map_row
from pipelines.domains.residents.sheet import Line, read_sheet
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    CONTEXT,
    GENERIC,
    NSSS,
    SELF_ISOLATION,
    SPL,
    cells,
    mapped,
    unsent,
)

ALL = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)

NAMES = {"FirstName": "Mr", "LastName": "Zebra"}


@pytest.mark.parametrize(
    ("payload", "enough"),
    [
        ({}, False),
        (NAMES, False),
        (NAMES | {"DobDay": "1", "DobMonth": "2", "DobYear": "1990"}, True),
        (NAMES | {"NhsCtasId": "a1"}, True),
        (NAMES | {"Uprn": "1"}, True),
        (NAMES | {"ContactTelephoneNumber": "1"}, True),
        (NAMES | {"ContactMobileNumber": "1"}, True),
        (NAMES | {"EmailAddress": "a@b"}, True),
        (NAMES | {"Postcode": "E8 1AA", "AddressFirstLine": "1"}, False),
        ({"LastName": "Zebra", "EmailAddress": "a@b"}, False),
        ({"FirstName": "Mr", "EmailAddress": "a@b"}, False),
        ({"NhsNumber": "9434765919"}, True),
    ],
)
def test_a_person_is_told_by_an_nhs_number_or_by_both_names_and_one_thing_more(
    payload: dict[str, str], enough: bool
) -> None:
    assert is_identifiable(payload) is enough


def test_an_nhs_number_of_blanks_does_not_tell_a_person() -> None:
    """In the reference it counts, and such people are all one to the API."""
    changes = dict.fromkeys(CONTACT_TRACING.needed, "") | {"Date Tested": "20/11/2021", "UTLA": "Hackney"}
    row = cells(CONTACT_TRACING) | changes | {"NHS Number": "   ", "Forename": "Ada"}
    lines = [Line(CONTACT_TRACING.needed), Line([row[column] for column in CONTACT_TRACING.needed])]
    sheet = read_sheet(lines, CONTACT_TRACING)
    assert map_row(sheet, next(sheet.rows), CONTEXT) == Rejected(Reject.UNIDENTIFIABLE)


@ALL
def test_no_blank_is_ever_sent(feed: Feed) -> None:
    """Blank cells would erase what is stored, and blank ids match each other."""
    kept = {"Date Tested", "UTLA", "Status Report", "LA Support Letter Received", "Help Request Type"}
    blanks = {column: "" for column in feed.needed if column not in kept}
    names = {source.columns[0]: "Ada" for name, source in feed.fields.items() if name in ("FirstName", "LastName")}
    born = {feed.born.name: "1990-02-01"}
    result = mapped(feed, blanks | names | born)
    values = [*result.payload.values(), *result.payload.get("Metadata", {}).values(), *result.notes]
    assert "" not in values
    assert {} not in values
    assert result.payload.keys() & {"Uprn", "NhsNumber", "NhsCtasId", "EmailAddress", "Postcode"} == set()
    assert (result.key == "") is (feed is not GENERIC)


@pytest.mark.parametrize(
    "name", ["McTesty", "O'NEIL", "mary jane", "nan", "NaN", "None", "Infinity", "de la Cruz", "李"]
)
@ALL
def test_names_are_sent_as_they_are_written(feed: Feed, name: str) -> None:
    (column,) = feed.fields["LastName"].columns
    assert mapped(feed, {column: name}).payload["LastName"] == name


@pytest.mark.parametrize(
    ("column", "text", "name"),
    [
        ("contact_number_calls", "07344211233", "ContactTelephoneNumber"),
        ("contact_number_texts", "+447344211233", "ContactMobileNumber"),
        ("contact_number_calls", "07344 211233", "ContactTelephoneNumber"),
        ("nhs_number", "485 777 3456", "NhsNumber"),
        ("address_uprn", "00123", "Uprn"),
        ("address_uprn", "1.00083E+10", "Uprn"),
        ("address_line2", "=HYPERLINK(\"http://x\", 'y')", "AddressSecondLine"),
        ("address_line2", 'the "old"\nmill', "AddressSecondLine"),
        ("address_line2", "1_0", "AddressSecondLine"),
    ],
)
def test_cells_are_text_and_reach_the_api_as_it(column: str, text: str, name: str) -> None:
    """The reference makes numbers of them: zeros and plus signs are lost."""
    assert mapped(NSSS, {column: text}).payload[name] == text


@pytest.mark.parametrize("key", ["00123", "12e45678", "5e123456", "nan", "inf", "A00C886C-6994"])
def test_ids_stay_apart_that_the_reference_takes_for_one_number(key: str) -> None:
    result = mapped(NSSS, {"ID": key})
    assert result.key == key
    assert result.payload["Metadata"] == {"nsss_id": key}
    assert mapped(CONTACT_TRACING, {"Account ID": key}).payload["NhsCtasId"] == key


@ALL
def test_a_bad_day_of_birth_rejects_its_row_by_the_name_of_its_column(feed: Feed) -> None:
    for text, reason in (("22/02/63", BadDay.TWO_DIGIT_YEAR), ("31/02/2000", BadDay.IMPOSSIBLE)):
        assert unsent(feed, {feed.born.name: text}) == Rejected(reason, feed.born.name)


@ALL
def test_without_a_day_of_birth_none_is_sent(feed: Feed) -> None:
    payload = mapped(feed, {feed.born.name: ""}).payload
    assert not payload.keys() & {"DobDay", "DobMonth", "DobYear"}


@pytest.mark.parametrize("key", ["100%", "a_b", "a\\b", "%"])
@pytest.mark.parametrize(("feed", "column"), [(NSSS, "ID"), (SPL, "Traced_NHSNUMBER")])
def test_an_id_that_would_match_other_peoples_requests_is_not_sent(feed: Feed, column: str, key: str) -> None:
    """The API compares these with LIKE."""
    assert unsent(feed, {column: key}) == Rejected(Reject.WILDCARD, column)


@pytest.mark.parametrize("text", ["a\0b", "half \ud800 pair"])
def test_a_character_that_no_database_holds_rejects_its_row_by_the_name_of_its_column(text: str) -> None:
    assert unsent(NSSS, {"submission_datetime": text}) == Rejected(Reject.UNSENDABLE, "submission_datetime")
    assert mapped(SELF_ISOLATION, {"Status Report": "completed"})


@pytest.mark.parametrize("feed", [NSSS, SPL, SELF_ISOLATION, GENERIC, CONTACT_TRACING])
def test_a_blank_row_is_skipped_and_one_with_something_else_in_it_is_judged(feed: Feed) -> None:
    header = (*feed.needed, "extra")
    lines = [Line(header), Line(()), Line((*[""] * len(feed.needed), "something"))]
    sheet = read_sheet(lines, feed)
    blank, other = (map_row(sheet, row, CONTEXT) for row in sheet.rows)
    assert blank == Skipped(Skip.BLANK)
    assert isinstance(other, Skipped | Rejected)
    assert other != blank


@pytest.mark.parametrize(
    ("feed", "changes", "numbers", "warnings"),
    [
        (NSSS, {"nhs_number": "9434765919", "address_line1": ""}, (), ()),
        (NSSS, {}, (), (Warned(Oddity.NHS_NUMBER, "nhs_number"), Warned(Oddity.ADDRESS))),
        (
            NSSS,
            {"nhs_number": "9434765919", "contact_number_calls": "7344211233"},
            ("contact_number_calls", "do_you_want_supermarket_deliveries"),
            (
                Warned(Oddity.NUMERIC, "contact_number_calls"),
                Warned(Oddity.PHONE, "contact_number_calls"),
                Warned(Oddity.ADDRESS),
            ),
        ),
        (NSSS, {"nhs_number": "9434765919"}, ("ID",), (Warned(Oddity.NUMERIC, "ID"), Warned(Oddity.ADDRESS))),
        (
            NSSS,
            {"nhs_number": "9434765919", "address_postcode": "Bedrock", "address_uprn": "1.00083E+10"},
            ("address_line1",),
            (
                Warned(Oddity.UPRN, "address_uprn"),
                Warned(Oddity.POSTCODE, "address_postcode"),
                Warned(Oddity.ADDRESS),
            ),
        ),
        (
            SPL,
            {"Traced_NHSNUMBER": "9434765918"},
            ("Traced_NHSNUMBER",),
            (
                Warned(Oddity.NUMERIC, "Traced_NHSNUMBER"),
                Warned(Oddity.NHS_NUMBER, "Traced_NHSNUMBER"),
                Warned(Oddity.ADDRESS),
            ),
        ),
        (
            GENERIC,
            {"Email": "none"},
            ("Help Request Type",),
            (Warned(Oddity.EMAIL, "Email"), Warned(Oddity.ADDRESS)),
        ),
        (GENERIC, {"Email": "", "Address Line 2": "Flat 1"}, (), ()),
        (GENERIC, {"Address Line 2": "Flat 1", "UPRN": ""}, (), (Warned(Oddity.ADDRESS),)),
        (GENERIC, {"Postcode": ""}, (), ()),
        (CONTACT_TRACING, {"NHS Number": "", "House Number": "", "Account ID": ""}, (), (Warned(Oddity.NO_KEY),)),
        (
            CONTACT_TRACING,
            {"NHS Number": ""},
            ("Account ID", "Comments"),
            (Warned(Oddity.NUMERIC, "Account ID"), Warned(Oddity.ADDRESS)),
        ),
        (CONTACT_TRACING, {"NHS Number": "", "House Number": ""}, (), ()),
    ],
)
def test_what_is_odd_is_said_by_name_and_sent(
    feed: Feed, changes: dict[str, str], numbers: tuple[str, ...], warnings: tuple[Warned, ...]
) -> None:
    result = map_cells(feed, cells(feed, changes), CONTEXT, numbers)
    assert isinstance(result, Mapped)
    assert set(result.warnings) == set(warnings)
    assert len(result.warnings) == len(warnings)


def test_cells_beyond_the_header_are_said() -> None:
    row = cells(GENERIC)
    sheet = read_sheet([Line(GENERIC.needed), Line((*row.values(), "beyond"))], GENERIC)
    result = map_row(sheet, next(sheet.rows), CONTEXT)
    assert isinstance(result, Mapped)
    assert Warned(Oddity.BEYOND_HEADER) in result.warnings


def test_an_address_without_an_at_sign_is_not_sent() -> None:
    assert "EmailAddress" not in mapped(GENERIC, {"Email": "none"}).payload


def test_an_empty_comment_makes_no_note() -> None:
    assert mapped(CONTACT_TRACING, {"Comments": ""}).notes == ()
    assert "CaseNotes" not in mapped(CONTACT_TRACING, {"Comments": "call"}).payload


def test_a_note_that_stands_twice_in_a_row_is_one() -> None:
    """Nobody could tell after a lost answer whether the second was stored."""
    notes = mapped(GENERIC, {"Case Note 1": "1", "Case Note 2": "2", "Case Note 3": "1"}).notes
    assert notes == ("Note from Data Ingestion: 1", "Note from Data Ingestion: 2")


@ALL
def test_nothing_of_a_person_is_in_a_text_about_the_row(feed: Feed) -> None:
    result = mapped(feed)
    names = [result.payload["LastName"], result.payload["FirstName"], result.payload["Postcode"], result.key]
    assert not any(name in repr(result) for name in names)
    assert not any(name in str(warned) for name in names for warned in result.warnings)
