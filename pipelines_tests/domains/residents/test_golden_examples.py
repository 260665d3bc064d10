"""The contract's golden examples, from a row to what is sent and written back.

Each differs from the reference only where a rule of ours says so; the test then names the rule. The others are in the
tests of what they are about: names of spreadsheets (2), answers (11), identifiability and dates (12).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from pipelines.domains.residents.faults import Rejected, Skipped
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.outbound import make_workbooks
from pipelines.domains.residents.outcomes import tell_sent
from pipelines.domains.residents.progress import plan_row
from pipelines.domains.residents.rows import map_cells
from pipelines.domains.residents.sheet import read_sheet
from pipelines_tests.domains.residents.api_model import Api, send
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    CONTEXT,
    GENERIC,
    NSSS,
    SELF_ISOLATION,
    SPL,
    TODAY,
    cells,
    lines,
    mapped,
)


def without_blanks(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The rule: blanks are left out of the request, since they would erase what is stored."""
    return {name: value for name, value in payload.items() if value != ""}


def send_all(feed: Feed, *rows: dict[str, str]) -> Api:
    """Sends the rows that are to be sent, one after another."""
    api = Api()
    for row in rows:
        result = map_cells(feed, cells(feed, row), CONTEXT)
        if not isinstance(result, Skipped | Rejected):
            send(plan_row(feed, result), api)
    return api


def test_golden_1_contact_tracing() -> None:
    """Our rules: blanks are left out; an empty comment is no note; names are not capitalised; a number is its text."""
    assert mapped(CONTACT_TRACING).payload == without_blanks(
        {
            "Postcode": "E95HX",
            "AddressFirstLine": "84",
            "HelpWithSomethingElse": True,
            "FirstName": "Test",
            "LastName": "McTesty",  # the reference: Mctesty
            "DobDay": "12",
            "DobMonth": "11",
            "DobYear": "1998",
            "ContactTelephoneNumber": "",
            "ContactMobileNumber": "",
            "EmailAddress": "",
            "CallbackRequired": True,
            "CaseNotes": "",
            "HelpNeeded": "Contact Tracing",
            "NhsNumber": "1111122222",  # the reference: the number
            "NhsCtasId": "dd034b2100",
            "Metadata": {"first_symptomatic_at": "08/12/2020", "date_tested": "20/11/2021"},
        }
    )


def test_golden_1_a_comment_goes_with_the_request_as_it_is() -> None:
    api = send_all(CONTACT_TRACING, {"Comments": "call after 5"})
    assert api.sent == [dict(mapped(CONTACT_TRACING).payload) | {"CaseNotes": "call after 5"}]
    assert api.calls == ["CreateRequest"]


NSSS_NOTE = (
    "CEV: Dec 2020 Tier 4 NSSS Submitted on:  2021-02-05T03:10:31Z. Do you want supermarket deliveries? No. "
    "Do you have someone to go shopping for you? No. Do you need someone to contact you about local support? yes."
)


def test_golden_4_nsss() -> None:
    """Our rule: blanks are left out."""
    result = mapped(NSSS)
    assert result.payload == without_blanks(
        {
            "Metadata": {"nsss_id": "123123"},
            "Uprn": "",
            "Postcode": "BR2 9FF",
            "AddressFirstLine": "45 Cave Stone Road",
            "AddressSecondLine": "",
            "AddressThirdLine": "Bedrock",
            "HelpWithSomethingElse": True,
            "FirstName": "Fred",
            "LastName": "Flintstone",
            "DobDay": "22",
            "DobMonth": "2",
            "DobYear": "1963",
            "ContactTelephoneNumber": "07344211233",
            "ContactMobileNumber": "02344211233",
            "EmailAddress": "fred@rocks.st",
            "CallbackRequired": True,
            "HelpNeeded": "Shielding",
            "NhsNumber": "1234567890",
        }
    )
    assert result.notes == (NSSS_NOTE,)


def test_golden_4_a_note_that_is_there_is_not_added() -> None:
    assert send_all(NSSS, {}, {}).calls == ["CreateRequest", "ReadRequest", "AddNote", "CreateRequest", "ReadRequest"]


@pytest.mark.parametrize(
    ("answer", "is_required"), [("Yes", True), ("YES", True), ("No", False), ("", False), ("y", False)]
)
def test_nsss_asks_for_a_call_where_the_answer_is_yes_in_any_case(answer: str, is_required: bool) -> None:
    column = "do_you_need_someone_to_contact_you_about_local_support"
    assert mapped(NSSS, {column: answer}).payload["CallbackRequired"] is is_required


def test_golden_6_spl() -> None:
    """Our rule: blanks are left out."""
    result = mapped(SPL)
    assert result.payload == without_blanks(
        {
            "Metadata": {"spl_id": "2649260211"},
            "Uprn": "10008326160",
            "Postcode": "TS1 2SP",
            "AddressFirstLine": "742 Evergreen Terrace",
            "AddressSecondLine": "",
            "AddressThirdLine": "Springfield",
            "HelpWithSomethingElse": True,
            "FirstName": "Homer",
            "LastName": "Simpson",
            "DobDay": "12",
            "DobMonth": "5",
            "DobYear": "1956",
            "ContactTelephoneNumber": "0278460422",
            "ContactMobileNumber": "0723083534",
            "EmailAddress": "homer@email.com",
            "CallbackRequired": False,
            "HelpNeeded": "Shielding",
            "NhsNumber": "2649260211",
        }
    )
    assert result.notes == ("SPL Category: Added by COVID-19 Population Risk Assessment.",)


def test_golden_6_the_outbound_row_gets_its_ids() -> None:
    sheet = read_sheet(lines(SPL, {}), SPL)
    ((page,),) = (book.pages for book in make_workbooks(sheet, "file", TODAY))
    plan = plan_row(SPL, mapped(SPL))
    told = page.cells(next(sheet.rows), tell_sent(plan, send(plan, Api())))
    assert told is not None
    assert dict(zip(page.columns, told, strict=True)) | {"warnings": ""} == cells(SPL) | {
        "resident_id": "1",
        "help_request_id": "1",
        "outcome": "sent",
        "reason": "",
        "warnings": "",
    }


def test_spl_notes_a_death_and_sends_the_row() -> None:
    result = mapped(SPL, {"category": "Deceased", "DateOfDeath": "21-02-2021"})
    assert result.notes == ("SPL Category: Deceased. Date of death: 21-02-2021",)


def test_golden_8_self_isolation() -> None:
    """Our rule: a blank is left out of the metadata too, where the reference sends an empty text."""
    base = {"Date Tested": f"{TODAY:%d/%m/%Y}"}
    rows = [
        base
        | {"ID": str(place), "NHS Number": "", "LA Support Letter Received": letter, "LA Support Required": required}
        for place, (letter, required) in enumerate([("1", "0"), ("", "1"), ("1", "1")])
    ]
    api = send_all(SELF_ISOLATION, *rows)
    requests = [sent for sent in api.sent if "Metadata" in sent]
    assert [sent["Metadata"] for sent in requests] == [
        {"LA_support_required": "0", "LA_support_letter_received": "1"},
        {"LA_support_required": "1"},  # the reference: and LA_support_letter_received ""
        {"LA_support_required": "1", "LA_support_letter_received": "1"},
    ]
    cases = [sent for sent in api.sent if "Metadata" not in sent]
    assert cases == [{"CallbackRequired": False, "HelpNeeded": "Shielding"}] * 2
    assert (api.calls.count("ListCases"), api.calls.count("CreateCase")) == (2, 2)


def test_golden_8_the_extra_case_is_told_where_it_was_added() -> None:
    api = Api()
    told = []
    for place, letter in enumerate(["1", "", "1"]):
        changes = {"ID": str(place), "NHS Number": "", "LA Support Letter Received": letter, "LA Support Required": "1"}
        plan = plan_row(SELF_ISOLATION, mapped(SELF_ISOLATION, changes))
        told.append(tell_sent(plan, send(plan, api)).case)
    assert told == [2, None, 5]
    note = "--- self-reported CEV resident identified through self-isolation support process ---"
    assert [note in "".join(api.requests[case - 1].notes) for case in (2, 5)] == [True, True]


@pytest.mark.parametrize(
    ("column", "texts", "sent"),
    [
        ("Status Report", ["completed", "failed", "completed"], 2),
        ("Date Tested", [f"{TODAY - timedelta(days=age):%d/%m/%Y}" for age in (80, 7, 6)], 1),
        ("Date Tested", [""], 0),
    ],
)
def test_golden_8_which_rows_are_sent(column: str, texts: list[str], sent: int) -> None:
    api = send_all(SELF_ISOLATION, *({"ID": str(place), column: text} for place, text in enumerate(texts)))
    assert api.calls.count("CreateRequest") == sent


def test_self_isolation_payload_and_notes() -> None:
    """By the contract's table; the two phones are the other way round than in contact tracing."""
    outcomes = {"Day 4 Outcome": "a", "Day 10 Outcome": "c", "Comments": "d"}
    result = mapped(SELF_ISOLATION, outcomes)
    assert result.payload == {
        "Metadata": {"LA_support_required": "0", "LA_support_letter_received": "1"},
        "Uprn": "00123",
        "Postcode": "E8 1AA",
        "AddressFirstLine": "7 Mare Street",
        "AddressThirdLine": "London",
        "FirstName": "Ada",
        "LastName": "Sample",
        "DobDay": "1",
        "DobMonth": "2",
        "DobYear": "1990",
        "ContactTelephoneNumber": "02079460001",
        "ContactMobileNumber": "07700900001",
        "EmailAddress": "ada@sample.test",
        "NhsNumber": "4010232137",
        "CallbackRequired": True,
        "HelpNeeded": "Welfare Call",
        "NhsCtasId": "5270010",
    }
    assert result.notes == ("Day 4 Outcome: a", "Day 10 Outcome: c", "Comments: d")
    assert result.wants_case


@pytest.mark.parametrize(
    ("types", "subtypes", "sent"),
    [(["EUSS", "unknown", "EUSS"], [""] * 3, 2), (["EUSS", "Link Work", "Link Work"], ["Repairs", "", "Repairs"], 3)],
)
def test_golden_10_which_rows_are_sent(types: list[str], subtypes: list[str], sent: int) -> None:
    rows = [
        {"Help Request Type": kind, "Subtype": subtype, "Surname": f"Example{place}"}
        for place, (kind, subtype) in enumerate(zip(types, subtypes, strict=True))
    ]
    assert send_all(GENERIC, *rows).calls.count("CreateRequest") == sent


@pytest.mark.parametrize(
    ("kind", "subtype", "key", "help_needed", "told"),
    [
        ("EUSS", "", "EUSS", "EUSS", None),
        ("euss", "repairs", "EUSSRepairs", "EUSS", "Repairs"),
        ("Link Work", "", "LinkWork", "Link Work", None),
        ("LINK WORK", "REPAIRS", "LinkWorkRepairs", "Link Work", "Repairs"),
    ],
)
def test_golden_10_generic(kind: str, subtype: str, key: str, help_needed: str, told: str | None) -> None:
    """Our rule: a blank subtype is left out."""
    result = mapped(GENERIC, {"Help Request Type": kind, "Subtype": subtype})
    expected = {
        "Metadata": {"Author": "Data Ingestion: Generic Ingestion", "generic_ingestion_id": key},
        "Postcode": "N1 1AA",
        "Uprn": "100023",
        "AddressFirstLine": "1 Made Up Road",
        "AddressThirdLine": "London",
        "FirstName": "Grace",
        "LastName": "Example",
        "DobDay": "1",
        "DobMonth": "2",
        "DobYear": "1980",
        "ContactTelephoneNumber": "02079460002",
        "ContactMobileNumber": "07700900002",
        "EmailAddress": "grace@example.test",
        "CallbackRequired": True,
        "HelpNeeded": help_needed,
    }
    assert result.payload == expected | ({"HelpNeededSubtype": told} if told else {})
    assert result.notes == ("Note from Data Ingestion: 1",)
