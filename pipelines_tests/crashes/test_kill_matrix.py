"""`kill -9` after every effect of every scenario: the next run ends as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.sandbox import aae, here_to_help
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.crashes.children import ACT, AGAIN, PREPARE, Told, play, run
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.resident_ends import Ended, ended
from pipelines_tests.crashes.residents import Residents
from pipelines_tests.crashes.scenarios import SCENARIOS, Scenario
from pipelines_tests.crashes.steps import READS, Dying, Moment, all_effects, members
from pipelines_tests.crashes.world import Place
from pipelines_tests.domains.aae.deliveries import KEY
from pipelines_tests.domains.residents import council

AT_ONCE = 4
"""Worlds that are tried side by side: they wait for disks and timers more than they work."""

VARIATIONS = frozenset({"residents corrected", "residents restored"})
"""Scenarios that have no effect of their own: others have those too."""


@dataclass(frozen=True)
class Tried:
    """What was done until the death, if there was one, and what is left outside if it is compared."""

    steps: list[str]
    left: Ended | None


def other_side(how: Scenario, root: Path, certificates: Certificates) -> AbstractContextManager[Any]:
    """The stand-in that a scenario's deployment sends to."""
    if how.deployment is Residents:
        return here_to_help.running(root / "sandbox/here-to-help", council.KEY)
    return aae.running(root / "sandbox/aae", certificates, KEY)


def prepared(scenario: str, root: Path, certificates: Certificates) -> Path:
    """The folder of a world in which the scenario may begin; there it is only cloned."""
    how = SCENARIOS[scenario]
    with other_side(how, root, certificates) as side:
        if how.refuses:
            side.behave(aae.Behaviour(status=400))
        assert run(play, Told(scenario, PREPARE, Place(root, side.url, certificates.folder))) == 0, words(root)
    return root


def clone(world: Path, root: Path) -> None:
    """Another world like it. Stored objects are linked: nobody writes into them, and they keep what tells versions."""

    def copy(source: str, target: str) -> None:
        stored = Path(source).relative_to(world).parts[0] in {"landing", "lake"}
        (os.link if stored else shutil.copy2)(source, target)

    shutil.copytree(world, root, copy_function=copy)


def tried(
    scenario: str,
    world: Path,
    root: Path,
    certificates: Certificates,
    at: Moment | None = None,
    like: Ended | None = None,
) -> Tried:
    """A prepared scenario with a death at a step, or none; it must end well, and as another one did."""
    how = SCENARIOS[scenario]
    clone(world, root)
    with other_side(how, root, certificates) as side:
        place = Place(root, side.url, certificates.folder)
        told = Told(scenario, ACT, place, at)
        side.behave(*how.outage)
        code = run(play, told)
        assert code in ({0} if at is None else {0, -signal.SIGKILL}), words(root)
        if code:
            assert run(play, Told(scenario, AGAIN, place)) == 0, words(root)
        wrong, left = judged(how, place, side, like)
    steps = Dying.read(told.log)
    assert wrong == [], f"{scenario}, killed at step {at}, {steps[-1:]}"
    return Tried(steps, left)


def judged(how: Scenario, place: Place, side: Any, like: Ended | None) -> tuple[list[str], Ended | None]:
    """All that is wrong in the end, and what is left."""
    world = how.deployment.open(place)
    try:
        if isinstance(world, Residents):
            left = ended(world, side)
            return left.judge(like or left, edited=how.overtakes), left
        return Verdict(world, side, contents=how.contents, fixed=how.fixed).judge(), None
    finally:
        world.close()


def words(root: Path) -> str:
    """What the children said."""
    return "\n".join(path.read_text() for path in sorted((root / "logs").glob("*.log")))


def killed_everywhere(scenario: str, root: Path, certificates: Certificates) -> None:
    """Die at each step that there is. How many of a name there are differs a little, as the work goes side by side."""
    world = prepared(scenario, root / "world", certificates)
    whole = tried(scenario, world, root / "whole", certificates)
    moments = [(name, number) for name, times in Counter(whole.steps).items() for number in range(1, times + 1)]

    def die(moment: tuple[str, int]) -> str | None:
        seen = tried(scenario, world, root / f"{moments.index(moment):04}", certificates, moment, whole.left).steps
        return seen[-1] if (seen[-1], seen.count(seen[-1])) == moment else None

    with ThreadPoolExecutor(AT_ONCE) as side_by_side:
        assert set(side_by_side.map(die, moments)) >= set(whole.steps)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> dict[str, list[str]]:
    """The steps of each scenario that may have effects of its own, when nobody dies."""
    root = tmp_path_factory.mktemp("whole")

    def live(scenario: str) -> list[str]:
        world = prepared(scenario, root / scenario / "world", certificates)
        return tried(scenario, world, root / scenario / "whole", certificates).steps

    scenarios = [name for name in SCENARIOS if name not in VARIATIONS]
    with ThreadPoolExecutor(AT_ONCE) as side_by_side:
        return dict(zip(scenarios, side_by_side.map(live, scenarios), strict=True))


def test_every_effect_of_the_adapters_is_a_step_of_some_scenario(whole: dict[str, list[str]]) -> None:
    seen = {step for steps in whole.values() for step in steps if not step.startswith("before ")}
    assert seen == all_effects()


@pytest.mark.parametrize("protocol", READS)
def test_what_is_said_to_read_only_exists(protocol: type) -> None:
    assert READS[protocol] <= members(protocol)


@pytest.mark.timeout(300)
def test_killed_at_any_step_of_events_from_landing_to_receipts(tmp_path: Path, certificates: Certificates) -> None:
    killed_everywhere("events", tmp_path, certificates)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if name != "events"])
def test_killed_at_any_step(scenario: str, tmp_path: Path, certificates: Certificates) -> None:
    killed_everywhere(scenario, tmp_path, certificates)
