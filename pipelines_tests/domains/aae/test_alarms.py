"""When a delivery asks for a person: at its bounds nothing is said, beyond them each is named with counts only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.core.summary import Summary, summarise
from pipelines.core.work import Standing, State
from pipelines.domains.aae.alarms import alarms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def standing(state: State, items: int, age: timedelta) -> Standing:
    return Standing(state, None, items, items * 10, NOW - age)


def summary(*standings: Standing) -> Summary:
    return summarise(standings)


def test_nothing_is_said_while_all_is_within_its_bounds() -> None:
    calm = summary(standing(State.PENDING, 5, HOUR), standing(State.DEAD, 2, HOUR))
    assert alarms(calm, NOW, HOUR, dead_letters=2) == []
    assert alarms(summary(), NOW, HOUR, dead_letters=0) == []


def test_the_age_of_what_waits_is_an_alarm_whoever_holds_it() -> None:
    for state in (State.PENDING, State.CLAIMED):
        (alarm,) = alarms(summary(standing(state, 5, 2 * HOUR)), NOW, HOUR, dead_letters=0)
        assert alarm == "5 objects wait, the oldest since 2026-03-01 10:00 UTC"


def test_what_is_delivered_has_no_age() -> None:
    assert alarms(summary(standing(State.SETTLED, 5, 1000 * HOUR)), NOW, HOUR, dead_letters=0) == []


def test_dead_letters_above_the_bound_are_an_alarm() -> None:
    (alarm,) = alarms(summary(standing(State.DEAD, 3, HOUR)), NOW, HOUR, dead_letters=2)
    assert alarm == "3 dead letters, 2 allowed"


def test_both_alarms_are_raised_at_once() -> None:
    worst = summary(standing(State.PENDING, 1, 2 * HOUR), standing(State.DEAD, 1, HOUR))
    assert len(alarms(worst, NOW, HOUR, dead_letters=0)) == 2
