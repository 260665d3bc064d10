from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.dates import (
    EARLIEST_YEAR,
    USUAL_FORMS,
    BadDay,
    DayColumn,
    Form,
    age_in_days,
    london_day,
    read_day,
)

COMPACT = (Form.COMPACT, *USUAL_FORMS)
days = st.dates(date(EARLIEST_YEAR, 1, 1))
TIMES = ["", " 18:57", " 0:00", " 00:00", " 23:59:59", "T03:10:31Z", "T03:10:31.250+01:00", "  7:05"]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1983-05-02", date(1983, 5, 2)),
        ("03/10/1989", date(1989, 10, 3)),
        ("11.10.1989", date(1989, 10, 11)),
        ("25/6/2021", date(2021, 6, 25)),
        ("2/6/2021", date(2021, 6, 2)),
        ("7-3-2033", date(2033, 3, 7)),
        ("1989-3-1", date(1989, 3, 1)),
        ("1950-02-27 00:00:00", date(1950, 2, 27)),
        ("07/01/2021 18:57", date(2021, 1, 7)),
        ("2021-02-05T03:10:31Z", date(2021, 2, 5)),
        ("09/11/2021 00:00", date(2021, 11, 9)),
        ("29/02/2000", date(2000, 2, 29)),
    ],
)
def test_days_that_the_reference_reads_rightly_are_read_alike(text: str, day: date) -> None:
    """Golden example 12 and the contract's table."""
    assert read_day(text, USUAL_FORMS) == day


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("22/02/63", BadDay.TWO_DIGIT_YEAR),
        ("2/3/63", BadDay.TWO_DIGIT_YEAR),
        ("1/21/21 3:53", BadDay.TWO_DIGIT_YEAR),
        ("02-03-63", BadDay.TWO_DIGIT_YEAR),
        ("02/03/0063", BadDay.IMPOSSIBLE),
        ("02/22/1963", BadDay.MONTH_FIRST),
        ("12-Feb-1963", BadDay.UNKNOWN),
        ("1963", BadDay.SERIAL),
        ("44242", BadDay.SERIAL),
        ("44242.5", BadDay.SERIAL),
        ("5121956", BadDay.UNKNOWN),
        ("19830502", BadDay.UNKNOWN),
        ("20122013", BadDay.UNKNOWN),
        ("2020-13-01", BadDay.IMPOSSIBLE),
        ("2020-02-30", BadDay.IMPOSSIBLE),
        ("31/02/2000", BadDay.IMPOSSIBLE),
        ("29/02/2001", BadDay.IMPOSSIBLE),
        ("13/13/2020", BadDay.IMPOSSIBLE),
        ("0/1/2020", BadDay.IMPOSSIBLE),
        ("1/0/2020", BadDay.IMPOSSIBLE),
        ("09/11/2021 24:00", BadDay.BAD_TIME),
        ("09/11/2021 12:60", BadDay.BAD_TIME),
        ("09/11/2021 noon", BadDay.UNKNOWN),
        ("03/10-1989", BadDay.UNKNOWN),
        ("1989/10/03", BadDay.UNKNOWN),
        ("unknown", BadDay.UNKNOWN),
        ("nan", BadDay.UNKNOWN),
        ("<NA>", BadDay.UNKNOWN),
        ("٠٣/١٠/١٩٨٩", BadDay.UNKNOWN),  # noqa: RUF001 (digits of another script are the point)
        ("03/10/1989\n", BadDay.UNKNOWN),
        ("1" * 100_000, BadDay.UNKNOWN),
        ("", BadDay.UNKNOWN),
    ],
)
def test_a_day_that_had_to_be_guessed_is_not_read(text: str, reason: BadDay) -> None:
    """The reference reads two-digit years, US order and h:mm times as other days, silently, and dies of the rest."""
    assert read_day(text, USUAL_FORMS) is reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19830502", date(1983, 5, 2)),
        ("22/02/1963", date(1963, 2, 22)),
        ("20122013", BadDay.IMPOSSIBLE),
        ("44242", BadDay.SERIAL),
        ("198305021", BadDay.UNKNOWN),
    ],
)
def test_eight_digits_are_a_day_only_where_the_feed_writes_it_so(text: str, expected: date | BadDay) -> None:
    assert read_day(text, COMPACT) == expected


@given(days, st.sampled_from("/.-"), st.sampled_from(TIMES))
def test_every_day_is_read_from_each_of_its_forms_whatever_hour_follows(day: date, mark: str, time: str) -> None:
    year = f"{day.year:04}"
    for text in (
        f"{day.day}{mark}{day.month}{mark}{year}",
        f"{day.day:02}{mark}{day.month:02}{mark}{year}",
        f"{year}-{day.month}-{day.day}",
        day.isoformat(),
    ):
        assert read_day(text + time, USUAL_FORMS) == day
    assert read_day(f"{year}{day.month:02}{day.day:02}{time}", COMPACT) == day


@given(days, st.sampled_from("/.-"), st.sampled_from(TIMES))
def test_no_day_with_a_year_of_two_digits_is_read(day: date, mark: str, time: str) -> None:
    text = f"{day.day}{mark}{day.month}{mark}{day.year % 100:02}{time}"
    assert read_day(text, COMPACT) is BadDay.TWO_DIGIT_YEAR


@given(st.text() | st.text("0123456789/.- :TZ", max_size=20))
def test_any_text_is_a_day_of_the_calendar_or_a_reason(text: str) -> None:
    read = read_day(text, COMPACT)
    assert isinstance(read, BadDay) or read.year >= EARLIEST_YEAR


@given(days)
def test_a_day_in_us_order_is_never_read_as_itself_unless_it_is_the_same_day_both_ways(day: date) -> None:
    read = read_day(f"{day.month}/{day.day}/{day.year:04}", USUAL_FORMS)
    assert (read == day) is (day.month == day.day)
    assert (read is BadDay.MONTH_FIRST) is (day.day > 12)


def test_a_blank_cell_is_no_day_and_no_fault() -> None:
    column = DayColumn("born", USUAL_FORMS)
    assert column.read({"born": ""}) is None
    assert column.read({"born": "44242"}) is BadDay.SERIAL


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2021, 7, 1, 22, 59, tzinfo=UTC), date(2021, 7, 1)),
        (datetime(2021, 7, 1, 23, 0, tzinfo=UTC), date(2021, 7, 2)),
        (datetime(2021, 12, 1, 23, 30, tzinfo=UTC), date(2021, 12, 1)),
    ],
)
def test_today_is_the_day_in_london(moment: datetime, day: date) -> None:
    assert london_day(moment) == day


def test_a_day_to_come_has_a_negative_age() -> None:
    assert age_in_days(date(2021, 11, 7), date(2021, 11, 20)) == 13
    assert age_in_days(date(2021, 11, 21), date(2021, 11, 20)) == -1
