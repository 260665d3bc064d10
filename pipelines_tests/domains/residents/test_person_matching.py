from __future__ import annotations

import pytest

from pipelines.domains.residents.matching import are_strangers, is_found_again, person_keys
from pipelines_tests.domains.residents.people import GENERIC, NSSS, mapped

NAMES = {"FirstName": "Ada", "LastName": "Sample"}
BORN = {"DobDay": "1", "DobMonth": "2", "DobYear": "1990"}


@pytest.mark.parametrize(
    ("one", "other", "may_match"),
    [
        ({"NhsNumber": "943 476 5919"}, {"NhsNumber": "9434765919"} | NAMES, True),
        ({"NhsNumber": "9434765919"}, {"NhsNumber": "4010232137"}, False),
        (NAMES, NAMES, False),
        (NAMES | {"Uprn": "1"}, NAMES | {"Uprn": " 1 "}, True),
        (NAMES | {"Uprn": "1"}, {"FirstName": " ADA", "LastName": "sample "} | {"Uprn": "1"}, True),
        (NAMES | {"Uprn": "1"}, {"FirstName": "Bob", "LastName": "Sample", "Uprn": "1"}, False),
        ({"Uprn": "1"}, {"Uprn": "1"}, False),
        (NAMES | BORN, NAMES | BORN | {"DobDay": "01", "DobMonth": "02"}, True),
        (NAMES | BORN, NAMES | BORN | {"DobYear": "1991"}, False),
        (NAMES | {"DobYear": "1990"}, NAMES | {"DobYear": "1990"}, False),
        (NAMES | {"NhsCtasId": "A1"}, NAMES | {"NhsCtasId": "a1 "}, True),
        (NAMES | {"EmailAddress": "A@b"}, NAMES | {"EmailAddress": "a@B"}, True),
        (NAMES | {"ContactMobileNumber": "07"}, NAMES | {"ContactMobileNumber": "07"}, True),
        (NAMES | {"ContactMobileNumber": "07"}, NAMES | {"ContactTelephoneNumber": "07"}, True),
        (NAMES | {"ContactTelephoneNumber": "07"}, NAMES | {"ContactTelephoneNumber": "08"}, False),
        (NAMES | {"EmailAddress": "1"}, NAMES | {"Uprn": "1"}, False),
        (NAMES | {"Postcode": "E8"}, NAMES | {"Postcode": "E8"}, False),
    ],
)
def test_rows_share_a_key_where_the_api_could_take_them_for_one_person(
    one: dict[str, str], other: dict[str, str], may_match: bool
) -> None:
    assert (not person_keys(one).isdisjoint(person_keys(other))) is may_match


def test_rows_of_one_request_share_a_key_whoever_they_are_about() -> None:
    """The API finds the request by its key alone: sent at once, both would make it."""
    strangers = {"first_name": "Wilma", "nhs_number": "", "contact_number_calls": "", "contact_email": ""}
    one, other = mapped(NSSS), mapped(NSSS, strangers | {"contact_number_texts": "", "date_of_birth": "1/1/1970"})
    assert one.person_keys & other.person_keys == {("key", "123123")}


def test_a_key_that_needs_the_resident_joins_no_strangers() -> None:
    """Every generic row of one type has the same."""
    strangers = {"First name": "Bob", "Email": "", "Phone number": "", "Phone number 2": "", "UPRN": ""}
    assert mapped(GENERIC).key == mapped(GENERIC, strangers).key
    assert mapped(GENERIC).person_keys.isdisjoint(mapped(GENERIC, strangers).person_keys)


PHONES = {"ContactMobileNumber": "07", "ContactTelephoneNumber": "02"}


@pytest.mark.parametrize(
    ("payload", "again"),
    [
        (NAMES | PHONES, False),
        (NAMES | {"ContactMobileNumber": "07"}, True),
        (NAMES | PHONES | {"ContactTelephoneNumber": "07"}, True),
        (NAMES | PHONES | {"Uprn": "1"}, False),
        (NAMES | PHONES | {"Uprn": "1", "AddressFirstLine": "1", "Postcode": "E8 1AA"}, True),
        (NAMES | PHONES | {"EmailAddress": "a@b"}, True),
        (NAMES | PHONES | BORN, True),
        (NAMES | PHONES | {"NhsCtasId": "1"}, True),
        (PHONES | {"NhsNumber": "9434765919"}, True),
    ],
)
def test_who_is_told_by_two_phone_numbers_alone_may_not_be_found_again(payload: dict[str, str], again: bool) -> None:
    """Say a resident has mobile a and telephone b, and comes with mobile b and telephone c: the API takes them for one
    and stores mobile "a / b" and telephone "b / c", of which neither equals what comes."""
    assert is_found_again(payload) is again


@pytest.mark.parametrize(
    ("one", "other", "are_so"),
    [
        ({"NhsNumber": "943 476 5919"}, {"NhsNumber": "9434765919"}, False),
        (NAMES | BORN | {"NhsNumber": "9434765919"}, NAMES | BORN | {"NhsNumber": "4010232137"}, True),
        (NAMES | {"NhsNumber": "9434765919"}, NAMES, False),
        (NAMES | {"NhsNumber": "9434765919"}, {"FirstName": "Bob", "LastName": "Sample", "NhsNumber": None}, True),
        (NAMES | BORN, {"FirstName": "Ada", "LastName": "Married"} | BORN, False),
        (NAMES | BORN, {"FirstName": "ada", "LastName": " Sample"} | BORN | {"DobYear": "1991"}, False),
        (NAMES | BORN, {"FirstName": "Bob", "LastName": "Sample"} | BORN | {"DobYear": "1991"}, True),
        (NAMES | BORN, {"FirstName": "Bob", "LastName": "Sample"} | BORN | {"DobDay": "01"}, False),
        (NAMES, BORN, False),
        (NAMES, {}, False),
        ({}, {}, False),
    ],
)
def test_strangers_agree_in_nothing_that_both_tell(
    one: dict[str, str | None], other: dict[str, str | None], are_so: bool
) -> None:
    assert are_strangers(one, other) is are_strangers(other, one) is are_so
