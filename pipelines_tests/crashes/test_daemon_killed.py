"""`pipelines run` of which the daemon, or all of it, is killed in the middle of a tick, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.adapters.ledger import open_ledger
from pipelines.core.work import OPEN, State
from pipelines.domains.aae.exports import EXPORTS
from pipelines.environment import Environment
from pipelines_tests.servers.programs import free_port
from pipelines_tests.test_run import answers, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUEUES = [queue for export in EXPORTS for queue in (export.source, export.queue)]
TICKS = """{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "pipelines"})
    { ... on Sensors { results { sensorState { ticks(limit: 1) { status } } } } } }"""


@dataclass
class Platform:
    """A platform that is started, killed and started again over the same data."""

    environment: Environment
    process: subprocess.Popen[bytes]

    @classmethod
    @contextmanager
    def started(cls, home: Path) -> Iterator[Platform]:
        environment = Environment(home=home, port=free_port(), code_port=free_port())
        variables = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home.parent),
            "PIPELINES_HOME": str(home),
            "PIPELINES_PORT": str(environment.port),
            "PIPELINES_CODE_PORT": str(environment.code_port),
        }
        process = subprocess.Popen([sys.executable, "-m", "pipelines", "run"], env=variables, cwd=home.parent)
        try:
            wait_for(lambda: answers(environment.port), 120, "the UI answers")
            yield cls(environment, process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)

    def is_ticking(self) -> bool:
        """Whether a sensor is in the middle of a tick."""
        body = json.dumps({"query": TICKS}).encode()
        address = f"http://127.0.0.1:{self.environment.port}/graphql"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with suppress(urllib.error.URLError), urllib.request.urlopen(request, timeout=30) as answer:
            sensors = json.loads(answer.read())["data"]["sensorsOrError"]["results"]
            return any(tick["status"] == "STARTED" for one in sensors for tick in one["sensorState"]["ticks"])
        return False

    def kill(self, victim: str) -> None:
        """Without a word."""
        if victim == "supervisor":
            self.process.kill()
            return
        for number in (self.environment.home / "children").read_text().split():
            if b"dagster._daemon" in Path(f"/proc/{number}/cmdline").read_bytes():
                os.kill(int(number), signal.SIGKILL)

    def standing(self) -> Counter[State]:
        """How many landed files and objects stand in which state; tables are made every some minutes only."""
        with closing(open_ledger(self.environment.ledger)) as ledger:
            found: Counter[State] = Counter()
            for queue in QUEUES:
                for one in ledger.standings(queue):
                    found[one.state] += one.items
            return found


@pytest.mark.parametrize("victim", ["daemon", "supervisor"])
def test_killed_in_a_tick_and_started_again_it_delivers_everything_once(victim: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Platform.started(home) as platform:
        wait_for(lambda: platform.standing().total() > 0, 60, "something is taken in")
        wait_for(platform.is_ticking, 60, "a sensor ticks")
        platform.kill(victim)
        platform.process.wait(60)
    with Platform.started(home) as platform:
        wait_for(lambda: _is_over(platform), 300, "all of it is settled")
        objects = home / "sandbox/aae/objects"
        landed = [path for path in (home / "landing/mobile").rglob("*") if path.is_file()]
        with closing(open_ledger(platform.environment.ledger)) as ledger:
            assert sum(len(list(ledger.items(export.source))) for export in EXPORTS) == len(landed)
            for export in EXPORTS:
                for item in ledger.items(export.queue):
                    assert item.state is State.SETTLED
                    body = (home / "lake" / item.detail["key"]).read_bytes()
                    assert (objects / item.detail["name"]).read_bytes() == body


def _is_over(platform: Platform) -> bool:
    standing = platform.standing()
    return standing[State.SETTLED] > 0 and not any(standing[state] for state in OPEN)
