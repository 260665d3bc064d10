"""A clock that jumps by days, forth and back, between any two things that are done."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from pipelines.domains.mobile.feeds import EVENTS, PACKAGES
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, GOOD
from pipelines_tests.crashes.world import Place, World
from pipelines_tests.domains.mobile.stages import NOW

JUMPS = [timedelta(0), timedelta(minutes=5), timedelta(days=3), timedelta(days=-3), timedelta(days=40)]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_clock_says_nothing_is_lost_or_done_twice(seed: int, place: Place, aae: Aae) -> None:
    chance = Random(seed)
    aae.behave(*(Behaviour(500, times=1) for _ in range(3)))

    def jump(_: str) -> None:
        world.now = NOW + chance.choice(JUMPS)

    world = World.open(place, jump)
    for number in range(3):
        world.uploader.land(PACKAGES, f"{number}.jsonl", [GOOD, BAD, GOOD])
        world.uploader.land(EVENTS, f"{number}.json", [GOOD])
        world.tick()
    calm = World.open(place, now=NOW + timedelta(minutes=10))
    calm.settle()
    assert Verdict(calm, aae).judge() == []
    assert len(aae.received()) < 3 * 6
    for one in (world, calm):
        one.close()


@pytest.mark.parametrize(("ahead", "waits"), [(timedelta(days=1), True), (timedelta(days=3650), False)])
def test_work_that_is_due_in_a_future_that_was_none_is_not_forgotten(
    ahead: timedelta, waits: bool, place: Place, aae: Aae
) -> None:
    """What a pause may reach is waited for; ten years are a clock's fault."""
    aae.behave(Behaviour(503, times=1))
    world = World.open(place)
    world.uploader.land(EVENTS, "a.json", [GOOD])
    world.now += ahead
    world.tick()
    world.now = NOW
    world.uploader.land(EVENTS, "b.json", [GOOD])
    world.tick()
    sent = ["b.json"] if waits else ["a.json", "b.json"]
    assert {one.name for one in aae.received() if one.kept} == {_export(world, name) for name in sent}
    world.settle()
    assert Verdict(world, aae).judge() == []
    world.close()


def _export(world: World, name: str) -> str:
    (key,) = (one.key for one in world.uploader.landed() if one.key.endswith(name))
    return EVENTS.export_name("2026-03-01-12:00", key)
