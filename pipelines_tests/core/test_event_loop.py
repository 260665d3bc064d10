"""What a run leaves of its process behind it."""

from __future__ import annotations

import gc

import pytest

from pipelines.core import event_loop


async def how_many_are_out_of_sight() -> int:
    return gc.get_freeze_count()


async def fail() -> None:
    raise ValueError("so it is")


def test_the_collector_sees_all_again_once_a_run_is_over() -> None:
    assert event_loop.run(how_many_are_out_of_sight()) > 0
    assert gc.get_freeze_count() == 0


def test_it_does_so_too_after_a_run_that_failed() -> None:
    with pytest.raises(ValueError, match="so it is"):
        event_loop.run(fail())
    assert gc.get_freeze_count() == 0
