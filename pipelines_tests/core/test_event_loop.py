"""What a run leaves of its process behind it."""

from __future__ import annotations

import gc

import pytest

from pipelines.core import event_loop


async def how_many_are_out_of_sight() -> int:
    return gc.get_freeze_count()


async def how_many_wait() -> int:
    return gc.get_threshold()[0]


async def fail() -> None:
    raise ValueError("so it is")


def test_the_collector_sees_all_again_once_a_run_is_over() -> None:
    assert event_loop.run(how_many_are_out_of_sight()) > 0
    assert gc.get_freeze_count() == 0


def test_the_collector_comes_more_seldom_during_a_run_and_as_often_as_before_after_it() -> None:
    before = gc.get_threshold()
    assert event_loop.run(how_many_wait()) > before[0]
    assert gc.get_threshold() == before


def test_it_does_so_too_after_a_run_that_failed() -> None:
    before = gc.get_threshold()
    with pytest.raises(ValueError, match="so it is"):
        event_loop.run(fail())
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == before
