"""Turns are given out in order, at the rate and never faster, whoever asks."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.pace import Pace, pace_of


def test_turns_come_one_interval_apart() -> None:
    pace = Pace(lambda: 100.0)
    waits = [round(pace.reserve(10), 6) for _ in range(5)]
    assert waits == [0, 0.1, 0.2, 0.3, 0.4]


def test_only_a_tenth_of_a_second_is_made_up_for() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    pace.reserve(100)
    now[0] = 3600.0
    waits = [pace.reserve(100) for _ in range(13)]
    assert sum(wait < 1e-6 for wait in waits) == 11
    assert round(waits[-1], 6) == 0.02


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=300))
def test_no_second_has_more_than_a_tenth_and_one_over_the_rate(pauses: list[float]) -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    turns = []
    for pause in pauses:
        now[0] += pause
        turns.append(now[0] + pace.reserve(20))
    assert all(sum(start <= turn < start + 1 for turn in turns) <= 20 * 1.1 + 1 for start in turns)


def test_threads_share_one_order() -> None:
    pace = Pace(lambda: 5.0)
    waits: list[float] = []

    def take() -> None:
        waits.extend(pace.reserve(100) for _ in range(50))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [round(wait, 6) for wait in sorted(waits)] == [round(n / 100, 6) for n in range(400)]


def test_a_destination_has_one_pace() -> None:
    assert pace_of("https://a") is pace_of("https://a")
    assert pace_of("https://a") is not pace_of("https://b")
