"""Four workers who share a ledger and a bucket and nothing else; every few seconds one of them is killed.

What lands, and at which work somebody is killed, follows from the seed: ``CRASHES_SEED=7``. How the workers get into
each other's way does not.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest

from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.periods import hour_of_path, hour_start
from pipelines.core.work import OPEN, Item, State
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, source_name
from pipelines.environment import Environment
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.crashes.children import log_to
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, GOOD
from pipelines_tests.crashes.traffic import QUEUES
from pipelines_tests.crashes.world import EXPORTS, Place, World
from pipelines_tests.domains.aae.deliveries import KEY
from pipelines_tests.platforms import WITHOUT_RESIDENTS
from pipelines_tests.processes import child_process
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.postgres import PASSWORD, Postgres
from pipelines_tests.test_run import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SEED = "CRASHES_SEED"
WORKERS = 4
KILLS = 12
AT_MOST = 40
"""So many are killed if none of the first was in the middle of a delivery."""

PATIENCE = {
    "PIPELINES_LEASE_SECONDS": "8",
    "PIPELINES_AAE_CONNECT_SECONDS": "1",
    "PIPELINES_AAE_TOTAL_SECONDS": "4",
    "PIPELINES_AAE_PAUSE_START": "0.5",
    # Whoever is killed with a file in hand has had an attempt at it; here that is nobody's fault.
    "PIPELINES_MOBILE_ATTEMPTS": "50",
    "PIPELINES_AAE_ATTEMPTS": "50",
}


def work(variables: Mapping[str, str], home: Path, over: Path) -> None:
    """What a worker does: settle whatever is due, again and again."""
    from pipelines.settle import settle  # noqa: PLC0415 (its processes are forked from one that has it)

    log_to(home / "log")
    os.environ.update(variables)
    os.environ["PIPELINES_HOME"] = str(home)
    environment = Environment.read()
    while not over.exists():
        for ran in settle(environment, timedelta(seconds=1)):
            print(ran, flush=True)
        time.sleep(0.1)


@dataclass
class Crew:
    """The workers, and the world that they work in."""

    chance: Random
    world: World
    variables: Mapping[str, str]
    workers: list[BaseProcess] = field(default_factory=list)
    landed: int = 0

    def start(self) -> None:
        self.workers = [self._started(number) for number in range(WORKERS)]

    @property
    def _over(self) -> Path:
        return self.world.place.root / "over"

    def _home(self, number: int) -> Path:
        return self.world.place.root / "homes" / str(number)

    def _started(self, number: int) -> BaseProcess:
        worker = child_process(work, self.variables, self._home(number), self._over)
        worker.start()
        return worker

    def land(self) -> None:
        """A file, or one that is rewritten."""
        uploader = self.world.uploader
        feed = self.chance.choice((PACKAGES, EVENTS))
        kinds = self.chance.choices((GOOD, BAD), (9, 1), k=self.chance.randint(1, 5) if feed is PACKAGES else 1)
        known = [key for key, one in uploader.newest().items() if one.feed is feed]
        if known and self.chance.random() < 0.1:
            key = self.chance.choice(known)
            uploader.land(feed, source_name(key), kinds, hour_start(hour_of_path(key) or ""))
            return
        self.landed += 1
        hour = utc_now().replace(minute=0, second=0, microsecond=0)
        uploader.land(feed, f"{self.landed:04}{'.jsonl' if feed is PACKAGES else '.json'}", kinds, hour)

    def kill_one(self) -> None:
        """Who works on a queue, or anybody if nobody takes of it; another one starts in the same home."""
        owner = self._taken(self.chance.choice(QUEUES))
        time.sleep(self.chance.uniform(0, 0.3))
        anybody = self.chance.randrange(WORKERS)
        number = next((one for one in range(WORKERS) if owner and self._made(one, owner)), anybody)
        victim = self.workers[number]
        victim.kill()
        victim.join()
        assert victim.exitcode == -signal.SIGKILL, self.last_words(number)
        self.workers[number] = self._started(number)

    def _taken(self, queue: str) -> str | None:
        """The run that has something of a queue in hand, if one comes within some seconds."""
        ends_at = time.monotonic() + 10
        while time.monotonic() < ends_at:
            if held := [item.owner for item in self.world.ledger.items(queue, states=[State.CLAIMED])]:
                return held[0]
            time.sleep(0.05)
        return None

    def _made(self, number: int, run: str) -> bool:
        """Whether a run is one of a worker's: in its home are the records of each."""
        return (self._home(number) / "dagster/history/runs" / f"{run}.db").exists()

    def standing(self) -> Counter[State]:
        found: Counter[State] = Counter()
        for queue in self.world.ledger.queues():
            for one in self.world.ledger.standings(queue):
                found[one.state] += one.items
        return found

    def finish(self) -> None:
        """Everybody ends once nothing is left to do."""
        keys = set(self.world.uploader.newest())
        wait_for(lambda: keys <= self._known() and not any(self.standing()[one] for one in OPEN), 150, "all is settled")
        self._over.touch()
        for worker in self.workers:
            worker.join(60)
        assert [worker.exitcode for worker in self.workers] == [0] * WORKERS, self.last_words(0)

    def _known(self) -> set[str]:
        return {item.name for feed in (PACKAGES, EVENTS) for item in self.world.ledger.items(feed.queue)}

    def last_words(self, number: int) -> str:
        return (self._home(number) / "log").read_text()[-4000:]


@pytest.fixture
def crew(
    seaweedfs: Account, postgres: Postgres, aae: Aae, certificates: Certificates, tmp_path: Path
) -> Iterator[Crew]:
    seed = int(os.environ.get(SEED) or 1)
    print(f"{SEED}={seed}")
    bucket = f"workers-{seed}"
    seaweedfs.make_bucket(bucket)
    elsewhere = {
        "landing": f"s3://{bucket}/landing",
        "lake": f"s3://{bucket}/lake",
        "ledger": postgres.fresh("workers"),
        "aae": aae.url,
        "here_to_help": "https://127.0.0.1:1/api",
    }
    variables = {
        **seaweedfs.variables,
        **WITHOUT_RESIDENTS,
        **PATIENCE,
        **{f"PIPELINES_{name.upper()}": url for name, url in elsewhere.items()},
        "PIPELINES_LEDGER_PASSWORD": PASSWORD,
        "PIPELINES_AAE_SUBSCRIPTION_KEY": KEY,
        "PIPELINES_AAE_CLIENT_CERTIFICATE": str(certificates.client),
        "PIPELINES_AAE_CERTIFICATE_AUTHORITY": str(certificates.authority),
    }
    (root := tmp_path / "world").mkdir()
    with seaweedfs.in_use():
        world = World.open(Place(root, aae.url, certificates.folder, elsewhere=elsewhere))
        crew = Crew(Random(seed), world, variables)
        try:
            yield crew
        finally:
            for worker in crew.workers:
                worker.kill()
                worker.join()
            world.close()


def test_four_workers_of_whom_some_are_killed_do_each_thing_once(crew: Crew, aae: Aae, postgres: Postgres) -> None:
    aae.behave(Behaviour(delay=0.5))
    crew.start()
    killed = 0
    while killed < KILLS or (killed < AT_MOST and not uncertain(crew.world)):
        for _ in range(crew.chance.randint(2, 6)):
            crew.land()
        crew.kill_one()
        killed += 1
        if killed == KILLS // 2:
            postgres.stop()
            postgres.start()
    aae.behave()
    crew.finish()

    doubted = uncertain(crew.world)
    print(f"{killed} killed, {crew.landed} files landed, {len(doubted)} deliveries once in doubt")
    assert doubted, "nobody was killed in the middle of a delivery"
    copy_lake(crew.world)
    assert Verdict(crew.world, aae).judge() == []
    assert repeated(crew.world, aae) == []


def exports(world: World) -> list[Item]:
    return [item for queue in EXPORTS for item in world.ledger.items(queue)]


def uncertain(world: World) -> list[Item]:
    """What may have been sent by one who was killed."""
    return [item for item in exports(world) if item.uncertain]


def repeated(world: World, aae: Aae) -> list[str]:
    """What was taken in more than once though nobody can have lost the answer, or is not what the ledger sent."""
    doubted = {(item.name, item.version) for item in uncertain(world)}
    known = {(item.name, item.version) for item in exports(world)}
    kept = Counter((one.name, one.sha256) for one in aae.received() if one.kept)
    wrong = [
        f"{name} came {times} times" for (name, sha), times in kept.items() if times > 1 and (name, sha) not in doubted
    ]
    return wrong + [f"{name} has other bytes than the ledger's" for name, _ in kept.keys() - known]


def copy_lake(world: World) -> None:
    """Below the root, where planted texts are looked for."""
    for info in world.lake.list(""):
        path = world.place.root / "lake" / info.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(world.lake.get(info.key))
