"""The jobs of the mobile domain, run as the UI runs them: tried first, then done, with an entry in the journal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import Entry, State
from pipelines.definitions import build
from pipelines.domains.mobile.jobs import operations
from pipelines.domains.mobile.sensors import mobile_raw_retention
from pipelines.environment import Environment
from pipelines_tests.domains.mobile.stages import LATER, OTHER, Stage, lines, text

WHO = {"who": "Ada", "why": "an app sent a stray sign"}
HOURS = {"first_hour": "2026-03-01-12:00"}
PLANTED = "ZZ9Q"
"""A district that no mapping knows, in whatever is landed here."""

Job = tuple[str, str, dict[str, Any]]
"""A job, its op, and config."""

REPROCESS: Job = ("mobile_reprocess_quarantine", "mobile_reprocess", {"feed": "packages", **HOURS})
REMAP: Job = ("mobile_remap_hours", "mobile_remap", {"feed": "packages", **HOURS, "consequences_accepted": True})
DELETE: Job = ("mobile_delete_landed", "mobile_delete", {"feed": "packages"})
TRIED = pytest.mark.parametrize(("job", "op", "config"), [REPROCESS, REMAP, DELETE], ids=lambda one: str(one)[:20])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def home(environment: Environment) -> Iterator[Stage]:
    """A delivered file with a rejected record, under a mapping that is not in force any more."""
    environment.home.mkdir()
    stage = Stage.open(environment.home)
    bad = lines(1)[0].replace(b'"postalDistrict":"', b'"postalDistrict":"%b' % PLANTED.encode())
    assert PLANTED.encode() in bad
    stage.land(f"a{PLANTED}.json", text([*lines(3), b"#" + bad, b'{"x":"%b"}' % PLANTED.encode()]))
    stage.run()
    stage.deliver()
    yield stage.under(OTHER)
    stage.ledger.close()


class Ran:
    """A run of a job, and everything that it says to whoever looks at it."""

    def __init__(self, result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> None:
        self.id, self.success = result.run_id, result.success
        self.said = "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
        handled = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
        found = [event.step_output_data.metadata for event in handled]
        self.metadata = {name: value.value for one in found for name, value in one.items()}
        self.observed = result.get_asset_observation_events()


def run(environment: Environment, instance: dg.DagsterInstance, job: str, op: str, config: dict[str, Any]) -> Ran:
    result = (
        build(environment)
        .resolve_job_def(job)
        .execute_in_process(
            run_config={"ops": {op: {"config": {**WHO, **config}}}}, instance=instance, raise_on_error=False
        )
    )
    return Ran(result, instance)


def everything(stage: Stage) -> tuple[dict[Path, bytes], list[Any]]:
    """All that a job could change."""
    files = {
        path: path.read_bytes()
        for store in ("landing", "lake")
        for path in (stage.root / store).rglob("*")
        if path.is_file()
    }
    return files, [*stage.ledger.items(stage.feed.queue), *stage.released()]


def last(stage: Stage) -> Entry:
    """The one entry of the journal."""
    (entry,) = stage.ledger.journal()
    return entry


# What all of them promise


def test_every_job_and_every_field_of_its_config_is_described() -> None:
    for job in operations:
        assert job.description
        (op,) = job.all_node_defs
        assert op.description
        assert op.config_schema is not None
        shape = op.config_schema.as_field().config_type
        assert isinstance(shape, dg.Shape)
        fields = shape.fields
        assert {"who", "why", "feed"} <= set(fields)
        for name, field in fields.items():
            assert field.description, (job.name, name)
            assert field.description.endswith("."), (job.name, name)


@TRIED
def test_a_dry_run_is_the_default_and_leaves_no_trace_but_its_words(
    environment: Environment, instance: dg.DagsterInstance, home: Stage, job: str, op: str, config: dict[str, Any]
) -> None:
    before = everything(home)
    ran = run(environment, instance, job, op, config)
    assert ran.success
    assert everything(home) == before
    assert home.ledger.journal() == []
    assert "Dry run, nothing was done" in ran.said
    assert ran.metadata["files"] == 1


@TRIED
def test_the_real_one_does_what_the_dry_run_told_and_leaves_who_why_and_what_in_the_journal(
    environment: Environment, instance: dg.DagsterInstance, home: Stage, job: str, op: str, config: dict[str, Any]
) -> None:
    before = everything(home)
    told = run(environment, instance, job, op, config)
    began = utc_now()
    ran = run(environment, instance, job, op, {**config, "dry_run": False})
    assert ran.success
    assert everything(home) != before
    entry = last(home)
    assert (entry.action, entry.who, entry.why, entry.run) == (job, WHO["who"], WHO["why"], ran.id)
    assert entry.scope["feed"] == "packages"
    assert entry.effect == told.metadata == ran.metadata
    assert entry.ended_at is not None
    assert began <= entry.at <= entry.ended_at <= utc_now()


@TRIED
def test_nothing_that_landed_is_repeated_in_logs_metadata_or_journal(
    environment: Environment, instance: dg.DagsterInstance, home: Stage, job: str, op: str, config: dict[str, Any]
) -> None:
    if op == "mobile_delete":  # here it fails on a quarantine that can't be read
        home.quarantine(f"a{PLANTED}.json").write_bytes(b'{"line":"%b"}' % PLANTED.encode())
    for dry_run in (True, False):
        ran = run(environment, instance, job, op, {**config, "dry_run": dry_run})
        assert ran.success
        assert PLANTED not in ran.said
        assert PLANTED not in str(ran.metadata)
    assert PLANTED not in str(last(home))


@TRIED
def test_with_a_lost_ledger_nothing_is_done(
    environment: Environment, instance: dg.DagsterInstance, home: Stage, job: str, op: str, config: dict[str, Any]
) -> None:
    home.ledger.close()
    for path in home.root.glob("ledger.db*"):
        path.unlink()
    ran = run(environment, instance, job, op, {**config, "dry_run": False})
    assert not ran.success
    assert "the ledger is lost" in ran.said
    assert home.path(f"a{PLANTED}.json").exists()


# Config that can't be meant

PAUSE: Job = ("mobile_pause_feed", "mobile_pause", {"feed": "packages"})
RESUME: Job = ("mobile_resume_feed", "mobile_resume", {"feed": "packages"})
NO_HOUR = "an hour is written as its partition is called"


def really(job: Job) -> Job:
    """The same, not tried but done."""
    return job[0], job[1], {**job[2], "dry_run": False}


BAD: list[tuple[Job, dict[str, Any], str]] = [
    (really(REPROCESS), {"who": ""}, "should have at least 1 character"),
    (really(REPROCESS), {"why": "  "}, "it is blank"),
    (really(REPROCESS), {"first_hour": "2026-03-01T12:00"}, NO_HOUR),
    (really(REPROCESS), {"first_hour": ""}, NO_HOUR),
    (really(REPROCESS), {"first_hour": "2026-03-01-12:30"}, NO_HOUR),
    (really(REPROCESS), {"last_hour": "tomorrow"}, NO_HOUR),
    (really(REPROCESS), {"last_hour": "2026-03-01-11:00"}, "last_hour lies before first_hour"),
    (really(REPROCESS), {"reasons": ["not JSON", "not Jason"]}, "an unknown reason; known are: "),
    (really(REMAP), {"consequences_accepted": False}, "the consequences are not accepted"),
    (really(DELETE), {"older_than_hours": -1.0}, "should be greater than or equal to 0"),
    (PAUSE, {"days": 0.0}, "should be greater than 0"),
    (PAUSE, {"days": 15.0}, "should be less than or equal to 14"),
    (PAUSE, {"who": " "}, "it is blank"),
]


@pytest.mark.parametrize(("job", "wrong", "words"), BAD, ids=[f"{job[1]} {wrong}" for job, wrong, _ in BAD])
def test_config_that_cannot_be_meant_is_a_clear_error_and_nothing_is_done(
    environment: Environment,
    instance: dg.DagsterInstance,
    home: Stage,
    job: Job,
    wrong: dict[str, Any],
    words: str,
) -> None:
    before = everything(home)
    ran = run(environment, instance, job[0], job[1], {**job[2], **wrong})
    assert not ran.success
    assert words in ran.said
    assert everything(home) == before
    assert home.ledger.journal() == []
    assert home.ledger.paused(home.feed.queue, utc_now()) is None


@pytest.mark.parametrize("wrong", [{"feed": "PACKETS"}, {"feed": "PACKAGES"}, {"dry": False}, {"dry_run": "no"}])
def test_config_of_another_shape_is_refused_before_a_run_begins(
    environment: Environment, instance: dg.DagsterInstance, home: Stage, wrong: dict[str, Any]
) -> None:
    with pytest.raises(dg.DagsterInvalidConfigError):
        run(environment, instance, *REPROCESS[:2], {**REPROCESS[2], **wrong})


# Quarantine processed again


def test_only_the_reasons_that_are_named_are_processed_again(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    ran = run(environment, instance, *REPROCESS[:2], {**REPROCESS[2], "reasons": ["not JSON"], "dry_run": False})
    assert ran.metadata == {
        "files": 1,
        "records": {"not JSON": 1},
        "left in quarantine": {"missing": 1},
        "files left as they are": {},
    }
    assert last(home).scope["reasons"] == ["not JSON"]


def test_hours_beside_those_that_are_named_are_left_alone(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    other = {"first_hour": "2026-03-01-13:00", "last_hour": "2026-03-02-00:00", "dry_run": False}
    ran = run(environment, instance, *REPROCESS[:2], {**REPROCESS[2], **other})
    assert ran.metadata["files"] == 0
    assert last(home).scope == {
        "feed": "packages",
        "first": "2026-03-01-13:00",
        "last": "2026-03-02-00:00",
        "reasons": [],
    }


def test_a_job_that_fails_midway_says_so_in_the_journal_with_what_it_did(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    home.land("b.json", text(lines(2)))
    home.run(LATER)
    (home.root / "landing/reprocessed").write_bytes(b"in the way")
    ran = run(environment, instance, *REPROCESS[:2], {**REPROCESS[2], "dry_run": False})
    assert not ran.success
    entry = last(home)
    assert entry.ended_at is not None
    assert entry.effect is not None
    assert (entry.effect["failed"], entry.effect["files"], entry.effect["records"]) == ("ObjectsUnavailable", 1, {})
    assert PLANTED not in str(entry)


# Old hours mapped anew


def test_the_consequences_are_in_the_dry_run_and_in_the_journal(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    told = run(environment, instance, *REMAP[:2], REMAP[2])
    assert "1 of 1 objects have left" in str(told.metadata["consequences"])
    assert told.metadata["files that may have left"] == 1
    run(environment, instance, *REMAP[:2], {**REMAP[2], "dry_run": False})
    entry = last(home)
    assert entry.effect is not None
    assert entry.effect["consequences"] == told.metadata["consequences"]
    assert entry.scope["mapping"] == OTHER.sha256
    assert home.item(f"a{PLANTED}.json").state is State.PENDING


def test_without_an_accepted_mapping_nothing_can_be_mapped_anew(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    ran = run(environment, instance, *REMAP[:2], {**REMAP[2], "dry_run": False})
    assert not ran.success
    assert "no privacy mapping is accepted yet" in ran.said


# Landed files deleted


def test_landed_files_are_deleted_after_the_time_that_the_setting_names_unless_another_is_given(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    age = (utc_now() - LATER) / timedelta(hours=1)
    longer = environment.model_copy(update={"mobile_raw_hours": age + 24})
    ran = run(longer, instance, *DELETE[:2], {**DELETE[2], "dry_run": False})
    assert (ran.metadata["files"], ran.metadata["kept"]) == (0, {"settled too short a time ago": 1})
    ran = run(longer, instance, *DELETE[:2], {**DELETE[2], "dry_run": False, "older_than_hours": age - 24})
    assert ran.metadata["files"] == 1
    assert not home.path(f"a{PLANTED}.json").exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_where_the_setting_keeps_landed_files_for_good_they_are_kept_unless_a_time_is_given(
    environment: Environment, instance: dg.DagsterInstance, home: Stage, dry_run: bool
) -> None:
    kept = environment.model_copy(update={"mobile_raw_hours": 0.0})
    ran = run(kept, instance, *DELETE[:2], {**DELETE[2], "dry_run": dry_run})
    assert not ran.success
    assert "kept for good" in ran.said
    assert home.path(f"a{PLANTED}.json").exists()
    assert home.ledger.journal() == []
    ran = run(kept, instance, *DELETE[:2], {**DELETE[2], "dry_run": dry_run, "older_than_hours": 1.0})
    assert ran.metadata["files"] == 1


def tick(environment: Environment) -> list[dg.RunRequest]:
    """What the schedule asks for."""
    with dg.build_schedule_context(resources={"environment": environment}) as context:
        return list(mobile_raw_retention.evaluate_tick(context).run_requests or [])


def test_the_schedule_deletes_what_landed_of_every_feed(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    requests = tick(environment)
    assert len({request.run_key for request in requests} - {None}) == len(requests) == 2
    job = build(environment).resolve_job_def("mobile_delete_landed")
    for request in requests:
        assert job.execute_in_process(run_config=request.run_config, instance=instance).success
    assert not home.path(f"a{PLANTED}.json").exists()
    assert [(entry.scope["feed"], entry.who) for entry in home.ledger.journal()] == [
        ("events", "the schedule"),
        ("packages", "the schedule"),
    ]


def test_the_schedule_asks_for_nothing_where_landed_files_are_kept_for_good(environment: Environment) -> None:
    assert tick(environment.model_copy(update={"mobile_raw_hours": 0.0})) == []


# Pause and resume


def taken(stage: Stage) -> int:
    """How many landed files a run gets, which it lets go at once."""
    return len(stage.ledger.claim(stage.feed.queue, owner="run", limit=10, now=utc_now(), lease=timedelta(0)))


def test_of_a_paused_feed_nothing_is_taken_until_it_is_resumed(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    home.land("b.json", text(lines(2)))
    home.take_in(LATER)
    ran = run(environment, instance, *PAUSE[:2], {**PAUSE[2], "days": 2.0})
    assert ran.success
    pause = home.ledger.paused(home.feed.queue, utc_now())
    assert pause is not None
    assert (pause.who, pause.why, pause.until - pause.since) == (*WHO.values(), timedelta(days=2))
    assert home.ledger.paused("mobile/events", utc_now()) is None
    assert taken(home) == 0
    assert run(environment, instance, *RESUME).success
    assert home.ledger.paused(home.feed.queue, utc_now()) is None
    assert taken(home) == 1


def test_pausing_and_resuming_are_in_the_journal_and_shown_with_the_asset(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    home.land("b.json", text(lines(2)))
    home.take_in(LATER)
    ran = [run(environment, instance, *PAUSE), run(environment, instance, *RESUME)]
    resumed, paused = home.ledger.journal()
    assert [paused.run, resumed.run] == [one.id for one in ran]
    assert [paused.action, resumed.action] == [PAUSE[0], RESUME[0]]
    assert {paused.who, resumed.who} == {WHO["who"]}
    assert paused.effect is not None
    assert resumed.effect is not None
    assert "1 wait" in paused.effect["paused"]
    assert "1.0 days left" in paused.effect["paused"]
    assert resumed.effect == {"resumed": "was paused by Ada"}
    for one, effect in zip(ran, (paused.effect, resumed.effect), strict=True):
        (observed,) = one.observed
        assert observed.asset_observation_data.asset_observation.asset_key == dg.AssetKey(["mobile", "packages"])
        assert one.metadata == effect


def test_pausing_again_begins_anew_and_what_is_not_paused_can_be_resumed(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    run(environment, instance, *PAUSE[:2], {**PAUSE[2], "days": 14.0})
    run(environment, instance, *PAUSE[:2], {**PAUSE[2], "days": 0.5, "who": "Grace"})
    pause = home.ledger.paused(home.feed.queue, utc_now())
    assert pause is not None
    assert (pause.who, pause.until - pause.since) == ("Grace", timedelta(hours=12))
    run(environment, instance, *RESUME)
    ran = run(environment, instance, *RESUME)
    assert ran.success
    assert ran.metadata == {"resumed": "was not paused"}
