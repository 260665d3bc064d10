from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, islice

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.core.rhythms import Cadence, Listing, Mark, Rhythm, due_listings

NOW = datetime(2025, 3, 1, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)
FEED = "mobile/packages"

moments = st.integers(0, 10 * 24 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes))
hours = st.integers(-40 * 24, 40 * 24).map(lambda number: NOW + timedelta(hours=number))
names = st.sampled_from(["a.json", "z.json", "é.json"])
landed = st.builds(lambda hour, name: f"{FEED}/{hour:%Y/%m/%d/%H}/{name}", hours, names)
marks = st.dictionaries(
    st.sampled_from([Rhythm.WINDOW, Rhythm.ALL]),
    st.builds(
        Mark,
        st.none() | st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001  # bounds are naive by Hypothesis' rule
        st.none() | landed | st.just("\U0010ffff"),
    ),
)


def due(
    now: datetime, kept: Mapping[Rhythm, Mark] | None = None, cadence: Cadence | None = None
) -> dict[Rhythm, Listing]:
    listings = due_listings(FEED, now, kept or {}, cadence or Cadence())
    return {listing.rhythm: listing for listing in listings}


def holds(listing: Listing, key: str) -> bool:
    return key.startswith(listing.prefixes) and (listing.after is None or key > listing.after)


def test_recent_folders_are_the_last_hours_and_the_next_one() -> None:
    assert due(NOW)[Rhythm.RECENT].prefixes == (
        "mobile/packages/2025/02/28/22/",
        "mobile/packages/2025/02/28/23/",
        "mobile/packages/2025/03/01/00/",
        "mobile/packages/2025/03/01/01/",
    )


def test_the_window_is_the_last_days_with_today() -> None:
    assert due(NOW)[Rhythm.WINDOW].prefixes == tuple(
        f"mobile/packages/2025/{day}/" for day in ("02/26", "02/27", "02/28", "03/01")
    )


def test_folders_are_utc_whatever_the_zone_of_the_clock() -> None:
    assert due(NOW.astimezone(timezone(timedelta(hours=9))))[Rhythm.RECENT].prefixes == due(NOW)[Rhythm.RECENT].prefixes


def test_the_first_tick_lists_in_all_rhythms_the_freshest_first() -> None:
    assert list(due(NOW)) == [Rhythm.RECENT, Rhythm.WINDOW, Rhythm.ALL]


@pytest.mark.parametrize(
    ("age", "rhythms"),
    [
        (timedelta(minutes=59), {Rhythm.RECENT}),
        (timedelta(hours=1), {Rhythm.RECENT, Rhythm.WINDOW}),
        (timedelta(hours=23, minutes=59), {Rhythm.RECENT, Rhythm.WINDOW}),
        (DAY, {Rhythm.RECENT, Rhythm.WINDOW, Rhythm.ALL}),
        (timedelta(minutes=-1), {Rhythm.RECENT, Rhythm.WINDOW, Rhythm.ALL}),
    ],
)
def test_a_finished_listing_is_due_when_its_time_has_come_or_its_mark_is_from_the_future(
    age: timedelta, rhythms: set[Rhythm]
) -> None:
    kept = {rhythm: Mark(NOW - age) for rhythm in Rhythm}
    assert set(due(NOW, kept)) == rhythms


def test_an_unfinished_listing_goes_on_at_once_and_keeps_its_beginning() -> None:
    """Counted from its end, a listing that takes hours would make the next one late by as much each day."""
    began = NOW - timedelta(minutes=1)
    listing = due(NOW, {Rhythm.ALL: Mark(began, "mobile/packages/2025/01")})[Rhythm.ALL]
    assert listing == Listing(Rhythm.ALL, ("mobile/packages/",), "mobile/packages/2025/01", began)


def test_a_rhythm_without_folders_is_off() -> None:
    assert list(due(NOW, cadence=Cadence(recent_hours=0, window_days=0))) == [Rhythm.ALL]


@given(moments, st.integers(0, 120), names)
def test_an_object_of_the_present_hours_is_listed_at_every_tick(now: datetime, minutes: int, name: str) -> None:
    for hour in (now - timedelta(minutes=minutes), now + timedelta(minutes=minutes / 2)):
        assert holds(due(now, {Rhythm.ALL: Mark(now)})[Rhythm.RECENT], f"{FEED}/{hour:%Y/%m/%d/%H}/{name}")


@given(landed, moments, marks, st.lists(moments, min_size=1, max_size=12))
def test_an_object_in_any_folder_is_listed_within_a_day_whatever_came_before(
    key: str, put: datetime, kept: dict[Rhythm, Mark], ticks: list[datetime]
) -> None:
    """Ticks may be missed and marks may hold anything, as after a clock that was wrong by a year.

    Then the first tick a day or more after the object was put has seen it, if not an earlier one.
    """
    ticks = [NOW - DAY, *sorted(ticks)]
    assume(ticks[-1] >= put + DAY)
    for now in ticks:
        listings = due_listings(FEED, now, kept, Cadence())
        if now >= put and any(holds(listing, key) for listing in listings):
            return
        assert now < put + DAY
        kept |= {listing.rhythm: Mark(listing.began) for listing in listings}


@given(landed, st.sets(landed, max_size=20), moments, marks, st.integers(1, 5))
def test_ticks_that_are_cut_short_still_reach_every_object(
    key: str, others: set[str], put: datetime, kept: dict[Rhythm, Mark], budget: int
) -> None:
    """Each tick has time for a few keys of the long listings, and then the run ends."""
    keys = sorted({key, *others})
    for tick in range(1, 5 * len(keys) + 5):
        now = put + DAY + tick * timedelta(seconds=30)
        if key in take_in(keys, now, kept, budget):
            return
    pytest.fail("never listed")


def take_in(keys: list[str], now: datetime, kept: dict[Rhythm, Mark], budget: int) -> list[str]:
    """One tick: the keys that it came to see; marks move with each."""
    seen: list[str] = []
    for listing in due_listings(FEED, now, kept, Cadence(recent_hours=0)):
        inside = chain((key for key in keys if holds(listing, key)), [None])
        for key in islice(inside, budget - len(seen)):
            kept[listing.rhythm] = Mark(listing.began, key)
            seen += [key] if key else []
    return seen
