"""One deployment below one folder, with both feeds: what its runs do, each at a moment that the caller names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Self

from pipelines.adapters.endpoints import Limits
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.working import Held, Shift, work_through
from pipelines.adapters.objects import Objects, exists, open_objects
from pipelines.adapters.uploads import Uploads, open_uploads
from pipelines.assets import remake
from pipelines.core.receipts import RECEIPTS
from pipelines.core.retry import RetryPolicy
from pipelines.core.rhythms import Cadence
from pipelines.core.work import Item, NewItem, Outcome, Pause, Reason, State
from pipelines.domains.aae import exports
from pipelines.domains.aae.delivering import Delivery, Terms
from pipelines.domains.aae.exports import Export
from pipelines.domains.aae.receipts import write_day
from pipelines.domains.aae.replaying import replay
from pipelines.domains.mobile import accepted, intake
from pipelines.domains.mobile.carried import copies_of
from pipelines.domains.mobile.events.hourly import make_hour
from pipelines.domains.mobile.feeds import EVENTS, FEEDS, Feed
from pipelines.domains.mobile.landed import Filtering, reopen_damaged
from pipelines.domains.mobile.remapping import remap
from pipelines.domains.mobile.reprocessing import Reprocessed, reprocess
from pipelines.domains.mobile.retention import Deleted, delete_landed
from pipelines.environment import Environment
from pipelines.lost import is_lost, refuse_if_lost
from pipelines.restore import restore
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.adapters.ledgers import open_at
from pipelines_tests.crashes.landings import Uploader
from pipelines_tests.crashes.recipes import RECIPES, SPLIT, SPLIT_MAPPING, Mended
from pipelines_tests.crashes.steps import Step, WatchedEndpoint, WatchedUploads, nothing, watch
from pipelines_tests.domains.aae.deliveries import credentials_of
from pipelines_tests.domains.mobile.stages import EVERYTHING, MAPPING, NOW, SAMPLE, START

LEASE = timedelta(seconds=90)
POLICY = RetryPolicy(attempts=5, jitter=0)
RUN_SECONDS = 60
Outcomes = Callable[[], Callable[[Item, Held], Outcome]]
EXPORTS: Mapping[str, Export] = {one.queue: one for one in exports.EXPORTS}


@dataclass(frozen=True)
class Place:
    """Where a world is, and its other side; the same in every process.

    Attributes:
        root: the folder below which everything is.
        url: of the stand-in.
        certificates: the folder of those that the stand-in knows.
        send_seconds: how long a request may take.
        elsewhere: settings of what is not below the root.
    """

    root: Path
    url: str
    certificates: Path
    send_seconds: float = 3
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Environment:
        return Environment(home=self.root, **self.elsewhere)  # type: ignore[arg-type]  # by their names

    @property
    def uploader(self) -> Uploader:
        return Uploader(self.root, open_objects(self.environment.landing))


@dataclass
class World:
    """The runs of one deployment; ``now`` is its clock, ``mended`` whether the fix is in."""

    place: Place
    landing: Objects
    lake: Objects
    ledger: Ledger
    environment: Environment
    step: Step = nothing
    now: datetime = NOW
    mended: bool = False
    owner: str = "run"
    credentials: Certificates | None = None
    lease: timedelta = LEASE
    policy: RetryPolicy = field(default_factory=lambda: POLICY)

    @classmethod
    def open(cls, place: Place, step: Step = nothing, **more: object) -> Self:
        """Open what is in a folder; a mapping is in force from the beginning."""
        environment = place.environment
        lake = open_objects(environment.lake)
        if accepted.named(lake) is None:
            accepted.accept(lake, SAMPLE, MAPPING)
        landing, ledger = open_objects(environment.landing), open_at(environment.ledger)
        watched = (watch(landing, Objects, step), watch(lake, Objects, step), watch(ledger, Ledger, step))
        return replace(cls(place, *watched, environment, step), **more)  # type: ignore[arg-type]  # by their names

    def close(self) -> None:
        self.ledger.close()

    @property
    def uploader(self) -> Uploader:
        return self.place.uploader

    # What sensors start

    def take_in(self, feed: Feed) -> None:
        """The first half of a tick; the listing looks at the last hours only."""
        if is_lost(self.ledger, self.lake):
            return
        uploads: Uploads = WatchedUploads(
            open_uploads("list://", self.landing, self.ledger, cadence=Cadence(3, 4), quiet=timedelta(0)), self.step
        )
        intake.take_in(feed, uploads, self.ledger, START, self.now, 60)

    def filter(self, feed: Feed, span: Span | None = None) -> None:
        """Filter what is due."""
        filtering = self.filtering(feed)
        refuse_if_lost(self.ledger, self.lake)
        self.ledger.reopen_outdated(feed.queue, filtering.made_with, self.now)

        def outcomes() -> Callable[[Item, Held], Outcome]:
            return filtering.renewed().outcome

        self._work_through(feed.queue, outcomes, filtering.recipe.at_once, span)

    def filtering(self, feed: Feed) -> Filtering:
        """What a run filters with."""
        mapping = accepted.current(self.lake)
        assert mapping is not None
        recipe = RECIPES[feed.queue]
        return Filtering(
            Mended(recipe) if self.mended else recipe,
            self.landing,
            self.lake,
            self.ledger,
            mapping,
            self.environment.aae_url(feed.exports.rpartition("/")[-1]),
            self.policy,
            self.owner,
            lambda: self.now,
        )

    def make_tables(self) -> None:
        """Make the tables of events that are asked for."""
        self._remake(str(EVENTS.table), partial(make_hour, self.lake, self.ledger))

    def write_receipts(self) -> None:
        """Write the receipts that are asked for."""
        refuse_if_lost(self.ledger, self.lake)
        self._remake(RECEIPTS, partial(write_day, self.lake, self.ledger))

    def deliver(self, export: Export) -> None:
        """Deliver what is due."""
        self.delivery(export).run()
        self.ledger.recorded(export.queue, self.ledger.unrecorded(export.queue))

    def delivery(self, export: Export) -> Delivery:
        """One run of deliveries."""
        credentials = credentials_of(self.credentials or Certificates(self.place.certificates))
        seconds = self.place.send_seconds
        limits = Limits(4, seconds, seconds)
        endpoint = WatchedEndpoint(
            self.environment.aae_url(export.name), self.place.url, credentials, limits, self.step
        )
        terms = Terms(4, self.lease, seconds, RUN_SECONDS, self.policy)
        return Delivery(
            *(self.ledger, self.lake, endpoint, export.queue, terms),
            owner=self.owner,
            query=export.query,
            now=lambda: self.now,
        )

    def _remake(self, queue: str, make: Callable[[str], Mapping[str, object]]) -> None:
        outcome = partial(
            remake, ledger=self.ledger, make=make, policy=self.policy, made_with="1", now=lambda: self.now
        )
        self._work_through(queue, lambda: outcome)

    def _work_through(
        self, queue: str, outcomes: Outcomes, at_once: int = 1, span: Span | None = None, destination: str = ""
    ) -> None:
        shift = Shift(self.owner, self.lease, RUN_SECONDS, at_once=at_once, now=lambda: self.now)
        for _ in work_through(self.ledger, queue, outcomes, self.policy, shift, span, destination=destination):
            pass
        self.ledger.recorded(queue, self.ledger.unrecorded(queue))

    @property
    def jobs(self) -> Mapping[str, Callable[[], None]]:
        """What works on each queue, in the order in which work flows."""
        return {
            **{queue: partial(self.filter, feed) for queue, feed in FEEDS.items()},
            str(EVENTS.table): self.make_tables,
            **{queue: partial(self.deliver, export) for queue, export in EXPORTS.items()},
            RECEIPTS: self.write_receipts,
        }

    def look(self) -> None:
        """Take in whatever is new."""
        for feed in FEEDS.values():
            self.take_in(feed)

    def tick(self) -> None:
        """Take in, then run whatever is due, as the sensors do."""
        self.look()
        for queue, work in self.jobs.items():
            if any(one.queue == queue for one in self.ledger.backlog(self.now)):
                work()

    def settle(self, rounds: int = 200) -> None:
        """Tick until nothing waits, the clock going on to whatever is due next."""
        for _ in range(rounds):
            self.tick()
            due = [at for queue in self.jobs if (at := self.ledger.next_due(queue)) is not None]
            if not due:
                return
            self.now = max(*due, self.now + timedelta(seconds=30))
        raise AssertionError(f"this never settles: {self.standing()}")

    def standing(self) -> dict[str, list[tuple[str, str | None, int]]]:
        """How every queue stands."""
        return {
            queue: [(str(one.state), one.reason, one.items) for one in self.ledger.standings(queue)]
            for queue in self.jobs
        }

    # What people start

    def pause(self, queue: str) -> None:
        entry = self.ledger.begin("pause", "somebody", "a test", "", {"queue": queue}, self.now)
        self.ledger.pause(Pause(queue, self.now, self.now + timedelta(days=1), "somebody", "a test"))
        self.ledger.finish(entry, {}, self.now)

    def resume(self, queue: str) -> None:
        entry = self.ledger.begin("resume", "somebody", "a test", "", {"queue": queue}, self.now)
        self.ledger.resume(queue)
        self.ledger.finish(entry, {}, self.now)

    def replay(self) -> None:
        """Send every dead letter again."""
        for export in EXPORTS.values():
            replay(export, self.ledger, (), None, None, self.now, dry_run=False)

    def reprocess(self) -> None:
        """Process all of the quarantine again."""
        for feed in FEEDS.values():
            reprocess(feed, self.landing, self.ledger, EVERYTHING, (), self.now, Reprocessed(), dry_run=False)

    def remap(self) -> None:
        """Map everything anew that was made with another mapping than the one in force."""
        for feed in FEEDS.values():
            remap(feed, self.landing, self.ledger, EVERYTHING, str(accepted.named(self.lake)), self.now, dry_run=False)

    def land_elsewhere(self) -> int:
        """See to files of which nobody can tell what has left, since retention deleted it: land them under new names.

        Returns:
            How many were given up for that.
        """
        given_up = [item for feed in FEEDS.values() for item in self.ledger.items(feed.queue, states=[State.DEAD])]
        lost = [item for item in given_up if item.reason == Reason.COPY_MISSING]
        for item in lost:
            versions = self.ledger.versions(item.queue, item.name)
            (in_force,) = (one.detail for one in versions if one.state is State.SETTLED)
            assert not all(exists(self.landing, key) for key in copies_of(in_force))
            self.uploader.land_elsewhere(item.name, in_force["etag"])
        return len(lost)

    def delete_landed(self, before: datetime) -> None:
        """Delete what was settled before a moment."""
        for feed in FEEDS.values():
            delete_landed(feed, self.landing, self.lake, self.ledger, before, Deleted(), dry_run=False)

    def materialise(self) -> None:
        """Have every hour looked at: what is damaged or given up is made again, tables and receipts too."""
        for feed in FEEDS.values():
            reopen_damaged(self.filtering(feed), EVERYTHING)
        for queue in (str(EVENTS.table), RECEIPTS):
            given_up = {item.partition for item in self.ledger.items(queue, states=[State.DEAD])}
            asked = [NewItem(queue, one, f"asked {self.now}", one, 0, joins=True) for one in sorted(given_up)]
            self.ledger.take_in(asked, self.now)

    def change_mapping(self) -> None:
        """Put another version of the mapping in force, or the one before again."""
        raw, mapping = (SAMPLE, MAPPING) if accepted.named(self.lake) != MAPPING.sha256 else (SPLIT, SPLIT_MAPPING)
        accepted.accept(self.lake, raw, mapping)

    def lose_ledger(self) -> None:
        """All that the ledger held is gone."""
        self.close()
        for path in self.place.root.glob("ledger.db*"):
            path.unlink()

    def restore(self) -> None:
        """Rebuild a lost ledger; what may have left is judged, and sent again."""
        if is_lost(self.ledger, self.lake):
            restore(self.ledger, self.landing, self.lake, self.environment, "somebody", "a test", self.now)

    def replay_doubtful(self) -> None:
        """Send again what may have left."""
        for export in EXPORTS.values():
            replay(export, self.ledger, {Reason.MAY_HAVE_LEFT}, None, None, self.now, dry_run=False)
