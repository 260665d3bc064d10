"""Hours as keys and paths."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.periods import HOUR, exists, hive_path, hour_key, hour_of_path, hour_start

moments = st.datetimes(
    min_value=datetime(1, 1, 3),  # noqa: DTZ001 (the strategy adds the zone)
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001 (as above)
    timezones=st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours, minutes=30))),
)
START = date(2025, 1, 1)
NOW = datetime(2025, 6, 1, 10, 20, tzinfo=UTC)


@given(moments)
def test_a_key_names_the_hour_that_holds_the_moment(moment: datetime) -> None:
    start = hour_start(hour_key(moment))
    assert start <= moment < start + HOUR
    assert hour_key(start) == hour_key(moment)


@given(moments, moments)
def test_keys_sort_as_their_hours_do(one: datetime, other: datetime) -> None:
    """Spans compare keys as texts."""
    assert (hour_key(one) <= hour_key(other)) == (hour_start(hour_key(one)) <= hour_start(hour_key(other)))


@given(moments, st.text(st.characters(exclude_characters="/", codec="utf-8"), min_size=1))
def test_a_path_of_an_hour_names_its_key(moment: datetime, name: str) -> None:
    start = hour_start(hour_key(moment))
    path = f"mobile/packages/{start.year:04}/{start.month:02}/{start.day:02}/{start.hour:02}/{name}"
    assert hour_of_path(path) == hour_key(start)


@given(st.text(alphabet="0123456789/-abT: ", max_size=40))
def test_any_path_names_an_hour_that_can_be_read_or_none(path: str) -> None:
    key = hour_of_path(path)
    assert key is None or hour_key(hour_start(key)) == key


@pytest.mark.parametrize(
    "path",
    [
        "mobile/packages/2025/02/30/01/a.json",
        "mobile/packages/2025/13/01/01/a.json",
        "mobile/packages/2025/01/01/24/a.json",
        "mobile/packages/0000/01/01/01/a.json",
        "mobile/packages/2025/01/01/a.json",
        "mobile/packages/2025/01/01/01/",
        "mobile/packages/2025/01/01/01/deeper/a.json",
        "mobile/packages/x2025/01/01/01/a.json",
        "mobile/packages/２０２５/01/01/01/a.json",  # noqa: RUF001 (digits of another script are the point)
        "",
    ],
)
def test_a_path_that_names_no_hour_has_none(path: str) -> None:
    assert hour_of_path(path) is None


def test_the_hour_is_that_of_the_innermost_folders() -> None:
    assert hour_of_path("2025/01/01/05/2025/01/02/06/a.json") == "2025-01-02-06:00"


def test_an_early_year_is_set_aside_like_any_other_day_before_the_start() -> None:
    """One file in such a folder must not stop the tick that lists it."""
    key = hour_of_path("video/events/0001/01/01/00/a.json")
    assert key == "0001-01-01-00:00"
    assert not exists(key, START, NOW)


@pytest.mark.parametrize(
    ("key", "there"),
    [
        ("2024-12-31-23:00", False),
        ("2025-01-01-00:00", True),
        ("2025-06-01-10:00", True),
        ("2025-06-01-11:00", False),
    ],
)
def test_partitions_go_from_the_first_day_to_the_present_hour(key: str, there: bool) -> None:
    assert exists(key, START, NOW) is there


def test_an_hour_exists_from_its_first_moment() -> None:
    assert exists("2025-06-01-10:00", START, datetime(2025, 6, 1, 10, tzinfo=UTC))
    assert not exists("2025-06-01-10:00", START, datetime(2025, 6, 1, 9, 59, 59, 999_999, tzinfo=UTC))


def test_the_lake_names_date_and_hour() -> None:
    assert hive_path("2025-06-01-07:00") == "date=2025-06-01/hour=07"
