from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.mobile.instants import read_instant


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2020-07-27T23:00:00Z", "2020-07-27T23:00:00Z"),
        ("2020-07-27t23:00:00z", "2020-07-27T23:00:00Z"),
        ("2020-07-27T23:00:00.Z", "2020-07-27T23:00:00Z"),
        ("2020-07-27T23:00:00.000Z", "2020-07-27T23:00:00Z"),
        ("2020-07-27T23:00:00.1Z", "2020-07-27T23:00:00.100Z"),
        ("2020-07-27T23:00:00.0001Z", "2020-07-27T23:00:00.000100Z"),
        ("2020-07-27T23:00:00.123456789Z", "2020-07-27T23:00:00.123456789Z"),
        ("2020-07-27T23:00:00.123456780Z", "2020-07-27T23:00:00.123456780Z"),
        ("2020-02-29T00:00:00Z", "2020-02-29T00:00:00Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("2020-12-31T24:00:00Z", "2021-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
    ],
)
def test_an_instant_is_printed_in_its_one_form(text: str, printed: str) -> None:
    instant = read_instant(text)
    assert instant is not None
    assert instant.text == printed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2020-06-2001:00:00Z",
        "2020-06-20T22:00:00",
        "2020-06-20T22:00Z",
        "2020-06-20 22:00:00Z",
        "2020-06-20T22:00:00+01:00",
        "2020-06-20T22:00:00+00:00",
        "2020-06-20T22:00:00.1234567890Z",
        "2020-06-20T22:00:00,5Z",
        " 2020-06-20T22:00:00Z",
        "2020-06-20T22:00:00Z\n",
        "2020-6-20T22:00:00Z",
        "20200620T220000Z",
        "2020-W25-6T22:00:00Z",
        "2021-02-29T00:00:00Z",
        "2020-04-31T00:00:00Z",
        "2020-00-01T00:00:00Z",
        "2020-01-00T00:00:00Z",
        "2020-01-01T24:00:01Z",
        "2020-01-01T24:00:00.1Z",
        "2020-01-01T25:00:00Z",
        "2020-01-01T00:60:00Z",
        "2020-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T24:00:00Z",
        "+12020-01-01T00:00:00Z",
        "-2020-01-01T00:00:00Z",
        "٢٠٢٠-01-01T00:00:00Z",
    ],
)
def test_another_form_or_an_impossible_moment_is_no_instant(text: str) -> None:
    assert read_instant(text) is None


def test_instants_are_ordered_to_the_nanosecond() -> None:
    first, second = read_instant("2020-01-01T00:00:00.000000001Z"), read_instant("2020-01-01T00:00:00.000000002Z")
    assert first is not None
    assert second is not None
    assert first < second


@given(moment=st.datetimes(timezones=st.just(UTC)))
def test_a_printed_instant_is_the_moment_that_was_read(moment: datetime) -> None:
    instant = read_instant(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"))
    assert instant is not None
    assert datetime.fromisoformat(instant.text) == moment
    assert read_instant(instant.text) == instant


@given(text=st.text(max_size=40))
def test_no_text_raises(text: str) -> None:
    assert read_instant(text) is None
