"""When a feed's run is asked for, and what is said while none is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.assets import ALARM
from pipelines.core.circuit import Circuit
from pipelines.core.work import NewItem, Outcome, Pause, Reason, State
from pipelines.environment import Environment
from pipelines.sensors import RANGE_END, RANGE_START, Feed, due_run, one_run

QUEUE, JOB = "aae/packages", "deliver"
NINE, TEN, ELEVEN = "2026-03-01-09:00", "2026-03-01-10:00", "2026-03-01-11:00"
HERE = "sandbox://aae"
LEASE, HOUR = timedelta(minutes=10), timedelta(hours=1)
FEED = Feed(QUEUE, JOB, dg.AssetKey(["aae", "packages"]), destination=HERE)


@dg.job(name=JOB)
def deliver() -> None:
    """Only its name matters."""


@dataclass
class Desk:
    """A ledger, and the runs that there were; the clock goes when it is told to."""

    environment: Environment
    ledger: Ledger
    instance: dg.DagsterInstance
    now: datetime = field(default_factory=utc_now)

    def release(self, *names: str, partition: str = TEN, destination: str = HERE) -> None:
        items = [NewItem(QUEUE, name, "sha", partition, 10, destination=destination) for name in names]
        self.ledger.take_in(items, self.now)

    def deliver(self) -> None:
        """Deliver all that is due, and end before Dagster is told of it."""
        claimed = self.ledger.claim(QUEUE, owner="run", limit=100, now=self.now, lease=LEASE, destination=HERE)
        self.ledger.settle([Outcome(one.id, one.fence, State.SETTLED) for one in claimed], self.now)

    def ran(self, status: dg.DagsterRunStatus, **tags: str) -> None:
        self.instance.create_run_for_job(deliver, status=status, tags=tags)

    def open_circuit(self, probe_in: timedelta) -> datetime:
        probe_at = self.now + probe_in
        opened = Circuit(5, self.now, probe_at, 1, Reason.NOT_ALLOWED, 2, 1)
        self.ledger.set_circuit(f"{QUEUE} {HERE}", opened)
        return probe_at

    def pause(self, **time: float) -> Pause:
        pause = Pause(QUEUE, self.now, self.now + timedelta(**time), "Ann", "they move house")
        self.ledger.pause(pause)
        return pause

    def ask(self, **changes: Any) -> dg.RunRequest | dg.SkipReason:
        return due_run(replace(FEED, **changes), self.ledger, self.instance, self.environment, self.now, "sensor")

    def asked(self, **changes: Any) -> dg.RunRequest:
        said = self.ask(**changes)
        assert isinstance(said, dg.RunRequest), said
        return said

    def skipped(self, **changes: Any) -> str:
        said = self.ask(**changes)
        assert isinstance(said, dg.SkipReason), said
        return str(said.skip_message)


@pytest.fixture
def desk(environment: Environment) -> Iterator[Desk]:
    with closing(open_ledger(environment.ledger)) as ledger, dg.DagsterInstance.ephemeral() as instance:
        yield Desk(environment, ledger, instance)


def span(request: dg.RunRequest) -> tuple[str, str]:
    return request.tags["dagster/asset_partition_range_start"], request.tags["dagster/asset_partition_range_end"]


# What is due


def test_one_run_is_asked_for_over_all_that_is_due(desk: Desk) -> None:
    desk.release("a", partition=TEN)
    desk.release("b", partition=NINE)
    request = desk.asked(stays=60.0)
    assert span(request) == (NINE, TEN)
    assert request.run_config == {"ops": {"aae__packages": {"config": {"only_due": True, "stays": 60.0}}}}
    assert {name: request.tags[name] for name in ("domain", "feed", "trigger")} == {
        "domain": "aae",
        "feed": QUEUE,
        "trigger": "sensor",
    }


def test_while_nothing_is_due_it_is_said_when_something_is(desk: Desk) -> None:
    assert desk.skipped() == "nothing is due"
    desk.now += HOUR
    desk.release("a")
    desk.now -= HOUR
    assert str(desk.now + HOUR) in desk.skipped()


def test_what_is_bound_elsewhere_is_not_asked_for(desk: Desk) -> None:
    desk.release("a", destination="https://elsewhere")
    assert "nothing is due" in desk.skipped()


def test_a_feed_that_is_switched_off_says_so(desk: Desk) -> None:
    desk.release("a")
    assert "switched off" in desk.skipped(enabled=False)


# A live run


def test_dagster_is_asked_for_runs_only_when_there_is_something_to_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(desk.instance, "get_run_records", lambda *_args, **_named: pytest.fail("it was asked"))
        assert desk.skipped() == "nothing is due"
        desk.release("a")
        desk.pause(hours=1)
        assert "paused by Ann" in desk.skipped()


def test_what_a_run_took_that_ended_while_dagster_was_asked_is_not_asked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.release("a")

    def end(*_args: object, **_named: object) -> list[dg.RunRecord]:
        desk.deliver()
        desk.ledger.recorded(QUEUE, desk.ledger.unrecorded(QUEUE))
        return []

    monkeypatch.setattr(desk.instance, "get_run_records", end)
    assert desk.skipped() == "nothing is due"


def test_what_is_paused_while_dagster_was_asked_is_not_asked_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.release("a")
    desk.ledger.recorded(QUEUE, desk.ledger.unrecorded(QUEUE))

    def pause(*_args: object, **_named: object) -> list[dg.RunRecord]:
        desk.pause(hours=1)
        return []

    monkeypatch.setattr(desk.instance, "get_run_records", pause)
    assert "paused by Ann" in desk.skipped()


def test_what_a_run_has_in_hand_is_told(desk: Desk) -> None:
    desk.release("a", "b")
    desk.ledger.claim(QUEUE, owner="run", limit=100, now=desk.now, lease=LEASE, destination=HERE)
    desk.ledger.recorded(QUEUE, desk.ledger.unrecorded(QUEUE))
    assert desk.skipped() == "nothing else is due; a run has 2 in hand"


@pytest.mark.parametrize(
    "status",
    [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED],
)
def test_there_is_one_run_at_a_time(desk: Desk, status: dg.DagsterRunStatus) -> None:
    desk.release("a")
    desk.ran(status)
    assert desk.skipped() == "a run is under way and takes what is due"


def test_a_run_that_is_older_than_any_can_be_holds_nothing_up(desk: Desk) -> None:
    desk.ran(dg.DagsterRunStatus.STARTED)
    desk.now += timedelta(seconds=2 * desk.environment.run_seconds + 60)
    desk.release("a")
    desk.asked()


# A pause


def test_while_paused_backlog_age_and_days_left_are_told(desk: Desk) -> None:
    desk.release("a")
    desk.now += 25 * HOUR
    desk.release("b", "c")
    began = desk.now
    pause = desk.pause(days=3)
    desk.now += 12 * HOUR
    told = desk.skipped()
    assert f"paused by Ann until {pause.until:%Y-%m-%d %H:%M} UTC, 2.5 days left" in told
    assert f"3 wait, the oldest since {began - 25 * HOUR:%Y-%m-%d %H:%M} UTC, 37.0 hours ago" in told


def test_a_paused_feed_without_a_backlog_says_that_as_well(desk: Desk) -> None:
    desk.pause(days=1)
    assert desk.skipped().endswith("1.0 days left; 0 wait")


def test_a_pause_that_has_ended_or_was_lifted_holds_nothing_up(desk: Desk) -> None:
    desk.release("a")
    desk.pause(hours=1)
    desk.now += HOUR
    desk.asked()
    desk.pause(hours=1)
    desk.ledger.resume(QUEUE)
    desk.asked()


# The circuit


def test_while_the_other_side_is_out_of_order_the_next_probe_is_told(desk: Desk) -> None:
    desk.release("a")
    probe_at = desk.open_circuit(HOUR)
    assert desk.skipped() == f"the other side is out of order (not allowed); next probe {probe_at}"
    desk.now = probe_at
    assert span(desk.asked()) == (TEN, TEN)


def test_the_circuit_of_another_way_out_holds_nothing_up(desk: Desk) -> None:
    desk.release("a")
    desk.open_circuit(HOUR)
    desk.ledger.set_circuit(f"{QUEUE} {HERE}", Circuit())
    desk.ledger.set_circuit("aae/events " + HERE, Circuit(5, desk.now, desk.now + HOUR, 1, Reason.TLS))
    desk.asked()


# What Dagster was not told


def test_what_a_run_left_unrecorded_is_asked_for_though_nothing_is_due(desk: Desk) -> None:
    desk.release("a", partition=NINE)
    desk.deliver()
    assert span(desk.asked()) == (NINE, NINE)
    desk.ledger.recorded(QUEUE, desk.ledger.unrecorded(QUEUE))
    assert "nothing is due" in desk.skipped()


@pytest.mark.parametrize("held", ["paused", "out of order"])
def test_what_is_unrecorded_is_recorded_though_nothing_may_be_taken(desk: Desk, held: str) -> None:
    """The run finds what it may not take; what is due elsewhere in the queue does not widen it."""
    desk.release("a", partition=NINE)
    desk.deliver()
    desk.release("b", partition=TEN)
    _ = desk.pause(days=1) if held == "paused" else desk.open_circuit(HOUR)
    assert span(desk.asked()) == (NINE, NINE)
    desk.ledger.recorded(QUEUE, desk.ledger.unrecorded(QUEUE))
    assert held in desk.skipped()


def test_unrecorded_partitions_never_start_a_run_of_a_feed_that_is_switched_off(desk: Desk) -> None:
    desk.release("a")
    desk.deliver()
    assert "switched off" in desk.skipped(enabled=False)


def test_recording_that_fails_again_and_again_is_asked_for_ever_less_often(desk: Desk) -> None:
    desk.release("a")
    desk.deliver()
    desk.ran(dg.DagsterRunStatus.FAILURE)
    desk.now = utc_now()
    assert "the last run left due work behind and failed" in desk.skipped()
    desk.pause(days=1)
    assert "paused by Ann" in desk.skipped()  # that is what a person has to know
    desk.now += timedelta(seconds=31)
    desk.asked()


# Failed runs


def test_work_that_came_after_a_failed_run_does_not_wait_for_it(desk: Desk) -> None:
    desk.ran(dg.DagsterRunStatus.FAILURE)
    desk.now = utc_now()
    desk.release("a")
    desk.asked()


def test_a_run_that_failed_to_call_a_person_holds_nothing_up(desk: Desk) -> None:
    desk.release("a")
    desk.ran(dg.DagsterRunStatus.FAILURE, **{ALARM: "true"})
    desk.asked()
    desk.ran(dg.DagsterRunStatus.FAILURE)
    assert "failed" in desk.skipped()


# A job that several feeds share


OTHER = "residents/nsss"
NSSS = dg.AssetKey(["residents", "nsss"])


def test_a_run_of_a_shared_job_keeps_only_those_feeds_waiting_that_it_works_on(desk: Desk) -> None:
    desk.release("a.parquet")
    alone = desk.asked(shares=True)
    assert (alone.asset_selection, alone.tags[QUEUE]) == ([FEED.asset], "due")
    desk.ran(dg.DagsterRunStatus.STARTED, **{OTHER: "due"})
    assert desk.asked(shares=True) == alone
    desk.ran(dg.DagsterRunStatus.STARTED, **alone.tags)
    assert "a run is under way" in desk.skipped(shares=True)


def test_what_several_feeds_need_is_one_run(desk: Desk) -> None:
    desk.release("a.parquet", partition=ELEVEN)
    desk.ledger.take_in([NewItem(OTHER, "sheet", "1", TEN, 10, destination=HERE)], desk.now)
    asked = desk.asked(shares=True), desk.asked(shares=True, queue=OTHER, asset=NSSS)
    run = one_run(asked)
    assert run.job_name == JOB
    assert run.asset_selection == [FEED.asset, NSSS]
    assert run.run_config["ops"].keys() == {"aae__packages", "residents__nsss"}
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == (TEN, ELEVEN)
    assert run.tags["feed"] == f"{QUEUE}, {OTHER}"
    assert {run.tags[QUEUE], run.tags[OTHER]} == {"due"}


def test_one_run_works_on_what_may_be_due_once_it_has_begun_as_well(desk: Desk) -> None:
    desk.release("a.parquet")
    shared = replace(FEED, shares=True)
    run = one_run([desk.asked(shares=True)], [shared, replace(shared, queue=OTHER, asset=NSSS)])
    assert run.asset_selection == [FEED.asset, NSSS]
    assert run.run_config["ops"]["residents__nsss"] == {"config": {"only_due": True, "stays": 0.0}}
    assert (run.tags[OTHER], run.tags["feed"]) == ("due", QUEUE)
