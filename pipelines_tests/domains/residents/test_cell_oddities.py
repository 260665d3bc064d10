from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.oddities import is_nhs_number, is_phone, is_postcode, is_uprn


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("9434765919", True),
        ("943 476 5919", True),
        ("943-476-5919", True),
        ("4010232137", True),
        ("9434765918", False),
        ("943476591", False),
        ("94347659190", False),
        ("9.434765919E+09", False),
        ("٩٤٣٤٧٦٥٩١٩", False),
        ("none", False),
        ("0000000010", False),
    ],
)
def test_an_nhs_number_has_ten_digits_and_the_last_one_checks(text: str, sound: bool) -> None:
    assert is_nhs_number(text) is sound


@given(st.integers(0, 999_999_999), st.integers(0, 8), st.integers(1, 9))
def test_at_most_one_last_digit_is_right_and_no_other_digit_may_change(stem: int, place: int, step: int) -> None:
    right = [f"{stem:09}{digit}" for digit in range(10) if is_nhs_number(f"{stem:09}{digit}")]
    assert len(right) <= 1
    for number in right:
        changed = str((int(number[place]) + step) % 10)
        assert not is_nhs_number(number[:place] + changed + number[place + 1 :])


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("07344211233", True),
        ("07344 211233", True),
        ("(020) 7946-0001", True),
        ("0278460422", True),
        ("+447344211233", True),
        ("+44 7344 211 233", True),
        ("00447344211233", True),
        ("+353 1 555 0100", True),
        ("7344211233", False),
        ("7344211233.0", False),
        ("073442112", False),
        ("07344211233 / 07344211234", False),
        ("ask neighbour", False),
    ],
)
def test_a_phone_number_that_lost_its_zero_is_odd(text: str, sound: bool) -> None:
    assert is_phone(text) is sound


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("e95hx", True),
        ("BR2 9FF", True),
        ("EC1A  1BB", True),
        ("W1A 0AX", True),
        ("gir 0aa", True),
        ("E9", False),
        ("E9 5H", False),
        ("London", False),
        ("9E5 HX", False),
    ],
)
def test_a_postcode_has_its_two_halves(text: str, sound: bool) -> None:
    assert is_postcode(text) is sound


@pytest.mark.parametrize(
    ("text", "sound"),
    [("10008326160", True), ("00123", True), ("1.00083E+10", False), ("1234567890123", False), ("1 2", False)],
)
def test_a_uprn_has_digits_only(text: str, sound: bool) -> None:
    assert is_uprn(text) is sound
