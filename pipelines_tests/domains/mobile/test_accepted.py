"""The accepted versions of the privacy mapping in the lake."""

from __future__ import annotations

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
