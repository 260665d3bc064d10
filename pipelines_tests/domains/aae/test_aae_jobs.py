"""What people do about deliveries, as Dagster offers it: described, tried first, kept in the journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import NewItem, Outcome, Reason, State
from pipelines.definitions import build
from pipelines.domains.aae.jobs import operations
from pipelines.domains.aae.sensors import aae_packages_released
from pipelines.environment import Environment

QUEUE, PARTITION, DESTINATION = "aae/packages", "2026-03-01-11:00", "sandbox://aae"
LEASE = timedelta(minutes=10)


@dataclass
class Office:
    """The jobs over a ledger of their own."""

    environment: Environment
    ledger: Ledger
    instance: dg.DagsterInstance

    def run(self, job: str, **config: Any) -> dg.ExecuteInProcessResult:
        """A job, as a person starts it."""
        definition = build(self.environment).resolve_job_def(job)
        (op,) = definition.graph.node_dict
        asked = {"feed": "packages", "who": "Ann", "why": "AAE asked for it", **config}
        run_config = {"ops": {op: {"config": asked}}}
        return definition.execute_in_process(run_config, self.instance, raise_on_error=False)

    def release(self, *names: str, days_ago: float = 0) -> None:
        """Objects that wait for their delivery since then."""
        items = [NewItem(QUEUE, name, "sha", PARTITION, 10, destination=DESTINATION) for name in names]
        self.ledger.take_in(items, utc_now() - timedelta(days=days_ago))

    def give_up(self, reason: Reason) -> None:
        """Whatever waits becomes a dead letter."""
        claimed = self.claim()
        self.ledger.settle([Outcome(one.id, one.fence, State.DEAD, reason=reason) for one in claimed], utc_now())

    def claim(self) -> list[Any]:
        return self.ledger.claim(QUEUE, owner="run", limit=100, now=utc_now(), lease=LEASE, destination=DESTINATION)

    def tick(self) -> dg.RunRequest | dg.SkipReason:
        """What the sensor of the deliveries says."""
        context = dg.build_sensor_context(
            instance=self.instance, resources={"environment": self.environment, "ledger": self.ledger}
        )
        said = aae_packages_released(context)
        assert isinstance(said, dg.RunRequest | dg.SkipReason)
        return said

    def skipped(self) -> str:
        said = self.tick()
        assert isinstance(said, dg.SkipReason)
        return str(said.skip_message)

    def states(self) -> dict[str, State]:
        return {item.name: item.state for item in self.ledger.items(QUEUE)}

    def observed(self) -> dict[str, Any]:
        """What the last observation of the asset shows."""
        records = self.instance.fetch_observations(dg.AssetKey(["aae", "packages"]), limit=1).records
        observation = records[0].asset_observation
        assert observation is not None
        return {name: value.value for name, value in observation.metadata.items()}


@pytest.fixture
def office(environment: Environment) -> Iterator[Office]:
    with closing(open_ledger(environment.ledger)) as ledger, dg.DagsterInstance.ephemeral() as instance:
        yield Office(environment, ledger, instance)


def outputs(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """The effect that a run shows."""
    (event,) = [one for one in result.all_events if one.event_type is dg.DagsterEventType.STEP_OUTPUT]
    return {name: value.value for name, value in event.step_output_data.metadata.items()}


# Every job


@pytest.mark.parametrize("job", operations, ids=lambda job: str(job.name))
def test_every_field_of_every_job_is_described(job: dg.JobDefinition) -> None:
    assert job.description
    (op,) = job.graph.node_defs
    assert isinstance(op, dg.OpDefinition)
    fields: dict[str, Any] = op.config_schema.config_type.fields  # type: ignore[union-attr]  # a shape
    assert fields.keys() >= {"feed", "who", "why"}
    assert [name for name, one in fields.items() if not one.description] == []


@pytest.mark.parametrize("job", ["aae_replay_dead_letters", "aae_pause_feed", "aae_resume_feed"])
@pytest.mark.parametrize("missing", ["who", "why"])
def test_no_job_runs_without_who_and_why(office: Office, job: str, missing: str) -> None:
    more = {"dry_run": False} if job == "aae_replay_dead_letters" else {}
    assert not office.run(job, **{missing: " "}, **more).success
    assert office.ledger.journal() == []


# Replay


def test_a_replay_is_a_dry_run_unless_it_is_told_otherwise_and_leaves_no_entry(office: Office) -> None:
    office.release("a", "b")
    office.give_up(Reason.REFUSED)
    result = office.run("aae_replay_dead_letters")
    assert result.success
    assert outputs(result) == {"objects": 2, "bytes": 20, "reasons": {"refused": 2}}
    assert office.states() == {"a": State.DEAD, "b": State.DEAD}
    assert office.ledger.journal() == []


def test_a_replay_makes_them_due_and_says_in_the_journal_who_had_it_done_why_and_what_came_of_it(
    office: Office,
) -> None:
    office.release("a", "b")
    office.give_up(Reason.REFUSED)
    office.release("c")
    office.give_up(Reason.TOO_MANY_ATTEMPTS)
    result = office.run("aae_replay_dead_letters", dry_run=False, reasons=["refused"])
    assert result.success
    assert office.states() == {"a": State.PENDING, "b": State.PENDING, "c": State.DEAD}
    (entry,) = office.ledger.journal()
    assert (entry.action, entry.who, entry.why) == ("aae_replay_dead_letters", "Ann", "AAE asked for it")
    assert entry.run == result.run_id
    assert entry.scope == {"feed": "packages", "reasons": ["refused"], "since": "", "until": ""}
    assert entry.effect == {"objects": 2, "bytes": 20, "reasons": {"refused": 2}}
    assert isinstance(office.tick(), dg.RunRequest)


def test_a_replay_takes_those_that_died_in_a_time(office: Office) -> None:
    office.release("a")
    office.give_up(Reason.REFUSED)
    between = utc_now()
    office.release("b")
    office.give_up(Reason.REFUSED)
    before = f"{between.replace(tzinfo=None).isoformat()}"  # without a zone it is UTC
    assert office.run("aae_replay_dead_letters", dry_run=False, until=before).success
    assert office.states() == {"a": State.PENDING, "b": State.DEAD}
    assert office.run("aae_replay_dead_letters", dry_run=False, since=between.isoformat()).success
    assert office.states() == {"a": State.PENDING, "b": State.PENDING}


@pytest.mark.parametrize(
    "wrong",
    [
        {"reasons": ["refusd"]},
        {"since": "yesterday"},
        {"until": "2026-13-01"},
        {"since": "2026-03-02", "until": "2026-03-01T12:00"},
        {"since": "2026-03-01T12:00", "until": "2026-03-01T13:00+01:00"},
    ],
)
def test_what_can_t_be_meant_is_refused_and_does_nothing(office: Office, wrong: dict[str, Any]) -> None:
    office.release("a")
    office.give_up(Reason.REFUSED)
    assert not office.run("aae_replay_dead_letters", dry_run=False, **wrong).success
    assert office.states() == {"a": State.DEAD}
    assert office.ledger.journal() == []


def test_the_other_feed_is_left_alone(office: Office) -> None:
    office.release("a")
    office.give_up(Reason.REFUSED)
    assert office.run("aae_replay_dead_letters", feed="events", dry_run=False).success
    assert office.states() == {"a": State.DEAD}


# Pause and resume


def test_while_paused_backlog_age_and_days_left_are_seen_and_nothing_is_taken(office: Office) -> None:
    office.release("a", "b", days_ago=1.5)
    assert isinstance(office.tick(), dg.RunRequest)
    assert office.run("aae_pause_feed", days=2.0).success
    told = office.skipped()
    assert "paused by Ann" in told
    assert "2.0 days left" in told
    assert "2 wait" in told
    assert "36.0 hours ago" in told
    assert office.observed()["paused"] == told
    assert office.claim() == []


def test_what_comes_in_while_paused_is_kept_and_counted(office: Office) -> None:
    office.run("aae_pause_feed")
    assert "0 wait" in office.skipped()
    office.release("a", "b", "c")
    assert "3 wait" in office.skipped()


def test_a_resumed_feed_goes_on_with_the_next_tick_and_has_lost_nothing(office: Office) -> None:
    office.release("a", "b")
    office.run("aae_pause_feed")
    assert office.run("aae_resume_feed").success
    assert isinstance(office.tick(), dg.RunRequest)
    assert office.observed() == {"resumed": "was paused by Ann"}
    assert {item.name for item in office.claim()} == {"a", "b"}


def test_a_feed_that_is_not_paused_is_resumed_in_vain(office: Office) -> None:
    assert outputs(office.run("aae_resume_feed")) == {"resumed": "was not paused"}


def test_pauses_and_what_ended_them_are_in_the_journal(office: Office) -> None:
    office.run("aae_pause_feed", days=3.0, why="they move house")
    office.run("aae_resume_feed", who="Bob", why="they have moved")
    resumed, paused = office.ledger.journal()
    assert (paused.action, paused.who, paused.why) == ("aae_pause_feed", "Ann", "they move house")
    assert paused.scope["queue"] == QUEUE
    assert (resumed.action, resumed.who, resumed.why) == ("aae_resume_feed", "Bob", "they have moved")
    assert resumed.effect == {"resumed": "was paused by Ann"}


def test_a_pause_ends_by_itself(office: Office) -> None:
    office.release("a")
    office.run("aae_pause_feed", days=1e-9)
    assert isinstance(office.tick(), dg.RunRequest)


@pytest.mark.parametrize("days", [0.0, -1.0, 14.5, 1e9])
def test_a_pause_has_an_end_that_is_not_too_far(office: Office, days: float) -> None:
    assert not office.run("aae_pause_feed", days=days).success
    assert office.ledger.paused(QUEUE, utc_now()) is None


def test_the_other_feed_goes_on(office: Office) -> None:
    office.release("a")
    office.run("aae_pause_feed", feed="events")
    assert isinstance(office.tick(), dg.RunRequest)
