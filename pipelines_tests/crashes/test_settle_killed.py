"""`pipelines settle` that is killed in the middle of a run, and started again in the same home."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import State
from pipelines.environment import Environment
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.addresses import sandbox_running
from pipelines_tests.platforms import Platform, an_hour_ago
from pipelines_tests.test_run import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

VARIABLES = {
    "PIPELINES_UPLOADS_QUIET_SECONDS": "0",
    "PIPELINES_LEASE_SECONDS": "9",
    "PIPELINES_AAE_CONNECT_SECONDS": "1",
    "PIPELINES_AAE_TOTAL_SECONDS": "5",
}


@pytest.fixture
def aae(environment: Environment) -> Iterator[Aae]:
    with sandbox_running(environment.sandbox, utc_now()) as aae:
        yield aae


def settle(home: Path, *words: str) -> subprocess.Popen[bytes]:
    variables = {**os.environ, **VARIABLES, "PIPELINES_HOME": str(home)}
    return subprocess.Popen([sys.executable, "-m", "pipelines", "settle", *words], env=variables)


def test_the_next_one_goes_on_once_the_lease_is_over(environment: Environment, aae: Aae) -> None:
    """No daemon tells that the run of the killed one is over; nobody waits until it is older than any run."""
    platform = Platform(environment, aae, an_hour_ago())
    platform.land_packages("a.jsonl")
    aae.behave(Behaviour(delay=5))
    killed = settle(environment.home)
    wait_for(lambda: State.CLAIMED in platform.states("aae/packages").values(), 60, "a delivery is under way")
    killed.kill()
    assert killed.wait(30) == -signal.SIGKILL
    aae.behave()
    again = settle(environment.home, "--wait", "60s")
    assert again.wait(100) == 0
    assert set(platform.states("aae/packages").values()) == {State.SETTLED}
    (item,) = platform.items("aae/packages")
    assert {one.sha256 for one in aae.received()} == {item.version}
    with platform.instance() as instance:
        runs = [run for run in instance.get_runs() if run.job_name == "aae_deliver_packages"]
    assert sorted(run.status.value for run in runs) == ["CANCELED", "SUCCESS"]


def test_one_that_goes_on_beside_it_keeps_its_run(environment: Environment, aae: Aae) -> None:
    platform = Platform(environment, aae, an_hour_ago())
    platform.land_packages("a.jsonl")
    aae.behave(Behaviour(delay=4))
    first = settle(environment.home)
    wait_for(lambda: State.CLAIMED in platform.states("aae/packages").values(), 60, "a delivery is under way")
    platform.settle()
    assert first.wait(60) == 0
    with platform.instance() as instance:
        assert {run.status.value for run in instance.get_runs()} == {"SUCCESS"}
    assert set(platform.kept().values()) == {1}
