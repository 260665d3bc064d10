"""Whom the API takes for the same person or the same request, and what it overwrites: rule by rule, faults included."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sandbox.here_to_help import Counts, HereToHelp, give_way, running
from pipelines.sandbox.here_to_help.rules import as_glob, as_jsonb, is_plain
from pipelines_tests.sandbox.plain_calls import KEY, call, get, post

Fields = dict[str, object]
ADA: Fields = {"FirstName": "Ada", "LastName": "Byron"}
DOB: Fields = {"DobDay": "09", "DobMonth": "03", "DobYear": "1941"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[HereToHelp]:
    with running(tmp_path / "api", KEY) as started:
        yield started


def resident_of(api: HereToHelp, request_id: int) -> int:
    return int(get(api.url, request_id)["ResidentId"])


# Residents


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"NhsNumber": "111 222 3333"}, {"NhsNumber": "1112223333"}, id="nhs, blanks inside"),
        pytest.param(ADA | {"NhsNumber": "1"}, {"FirstName": "B", "LastName": "C", "NhsNumber": "1"}, id="nhs, names"),
        pytest.param(ADA | {"Uprn": "10008"}, ADA | {"Uprn": " 10008 "}, id="uprn"),
        pytest.param(
            ADA | {"Uprn": "1"}, {"FirstName": " ADA ", "LastName": "byron", "Uprn": "1"}, id="names, case and blanks"
        ),
        pytest.param(ADA | DOB, ADA | {"DobDay": "9", "DobMonth": "3", "DobYear": "1941"}, id="dob, zeros"),
        pytest.param(ADA | DOB | {"DobMonth": "March"}, ADA | DOB | {"DobMonth": "MARCH"}, id="dob, month in any case"),
        pytest.param(
            ADA | {"NhsCtasId": "ab1", "HelpNeeded": "Shielding"},
            ADA | {"NhsCtasId": " AB1 ", "HelpNeeded": "Contact Tracing"},
            id="ctas id of one of the requests",
        ),
        pytest.param(ADA | {"EmailAddress": "a@b.c"}, ADA | {"EmailAddress": " A@B.C"}, id="email"),
        pytest.param(ADA | {"ContactMobileNumber": "07"}, ADA | {"ContactMobileNumber": "07 "}, id="mobile"),
        pytest.param(ADA | {"ContactTelephoneNumber": "07"}, ADA | {"ContactMobileNumber": "07"}, id="mobile is phone"),
        pytest.param(ADA | {"ContactTelephoneNumber": "02"}, ADA | {"ContactTelephoneNumber": "02"}, id="phone"),
        pytest.param(ADA | {"ContactMobileNumber": "02"}, ADA | {"ContactTelephoneNumber": "02"}, id="phone is mobile"),
    ],
)
def test_the_same_person(api: HereToHelp, first: Fields, second: Fields) -> None:
    assert resident_of(api, post(api.url, **first)) == resident_of(api, post(api.url, **second))
    assert api.count() == Counts(residents=1, help_requests=2, case_notes=0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(ADA, ADA, id="names alone"),
        pytest.param(ADA | {"NhsNumber": " "}, ADA | {"NhsNumber": ""}, id="blank nhs"),
        pytest.param(ADA | {"Uprn": ""}, ADA | {"Uprn": ""}, id="blank uprn"),
        pytest.param(ADA | {"EmailAddress": ""}, ADA | {"EmailAddress": ""}, id="blank email"),
        pytest.param(ADA | {"ContactMobileNumber": ""}, ADA | {"ContactMobileNumber": ""}, id="blank phone"),
        pytest.param(
            ADA | DOB | {"DobDay": ""}, ADA | DOB | {"DobDay": ""}, id="two of three parts of a date of birth"
        ),
        pytest.param(ADA | DOB, ADA | DOB | {"DobYear": "41"}, id="another year"),
        pytest.param(ADA | {"Uprn": "1"}, {"FirstName": "Ada", "LastName": "King", "Uprn": "1"}, id="another name"),
        pytest.param({"FirstName": "Ada", "Uprn": "1"}, {"FirstName": "Ada", "Uprn": "1"}, id="half a name"),
        pytest.param(
            ADA | {"Postcode": "E8", "AddressFirstLine": "1"},
            ADA | {"Postcode": "E8", "AddressFirstLine": "1"},
            id="address",
        ),
        pytest.param(
            ADA | {"NhsCtasId": "", "HelpNeeded": "A"}, ADA | {"NhsCtasId": "", "HelpNeeded": "B"}, id="blank ctas"
        ),
    ],
)
def test_not_the_same_person(api: HereToHelp, first: Fields, second: Fields) -> None:
    assert resident_of(api, post(api.url, **first)) != resident_of(api, post(api.url, **second))


RULES: list[Fields] = [
    {"NhsNumber": "1"},
    {"Uprn": "2"},
    DOB,
    {"NhsCtasId": "c", "HelpNeeded": "Link Work"},
    {"EmailAddress": "a@b.c"},
    {"ContactMobileNumber": "07"},
    {"ContactTelephoneNumber": "02"},
]


@pytest.mark.parametrize("rule", range(len(RULES) - 1))
def test_the_first_rule_that_hits_wins(api: HereToHelp, rule: int) -> None:
    """Whom the rules before find is taken, though another one fits a later rule and came first."""
    later = post(api.url, **ADA, **RULES[rule + 1])
    earlier = post(api.url, **ADA, **RULES[rule])
    assert resident_of(api, earlier) != resident_of(api, later)
    both = ADA | RULES[rule] | RULES[rule + 1] | {"HelpNeeded": "EUSS"}  # of no request, so that a new one is made
    assert resident_of(api, post(api.url, **both)) == resident_of(api, earlier)


PATCHES: list[tuple[Fields, Fields, Fields]] = [
    ({"EmailAddress": "a@b.c"}, {"EmailAddress": ""}, {"EmailAddress": ""}),
    ({"EmailAddress": "a@b.c"}, {"EmailAddress": None}, {"EmailAddress": "a@b.c"}),
    ({"EmailAddress": "a@b.c"}, {}, {"EmailAddress": "a@b.c"}),
    (ADA, {"FirstName": "Augusta", "LastName": ""}, {"FirstName": "Augusta", "LastName": ""}),
    (DOB, {"DobDay": "1", "DobMonth": "", "DobYear": "1999"}, {"DobDay": "1", "DobMonth": "", "DobYear": "1999"}),
    ({}, {"NhsNumber": "1 "}, {"NhsNumber": "1 "}),
    (
        {"GpSurgeryDetails": "a", "NameAddressPharmacist": "b", "NumberOfChildrenUnder18": "1"},
        {"GpSurgeryDetails": "c", "NameAddressPharmacist": "", "NumberOfChildrenUnder18": "2"},
        {"GpSurgeryDetails": "c", "NameAddressPharmacist": "", "NumberOfChildrenUnder18": "2"},
    ),
    (
        {"ConsentToShare": True, "IsPharmacistAbleToDeliver": True, "RecordStatus": "x"},
        {"ConsentToShare": False, "IsPharmacistAbleToDeliver": None, "RecordStatus": "y"},
        {"ConsentToShare": False, "IsPharmacistAbleToDeliver": True, "RecordStatus": "y"},
    ),
    # The address goes as a whole or not at all.
    (
        {"AddressFirstLine": "1", "AddressSecondLine": "2", "AddressThirdLine": "3", "Postcode": "E8", "Uprn": "9"},
        {"AddressFirstLine": "7", "Postcode": "N1"},
        {
            "AddressFirstLine": "7",
            "AddressSecondLine": None,
            "AddressThirdLine": None,
            "Postcode": "N1",
            "Uprn": None,
            "Ward": None,
        },
    ),
    (
        {"AddressFirstLine": "1", "AddressSecondLine": "2", "Postcode": "E8", "Uprn": "9", "Ward": "w"},
        {"AddressFirstLine": "7", "AddressSecondLine": "8", "Uprn": "5", "Ward": "v"},
        {"AddressFirstLine": "1", "AddressSecondLine": "2", "Postcode": "E8", "Uprn": "9", "Ward": "w"},
    ),
    (
        {"AddressFirstLine": "1", "Postcode": "E8"},
        {"Postcode": "N1", "AddressSecondLine": "8"},
        {"AddressFirstLine": "1", "Postcode": "E8"},
    ),
    ({"AddressFirstLine": "1", "Postcode": "E8"}, {"AddressFirstLine": "", "Postcode": ""}, {"Postcode": ""}),
    # Phones grow.
    ({}, {"ContactMobileNumber": "07"}, {"ContactMobileNumber": "07"}),
    ({"ContactMobileNumber": ""}, {"ContactMobileNumber": "07"}, {"ContactMobileNumber": "07"}),
    ({"ContactMobileNumber": "07"}, {"ContactMobileNumber": ""}, {"ContactMobileNumber": "07"}),
    ({"ContactMobileNumber": "07"}, {}, {"ContactMobileNumber": "07"}),
    ({"ContactMobileNumber": "0712"}, {"ContactMobileNumber": "71"}, {"ContactMobileNumber": "0712"}),
    ({"ContactMobileNumber": "07"}, {"ContactMobileNumber": "08"}, {"ContactMobileNumber": "07 / 08"}),
    ({"ContactTelephoneNumber": "02"}, {"ContactTelephoneNumber": "020"}, {"ContactTelephoneNumber": "02 / 020"}),
]


@pytest.mark.parametrize(("first", "second", "expected"), PATCHES)
def test_a_resident_who_is_known_is_patched(api: HereToHelp, first: Fields, second: Fields, expected: Fields) -> None:
    known = {"NhsNumber": "1"}
    request_id = post(api.url, **known | first)
    post(api.url, **known | second)
    assert api.count().residents == 1
    stored = get(api.url, request_id)
    assert {name: stored[name] for name in expected} == expected


def test_phones_that_were_joined_no_longer_find_their_resident(api: HereToHelp) -> None:
    post(api.url, **ADA, NhsNumber="1", ContactMobileNumber="07")
    post(api.url, **ADA, NhsNumber="1", ContactMobileNumber="08")
    post(api.url, **ADA, ContactMobileNumber="07")
    assert api.count().residents == 2


def test_a_patched_resident_is_found_by_what_it_is_now(api: HereToHelp) -> None:
    first = post(api.url, **ADA, NhsNumber="1", EmailAddress="a@b.c")
    post(api.url, NhsNumber="1", FirstName="Eve", EmailAddress="e@b.c")
    assert resident_of(api, post(api.url, FirstName="Eve", LastName="Byron", EmailAddress="e@b.c")) == resident_of(
        api, first
    )
    assert resident_of(api, post(api.url, **ADA, EmailAddress="a@b.c")) != resident_of(api, first)


# Help requests

ONE: Fields = {"NhsNumber": "1"}
TWO: Fields = {"NhsNumber": "2"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            ONE | {"NhsCtasId": "c", "HelpNeeded": "Contact Tracing"},
            TWO | {"NhsCtasId": "c", "HelpNeeded": "CONTACT tracing"},
            id="ctas id and kind in any case, of another resident",
        ),
        pytest.param(
            ONE | {"NhsCtasId": "", "HelpNeeded": "X"}, TWO | {"NhsCtasId": "", "HelpNeeded": "X"}, id="blank ctas ids"
        ),
        pytest.param(
            ONE | {"Metadata": {"nsss_id": "n"}, "HelpNeeded": "A"},
            TWO | {"Metadata": {"nsss_id": "n"}, "HelpNeeded": "B"},
            id="nsss id, any resident, any kind",
        ),
        pytest.param(ONE | {"Metadata": {"spl_id": "n"}}, TWO | {"Metadata": {"spl_id": "n"}}, id="spl id"),
        pytest.param(ONE | {"Metadata": {"spl_id": 12}}, TWO | {"Metadata": {"spl_id": "12"}}, id="spl id, a number"),
        pytest.param(
            ONE | {"Metadata": {"nsss_id": ""}}, TWO | {"Metadata": {"nsss_id": ""}}, id="blank nsss ids: strangers"
        ),
        pytest.param(ONE | {"Metadata": {"spl_id": "abc"}}, TWO | {"Metadata": {"spl_id": "a%"}}, id="percent"),
        pytest.param(ONE | {"Metadata": {"spl_id": "abc"}}, TWO | {"Metadata": {"spl_id": "a_c"}}, id="underscore"),
        pytest.param(ONE | {"Metadata": {"spl_id": "a_c"}}, TWO | {"Metadata": {"spl_id": r"a\_c"}}, id="escaped"),
        pytest.param(ONE | {"Metadata": {"spl_id": "a*["}}, TWO | {"Metadata": {"spl_id": "_*["}}, id="no glob"),
        pytest.param(
            ONE | {"Metadata": {"generic_ingestion_id": "g"}},
            ONE | {"Metadata": {"generic_ingestion_id": "g"}},
            id="generic id, same resident",
        ),
    ],
)
def test_the_same_request(api: HereToHelp, first: Fields, second: Fields) -> None:
    assert post(api.url, **first) == post(api.url, **second)
    assert api.count().help_requests == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(ONE, ONE, id="no mark at all"),
        pytest.param(ONE | {"HelpNeeded": "A"}, ONE | {"HelpNeeded": "A"}, id="kind alone"),
        pytest.param(
            ONE | {"NhsCtasId": "c", "HelpNeeded": "A"}, ONE | {"NhsCtasId": "c", "HelpNeeded": "B"}, id="another kind"
        ),
        pytest.param(
            ONE | {"NhsCtasId": "c", "HelpNeeded": "A"}, ONE | {"NhsCtasId": "C", "HelpNeeded": "A"}, id="case counts"
        ),
        pytest.param(
            ONE | {"NhsCtasId": "c", "HelpNeeded": "A"}, ONE | {"NhsCtasId": "c ", "HelpNeeded": "A"}, id="so do blanks"
        ),
        pytest.param(ONE | {"Metadata": {"spl_id": "a"}}, ONE | {"Metadata": {"nsss_id": "a"}}, id="another feed"),
        pytest.param(ONE | {"Metadata": {"spl_id": "a"}}, ONE | {"Metadata": {"spl_id": "A"}}, id="like minds case"),
        pytest.param(ONE | {"Metadata": {"spl_id": "axc"}}, ONE | {"Metadata": {"spl_id": "a*_"}}, id="an asterisk"),
        pytest.param(ONE | {"Metadata": {"spl_id": "axc"}}, ONE | {"Metadata": {"spl_id": "a?_"}}, id="a question"),
        pytest.param(ONE | {"Metadata": {"spl_id": "axc"}}, ONE | {"Metadata": {"spl_id": "a[x]_"}}, id="a bracket"),
        pytest.param(ONE | {"Metadata": {"spl_id": None}}, ONE | {"Metadata": {"spl_id": None}}, id="null ids"),
        pytest.param(
            ONE | {"Metadata": {"generic_ingestion_id": "g"}},
            TWO | {"Metadata": {"generic_ingestion_id": "g"}},
            id="generic id of another resident",
        ),
        pytest.param(ONE | {"Metadata": ["spl_id"]}, ONE | {"Metadata": "spl_id"}, id="metadata of other kinds"),
    ],
)
def test_not_the_same_request(api: HereToHelp, first: Fields, second: Fields) -> None:
    assert post(api.url, **first) != post(api.url, **second)


def test_the_first_mark_that_hits_wins(api: HereToHelp) -> None:
    generic = post(api.url, **ONE, Metadata={"generic_ingestion_id": "g"})
    spl = post(api.url, **ONE, Metadata={"spl_id": "s"})
    nsss = post(api.url, **ONE, Metadata={"nsss_id": "n"})
    ctas = post(api.url, **ONE, NhsCtasId="c", HelpNeeded="A")
    ids: dict[str, Any] = {"generic_ingestion_id": "g"}
    assert post(api.url, **ONE, Metadata=ids) == generic
    assert post(api.url, **ONE, Metadata=ids | {"spl_id": "s"}) == spl
    assert post(api.url, **ONE, Metadata=ids | {"spl_id": "s", "nsss_id": "n"}) == nsss
    everything = ids | {"spl_id": "s", "nsss_id": "n"}
    assert post(api.url, **ONE, Metadata=everything, NhsCtasId="c", HelpNeeded="A") == ctas
    assert post(api.url, **ONE, Metadata=everything, NhsCtasId="d", HelpNeeded="A") == nsss


def test_a_request_that_is_known_stays_as_it_is_but_gets_the_note(api: HereToHelp) -> None:
    request_id = post(api.url, **ONE, Metadata={"spl_id": "s"}, CallbackRequired=False, HelpNeeded="A")
    again = {"Metadata": {"spl_id": "s", "more": 1}, "CallbackRequired": True, "HelpNeeded": "B", "CaseNotes": ""}
    assert post(api.url, **ONE, **again) == request_id
    stored = get(api.url, request_id)
    assert (stored["Metadata"], stored["CallbackRequired"], stored["HelpNeeded"]) == ('{"spl_id": "s"}', False, "A")
    assert stored["CaseNotes"] == "[]"
    assert api.count().case_notes == 1


def test_a_request_of_another_resident_leaves_its_sender_without_one(api: HereToHelp) -> None:
    first = post(api.url, **ONE, NhsCtasId="c", HelpNeeded="A")
    assert post(api.url, **TWO, NhsCtasId="c", HelpNeeded="A", CaseNotes="of two") == first
    assert api.count() == Counts(residents=2, help_requests=1, case_notes=1)
    assert (get(api.url, first)["NhsNumber"], get(api.url, first)["CaseNotes"]) == ("1", "[of two]")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"NhsCtasId": "c"}, id="ctas id without a kind"),
        pytest.param({"Metadata": {"spl_id": "s\\"}}, id="pattern that ends in its escape"),
    ],
)
def test_what_it_does_not_survive_leaves_the_resident(api: HereToHelp, fields: Fields) -> None:
    """Its steps are no transaction."""
    said = call(api.url, "POST", "v3/help-requests", ONE | {"CaseNotes": "n"} | fields)
    assert said.status == 400
    assert said.text.startswith("Record not created. ")
    assert said.headers["Content-Type"].startswith("text/plain")
    assert api.count() == Counts(residents=1, help_requests=0, case_notes=0)


# Races


def test_one_at_a_time_nobody_is_doubled(tmp_path: Path) -> None:
    with running(tmp_path, KEY) as api:
        asyncio.run(post_at_once(api, 2))
        assert api.count() == Counts(residents=1, help_requests=1, case_notes=2)


def test_two_at_once_become_two_of_everything(tmp_path: Path) -> None:
    """Both look before either writes: nothing in the API forbids it."""
    meeting: list[asyncio.Barrier] = []

    async def meet() -> None:
        if not meeting:
            meeting.append(asyncio.Barrier(2))
        await meeting[0].wait()

    with running(tmp_path, KEY, gap=meet) as api:
        ids = asyncio.run(post_at_once(api, 2))
        assert len(set(ids)) == 2
        assert api.count() == Counts(residents=2, help_requests=2, case_notes=2)


def test_the_smallest_gap_answers_everybody(tmp_path: Path) -> None:
    with running(tmp_path, KEY, gap=give_way) as api:
        ids = asyncio.run(post_at_once(api, 8))
        count = api.count()
        assert count.case_notes == 8
        assert len(set(ids)) == count.help_requests <= count.residents


async def post_at_once(api: HereToHelp, times: int) -> list[int]:
    fields = ONE | {"NhsCtasId": "c", "HelpNeeded": "A", "CaseNotes": "n"}
    return await asyncio.gather(*(asyncio.to_thread(post, api.url, **fields) for _ in range(times)))


# What PostgreSQL does


def test_json_is_printed_as_postgresql_prints_it() -> None:
    value = {"bb": [1, True, None, 1.5], "a": {"d": "é", "c": ""}, "aa": 2}
    assert as_jsonb(value) == '{"a": {"c": "", "d": "é"}, "aa": 2, "bb": [1, true, null, 1.5]}'


@given(st.text(st.characters(exclude_characters="%_\\", exclude_categories=["Cs"])))
def test_a_plain_pattern_is_its_own_glob_but_for_what_glob_reads(pattern: str) -> None:
    assert is_plain(pattern)
    assert as_glob(pattern).replace("[*]", "*").replace("[?]", "?").replace("[[]", "[") == pattern
