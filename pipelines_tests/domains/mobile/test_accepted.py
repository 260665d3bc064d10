"""The accepted versions of the privacy mapping in the lake."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.objects import Objects, open_objects
from pipelines.domains.mobile import accepted
from pipelines_tests.domains.mobile.stages import MAPPING, OTHER, SAMPLE, WITH_ONE_MORE


@pytest.fixture
def lake() -> Objects:
    return open_objects("memory://")


def test_before_the_first_version_there_is_none(lake: Objects) -> None:
    assert accepted.current(lake) is None


def test_the_version_accepted_last_is_in_force_and_the_ones_before_stay(lake: Objects) -> None:
    accepted.accept(lake, SAMPLE, MAPPING)
    accepted.accept(lake, WITH_ONE_MORE, OTHER)
    assert accepted.current(lake) == OTHER
    assert accepted.version(lake, MAPPING.sha256) == MAPPING


def test_every_accepted_version_is_told(lake: Objects) -> None:
    assert accepted.kept(lake) == []
    accepted.accept(lake, SAMPLE, MAPPING)
    accepted.accept(lake, WITH_ONE_MORE, OTHER)
    accepted.accept(lake, SAMPLE, MAPPING)
    assert accepted.kept(lake) == sorted([MAPPING.sha256, OTHER.sha256])


def test_until_the_last_step_the_version_before_is_in_force(lake: Objects) -> None:
    accepted.accept(lake, SAMPLE, MAPPING)
    named = lake.get(accepted.CURRENT)
    accepted.accept(lake, WITH_ONE_MORE, OTHER)
    lake.put(accepted.CURRENT, named)  # as if the run had died before it
    assert accepted.current(lake) == MAPPING


def test_a_version_that_was_never_accepted_is_an_error(lake: Objects) -> None:
    with pytest.raises(LookupError, match="lost"):
        accepted.version(lake, OTHER.sha256)


def test_a_current_version_that_is_lost_is_not_mistaken_for_none(lake: Objects) -> None:
    accepted.accept(lake, SAMPLE, MAPPING)
    lake.delete(f"{accepted.FOLDER}/{MAPPING.sha256}.csv")
    with pytest.raises(LookupError, match="lost"):
        accepted.current(lake)


def test_a_stored_version_that_was_altered_is_refused(lake: Objects) -> None:
    accepted.accept(lake, SAMPLE, MAPPING)
    lake.put(f"{accepted.FOLDER}/{MAPPING.sha256}.csv", WITH_ONE_MORE)
    with pytest.raises(ValueError, match="not what was accepted"):
        accepted.current(lake)


def test_the_version_in_force_at_a_moment_is_told_even_of_one_that_was_accepted_twice(tmp_path: Path) -> None:
    lake = open_objects(tmp_path.as_uri())
    begun = datetime(2026, 3, 1, tzinfo=UTC)
    days = [begun + timedelta(days=day) for day in range(4)]
    for day, (raw, mapping) in zip(days, [(SAMPLE, MAPPING), (WITH_ONE_MORE, OTHER), (SAMPLE, MAPPING)], strict=False):
        before = set(tmp_path.rglob("*-*"))
        accepted.accept(lake, raw, mapping)
        (told,) = set(tmp_path.rglob("*-*")) - before
        os.utime(told, (day.timestamp(), day.timestamp()))
    expected = [MAPPING.sha256, OTHER.sha256, MAPPING.sha256, MAPPING.sha256]
    assert [accepted.in_force_at(lake, day + timedelta(hours=1)) for day in days] == expected
    assert accepted.in_force_at(lake, begun - timedelta(hours=1)) is None
