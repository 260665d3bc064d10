"""`kill -9` after every effect of every scenario: the next run ends as if nothing had been."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.sandbox.aae import Behaviour, running
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.crashes.children import ACT, AGAIN, PREPARE, Told, play, run
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.scenarios import SCENARIOS
from pipelines_tests.crashes.steps import READS, Dying, Moment, all_effects, members
from pipelines_tests.crashes.world import Place, World
from pipelines_tests.domains.aae.deliveries import KEY

AT_ONCE = 4
"""Worlds that are tried side by side: they wait for disks and timers more than they work."""


def prepared(scenario: str, root: Path, certificates: Certificates) -> Path:
    """The folder of a world in which the scenario may begin; there it is only cloned."""
    with running(root / "sandbox/aae", certificates, KEY) as aae:
        if SCENARIOS[scenario].refuses:
            aae.behave(Behaviour(status=400))
        assert run(play, Told(scenario, PREPARE, Place(root, aae.url, certificates.folder))) == 0, words(root)
    return root


def clone(world: Path, root: Path) -> None:
    """Another world like it. Stored objects are linked: nobody writes into them, and they keep what tells versions."""

    def copy(source: str, target: str) -> None:
        stored = Path(source).relative_to(world).parts[0] in {"landing", "lake"}
        (os.link if stored else shutil.copy2)(source, target)

    shutil.copytree(world, root, copy_function=copy)


def tried(scenario: str, world: Path, root: Path, certificates: Certificates, at: Moment | None) -> list[str]:
    """A prepared scenario with a death at a step, or none; what it did until then."""
    how = SCENARIOS[scenario]
    clone(world, root)
    with running(root / "sandbox/aae", certificates, KEY) as aae:
        place = Place(root, aae.url, certificates.folder)
        told = Told(scenario, ACT, place, at)
        aae.behave(*how.outage)
        code = run(play, told)
        assert code in ({0} if at is None else {0, -signal.SIGKILL}), words(root)
        if code:
            assert run(play, Told(scenario, AGAIN, place)) == 0, words(root)
        left = World.open(place)
        wrong = Verdict(left, aae, contents=how.contents, fixed=how.fixed).judge()
        left.close()
    steps = Dying.read(told.log)
    assert wrong == [], f"{scenario}, killed at step {at}, {steps[-1:]}"
    return steps


def words(root: Path) -> str:
    """What the children said."""
    return "\n".join(path.read_text() for path in sorted((root / "logs").glob("*.log")))


def killed_everywhere(scenario: str, root: Path, certificates: Certificates) -> None:
    """Die at each step that there is. How many of a name there are differs a little, as the work goes side by side."""
    world = prepared(scenario, root / "world", certificates)
    steps = Counter(tried(scenario, world, root / "whole", certificates, None))
    moments = [(name, number) for name, times in steps.items() for number in range(1, times + 1)]

    def die(moment: tuple[str, int]) -> str | None:
        seen = tried(scenario, world, root / f"{moments.index(moment):04}", certificates, moment)
        return seen[-1] if (seen[-1], seen.count(seen[-1])) == moment else None

    with ThreadPoolExecutor(AT_ONCE) as side_by_side:
        assert set(side_by_side.map(die, moments)) >= set(steps)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> dict[str, list[str]]:
    """The steps of each scenario, when nobody dies."""
    root = tmp_path_factory.mktemp("whole")

    def live(scenario: str) -> list[str]:
        world = prepared(scenario, root / scenario / "world", certificates)
        return tried(scenario, world, root / scenario / "whole", certificates, None)

    with ThreadPoolExecutor(AT_ONCE) as side_by_side:
        return dict(zip(SCENARIOS, side_by_side.map(live, SCENARIOS), strict=True))


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
