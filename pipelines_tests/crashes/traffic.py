"""An hour of simulated traffic with deaths and outages every few seconds; then all is calm, and all must be right.

Time passes in rounds of some seconds. In each round files land, the other side may fall ill or recover, persons may
interfere, and a few processes work side by side, most of which are killed at some step. All that is decided by chance
follows from the seed; what it depends on beside that is how the processes of one round get into each other's way.
"""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from pipelines.core.periods import hour_of_path, hour_start
from pipelines.core.work import State
from pipelines.domains.aae import exports
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, source_name
from pipelines.sandbox.aae import Aae, Behaviour, Cut, running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines_tests.crashes.children import log_to, run
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, FUSSY, GOOD
from pipelines_tests.crashes.steps import Dying
from pipelines_tests.crashes.world import EXPORTS, Place, World
from pipelines_tests.domains.aae.deliveries import KEY
from pipelines_tests.domains.mobile.stages import HOUR

SEND_SECONDS = 0.4
RETENTION = timedelta(minutes=10)
STEPS = (2, 4, 8, 30)
"""Deaths come at one of so many first steps of a process: most do little, some do much."""

ILLNESSES: tuple[tuple[Behaviour, ...], ...] = (
    *((Behaviour(status),) for status in (401, 403, 404, 429, 500, 502, 503)),
    (Behaviour(500, times=3),),
    (Behaviour(429, times=2, retry_after="120"),),
    (Behaviour(400, names="*3*"),),
    (Behaviour(413, times=1),),
    (Behaviour(cut=Cut.BEFORE, times=2), Behaviour(503, times=2)),
    (Behaviour(cut=Cut.AFTER, times=3),),
    (Behaviour(delay=2 * SEND_SECONDS, times=1), Behaviour(500, times=1)),
)
"""What may be wrong with the other side."""


def _filter(world: World) -> None:
    for feed in (EVENTS, PACKAGES):
        world.take_in(feed)
        world.filter(feed)


def _report(world: World) -> None:
    world.make_tables()
    world.write_receipts()


QUEUES = (PACKAGES.queue, EVENTS.queue, *EXPORTS)
WORK: Mapping[str, Callable[[World], None]] = {
    "filter": _filter,
    "packages": lambda world: world.deliver(exports.PACKAGES),
    "events": lambda world: world.deliver(exports.EVENTS),
    "report": _report,
    "tick": World.tick,
}
"""What processes do most of the time."""

INTERFERENCE: Mapping[str, Callable[[World], None]] = {
    **{f"pause {queue}": lambda world, queue=queue: world.pause(queue) for queue in QUEUES},  # type: ignore[misc]
    **{f"resume {queue}": lambda world, queue=queue: world.resume(queue) for queue in QUEUES},  # type: ignore[misc]
    "replay": World.replay,
    "reprocess": World.reprocess,
    "retention": lambda world: world.delete_landed(world.now - RETENTION),
    "materialise": World.materialise,
    "new mapping": World.change_mapping,
}
"""What persons do now and then."""


@dataclass(frozen=True)
class Errand:
    """What one process does: which, where, when, at which step it dies, whether with credentials of a stranger."""

    number: int
    task: str
    place: Place
    now: datetime
    at: int | None
    mended: bool
    stranger: Path | None


def do(errand: Errand) -> None:
    """What a process does."""
    logs = errand.place.root / "logs"
    log_to(logs / "all.log")
    step = Dying(logs / f"{errand.number:05}.steps", errand.at)
    credentials = Certificates(errand.stranger) if errand.stranger else None
    owner = f"{errand.task} {errand.number}"
    more = {"now": errand.now, "mended": errand.mended, "credentials": credentials, "owner": owner}
    world = World.open(errand.place, step, **more)
    {**WORK, **INTERFERENCE}[errand.task](world)
    world.close()


@dataclass
class Traffic:
    """One run: everything is drawn from ``chance``."""

    chance: Random
    place: Place
    aae: Aae
    stranger: Path
    ends: datetime
    now: datetime = HOUR + timedelta(minutes=1)
    counts: Counter[str] = field(default_factory=Counter)
    ill_until: datetime = HOUR
    errands: int = 0

    @property
    def mended(self) -> bool:
        """The fix comes in the middle."""
        return self.now - HOUR > (self.ends - HOUR) / 2

    def go(self) -> None:
        """The hour."""
        World.open(self.place).close()
        with ThreadPoolExecutor(3) as side_by_side:
            while self.now < self.ends:
                for _ in range(self.chance.choice((0, 0, 1, 1, 2))):
                    self._land()
                self._change_health()
                errands = [self._errand() for _ in range(self.chance.choice((1, 1, 2, 3)))]
                if self.chance.random() < 0.1:
                    self._lock_ledger(self.chance.uniform(0.02, 0.3))
                for errand, code in zip(errands, side_by_side.map(partial(run, do), errands), strict=True):
                    assert code in (0, -signal.SIGKILL), f"{errand}\n{last_words(self.place.root)}"
                    self.counts["killed" if code else "ended well"] += 1
                self.now += timedelta(seconds=self.chance.uniform(2, 20))

    def _land(self) -> None:
        """A new file, or one rewritten; some are late, some records are broken."""
        uploader = self.place.uploader
        feed = self.chance.choice((PACKAGES, EVENTS))
        kinds = self.chance.choices(
            (GOOD, BAD, FUSSY), (8, 1, 1), k=self.chance.randint(1, 6) if feed is PACKAGES else 1
        )
        known = [key for key, one in uploader.newest().items() if one.feed is feed]
        if known and self.chance.random() < 0.1:
            key = self.chance.choice(known)
            uploader.land(feed, source_name(key), kinds, hour_start(hour_of_path(key) or ""))
            self.counts["rewritten"] += 1
            return
        self.counts["landed"] += 1
        hour = HOUR - timedelta(hours=self.chance.random() < 0.2)
        uploader.land(feed, f"{self.counts['landed']:04}{'.jsonl' if feed is PACKAGES else '.json'}", kinds, hour)

    def _lock_ledger(self, seconds: float) -> None:
        """Nobody can write to the ledger for a moment."""
        ledger = sqlite3.connect(self.place.root / "ledger.db", isolation_level=None, check_same_thread=False)
        ledger.execute("PRAGMA busy_timeout=60000")
        ledger.execute("BEGIN IMMEDIATE")
        threading.Timer(seconds, ledger.close).start()
        self.counts["ledger locked"] += 1

    def _change_health(self) -> None:
        """The other side falls ill, or gets well."""
        if self.now < self.ill_until:
            return
        if self.chance.random() < 0.3:
            self.aae.behave(*self.chance.choice(ILLNESSES))
            self.ill_until = self.now + timedelta(seconds=self.chance.uniform(3, 60))
            self.counts["outages"] += 1
        else:
            self.aae.behave()

    def _errand(self) -> Errand:
        self.errands += 1
        interferes = self.chance.random() < 0.12
        task = self.chance.choice(list(INTERFERENCE if interferes else WORK))
        self.counts["interferences"] += interferes
        at = self.chance.randint(1, self.chance.choice(STEPS)) if self.chance.random() < 0.85 else None
        stranger = self.stranger if self.chance.random() < 0.05 else None
        return Errand(self.errands, task, self.place, self.now, at, self.mended, stranger)

    def calm_down(self) -> World:
        """All is well from now on: the platform ends what is left, persons see to what was given up."""
        self.aae.behave()
        world = World.open(self.place, now=self.now + timedelta(minutes=5), mended=True, owner="in the end")
        for queue in QUEUES:
            world.resume(queue)
        for act in (World.settle, World.reprocess, World.settle):
            act(world)
            while _given_up(world) > self.counts["landed elsewhere"]:
                self.counts["landed elsewhere"] += world.land_elsewhere()
                world.materialise()
                world.replay()
                world.settle()
                self.counts["rounds of repair"] += 1
                assert self.counts["rounds of repair"] < 10, f"given up again and again: {world.standing()}"
        return world


def _given_up(world: World) -> int:
    return sum(one.items for queue in world.jobs for one in world.ledger.standings(queue) if one.state is State.DEAD)


def last_words(root: Path) -> str:
    """What the processes said last."""
    log = root / "logs/all.log"
    return log.read_text()[-4000:] if log.exists() else ""


def simulate(seed: int, minutes: float, root: Path) -> tuple[list[str], Counter[str]]:
    """One run; what is wrong in the end, or after the ledger was lost and restored, and what happened."""
    made = datetime.now(UTC)
    ours = make_certificates(root / "certificates/ours", made)
    stranger = make_certificates(root / "certificates/stranger", made)
    world = root / "world"
    with running(world / "sandbox/aae", ours, KEY) as aae:
        place = Place(world, aae.url, ours.folder, SEND_SECONDS)
        ends = HOUR + timedelta(minutes=minutes)
        traffic = Traffic(Random(seed), place, aae, stranger.folder, ends)
        traffic.go()
        left = traffic.calm_down()
        wrong = Verdict(left, aae, dead=traffic.counts["landed elsewhere"], fixed=True).judge()
        requests = len(aae.received())
        traffic.counts |= {"objects": len(list((aae.folder / "objects").iterdir())), "requests": requests}
        wrong += [f"restored: {words}" for words in _restored(left, aae)]
    return wrong, traffic.counts


def _restored(world: World, aae: Aae) -> list[str]:
    """What is wrong once the settled ledger was lost and rebuilt: nothing of it may be sent again."""
    requests, now = len(aae.received()), world.now
    world.lose_ledger()
    again = World.open(world.place, now=now + timedelta(minutes=5), mended=True)
    again.restore()
    again.settle()
    wrong = Verdict(again, aae, fixed=True).judge()
    again.close()
    sent = aae.received()[requests:]
    return wrong + [f"{one.name} was sent again" for one in sent]
