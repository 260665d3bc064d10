"""Delivery as Dagster runs it: what is recorded, what is judged, when a run fails, when one is asked for."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from pydantic import SecretStr

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import open_objects
from pipelines.core.circuit import Circuit
from pipelines.core.work import NewItem, Outcome, Reason, State
from pipelines.definitions import build
from pipelines.environment import Environment
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.addresses import sandbox_running
from pipelines.sensors import Feed, due_run, pause_after_failures

QUEUE = "aae/packages"
PACKAGES = dg.AssetKey(["aae", "packages"])
JOB = "aae_deliver_packages"
NINE, TEN, ELEVEN = (f"2026-03-01-{hour}:00" for hour in ("09", "10", "11"))
DISTRICT = "ZZ9Q"
"""A canary: a value of a record, which may leave in an object and nowhere else."""


@dataclass
class House:
    """The whole code location over one folder, its sandbox running, with a Dagster instance of its own."""

    environment: Environment
    ledger: Ledger
    aae: Aae
    instance: dg.DagsterInstance

    def release(self, *names: str, partition: str = TEN, destination: str = "sandbox://aae") -> None:
        """Store and release, as the privacy filter does for what it verified."""
        self.ledger.take_in([self.store(name, partition, destination) for name in names], utc_now())

    def store(self, name: str, partition: str = TEN, destination: str = "sandbox://aae") -> NewItem:
        body = f"{DISTRICT} in {name}".encode()
        key = f"mobile/packages/{name}"
        open_objects(self.environment.lake).put(key, body)
        detail = {"key": key, "name": name, "content_type": "application/octet-stream"}
        sha256 = hashlib.sha256(body).hexdigest()
        return NewItem(QUEUE, name, sha256, partition, len(body), destination=destination, detail=detail)

    def run(self, first: str, last: str | None = None, *, only_due: bool = False) -> dg.ExecuteInProcessResult:
        """A run over these partitions, as a person (or, with ``only_due``, a sensor) starts it."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
        config = {"ops": {"aae__packages": {"config": {"only_due": only_due}}}}
        job = build(self.environment).resolve_job_def(JOB)
        return job.execute_in_process(run_config=config, tags=tags, instance=self.instance, raise_on_error=False)

    def materialized(self) -> set[str]:
        return self.instance.get_materialized_partitions(PACKAGES)

    def kept(self, result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        """The events of a run as they are kept: of a run that fails its result hands on less."""
        return [entry.get_dagster_event() for entry in self.instance.all_logs(result.run_id, of_type=kind)]

    def judged(self, result: dg.ExecuteInProcessResult) -> dict[tuple[str | None, str], bool]:
        """What each check said of each partition."""
        events = self.kept(result, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [event.asset_check_evaluation_data for event in events]
        return {(one.partition, one.check_name): one.passed for one in found}

    def metadata(self, result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
        """The metadata of each materialised partition."""
        events = self.kept(result, dg.DagsterEventType.ASSET_MATERIALIZATION)
        made = [event.step_materialization_data.materialization for event in events]
        return {str(one.partition): {name: value.value for name, value in one.metadata.items()} for one in made}

    def errors(self, result: dg.ExecuteInProcessResult) -> list[str]:
        """What was logged as an error and is no event of Dagster's own."""
        entries = self.instance.all_logs(result.run_id)
        return [one.user_message for one in entries if one.level == logging.ERROR and one.dagster_event is None]

    def states(self) -> dict[str, State]:
        return {item.name: item.state for item in self.ledger.items(QUEUE)}

    def feed(self, **changes: Any) -> Feed:
        return replace(Feed(QUEUE, JOB, PACKAGES, enabled=True, destination="sandbox://aae"), **changes)

    def asked(self, feed: Feed | None = None, now: datetime | None = None) -> dg.RunRequest | dg.SkipReason:
        return due_run(feed or self.feed(), self.ledger, self.instance, self.environment, now or utc_now(), "sensor")


@pytest.fixture
def house(environment: Environment) -> Iterator[House]:
    with (
        closing(open_ledger(environment.ledger)) as ledger,
        sandbox_running(environment.sandbox, datetime.now(UTC)) as aae,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield House(environment, ledger, aae, instance)


# What is recorded


def test_a_run_that_a_sensor_starts_records_only_what_it_touched_with_its_checks(house: House) -> None:
    house.release("a.parquet", partition=NINE)
    house.release("b.parquet", "c.parquet", partition=ELEVEN)
    result = house.run(NINE, ELEVEN, only_due=True)
    assert result.success
    assert house.materialized() == {NINE, ELEVEN}
    assert house.judged(result) == {
        (partition, check): True
        for partition in (NINE, ELEVEN)
        for check in ("nothing_pending", "every_object_settled")
    }


def test_a_run_over_a_range_records_every_partition_of_it(house: House) -> None:
    house.release("a.parquet", partition=NINE)
    house.release("b.parquet", partition="2026-03-01-12:00")
    result = house.run(NINE, ELEVEN)
    assert result.success
    assert house.materialized() == {NINE, TEN, ELEVEN}
    assert house.states() == {"a.parquet": State.SETTLED, "b.parquet": State.PENDING}


@pytest.mark.parametrize("status", [201, 422])
def test_an_hour_that_is_started_by_hand_is_judged_though_its_alarm_fails_the_run(house: House, status: int) -> None:
    """From the UI the checks come along as a step of their own, which a run that fails would skip."""
    house.aae.behave(Behaviour(status=status))
    house.release("a.parquet")
    job = build(house.environment).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        asset_selection=[PACKAGES], partition_key=TEN, instance=house.instance, raise_on_error=False
    )
    assert result.success == (status == 201)
    assert house.materialized() == {TEN}
    assert len(house.metadata(result)) == 1
    assert house.judged(result) == {(TEN, "nothing_pending"): True, (TEN, "every_object_settled"): status == 201}


def test_metadata_has_counts_and_reasons_and_nothing_else(house: House) -> None:
    house.aae.behave(Behaviour(status=400, names="bad*"))
    house.release("a.parquet", "bad.parquet")
    (facts,) = house.metadata(house.run(TEN)).values()
    assert facts.pop("reasons") == {"refused": 1}
    size = facts.pop("bytes")
    assert size == len(f"{DISTRICT} in a.parquet")
    assert facts == {
        "objects": 2,
        "delivered": 1,
        "waiting": 0,
        "dead": 1,
        "superseded": 0,
        "oldest_age_seconds": 0.0,
    }


def test_the_endpoint_is_observed(house: House) -> None:
    house.aae.behave(Behaviour(status=503, names="late*"))
    house.release("a.parquet")
    house.run(TEN)
    house.release("late.parquet")
    house.release("b.parquet", "c.parquet", destination="https://aae.example/c19appdata")
    result = house.run(TEN)
    (event,) = house.kept(result, dg.DagsterEventType.ASSET_OBSERVATION)
    observed = event.asset_observation_data.asset_observation
    assert observed.asset_key == dg.AssetKey(["aae", "endpoint"])
    facts = {name: value.value for name, value in observed.metadata.items()}
    age = facts.pop("oldest_age_seconds")
    assert isinstance(age, float)
    assert age > 0
    assert facts == {
        "feed": "packages",
        "destination": "sandbox://aae",
        "waiting": 1,
        "waiting_for_other_destinations": 2,
        "dead": 0,
        "reasons": {"server error": 1},
        "in_order": True,
        "failures_in_a_row": 1,
    }


# What does not leave


def test_an_unverified_file_does_not_leave_though_its_delivery_is_started_by_hand(house: House) -> None:
    """The gate is in the ledger: the bytes are in the lake, but nothing released them."""
    unverified = house.store("unverified.parquet")
    landed = NewItem("mobile/packages", "mobile/packages/2026/03/01/10/unverified.json", "1", TEN, 1)
    house.ledger.take_in([landed], utc_now())
    lease = timedelta(minutes=1)
    (item,) = house.ledger.claim("mobile/packages", owner="filter", limit=1, now=utc_now(), lease=lease)
    refused = Outcome(item.id, item.fence, State.DEAD, reason=Reason.UNVERIFIED, releases=())
    house.ledger.settle([refused], utc_now())
    assert house.run(TEN).success
    assert house.run(TEN, only_due=True).success
    assert house.aae.received() == []
    house.ledger.take_in([unverified], utc_now())  # and it is the release alone that was missing
    house.run(TEN)
    assert [one.name for one in house.aae.received()] == ["unverified.parquet"]


def test_what_was_released_for_another_address_does_not_leave_by_hand_either(house: House) -> None:
    house.release("a.parquet", destination="https://aae.example/c19appdata")
    house.run(TEN)
    assert house.aae.received() == []
    assert house.states() == {"a.parquet": State.PENDING}


# What is judged, and when a run fails


def test_a_dead_letter_fails_its_check_and_the_run_after_all_was_sent(house: House) -> None:
    house.aae.behave(Behaviour(status=422, names="bad*"))
    house.release("bad.parquet", partition=NINE)
    house.release("good.parquet", partition=TEN)
    result = house.run(NINE, TEN, only_due=True)
    assert not result.success
    assert house.states() == {"bad.parquet": State.DEAD, "good.parquet": State.SETTLED}
    assert house.materialized() == {NINE, TEN}
    assert house.judged(result)[NINE, "every_object_settled"] is False
    assert house.judged(result)[NINE, "nothing_pending"] is True
    assert house.judged(result)[TEN, "every_object_settled"] is True
    assert house.errors(result) == ["1 dead letters, 0 allowed"]


def test_dead_letters_up_to_the_setting_fail_no_run(house: House) -> None:
    house.environment = house.environment.model_copy(update={"aae_dead_letters": 1})
    house.aae.behave(Behaviour(status=422))
    house.release("bad.parquet")
    assert house.run(TEN).success


def test_a_backlog_that_is_too_old_fails_the_run_after_it_sent_what_it_could(house: House) -> None:
    house.environment = house.environment.model_copy(update={"aae_backlog_seconds": 3600})
    house.ledger.take_in([house.store("old.parquet")], utc_now() - timedelta(hours=2))
    house.release("new.parquet")
    house.aae.behave(Behaviour(status=503, names="old*"))
    result = house.run(TEN)
    assert not result.success
    assert house.states() == {"old.parquet": State.PENDING, "new.parquet": State.SETTLED}
    assert house.judged(result)[TEN, "nothing_pending"] is False
    (error,) = house.errors(result)
    assert error.startswith("1 objects wait, the oldest since")


# When a run is asked for


def test_what_is_due_is_asked_for_in_one_run_and_nothing_due_in_none(house: House) -> None:
    assert isinstance(house.asked(), dg.SkipReason)
    house.release("a.parquet", partition=NINE)
    house.release("b.parquet", partition=ELEVEN)
    request = house.asked()
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_start"] == NINE
    assert request.tags["dagster/asset_partition_range_end"] == ELEVEN
    assert request.run_key is None
    result = house.run(NINE, ELEVEN, only_due=True)
    assert result.success
    assert isinstance(house.asked(), dg.SkipReason)


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED])
def test_no_run_is_asked_for_while_one_is_live_and_one_that_died_without_a_word_is_not(
    house: House, status: dg.DagsterRunStatus
) -> None:
    house.release("a.parquet")
    house.instance.create_run_for_job(build(house.environment).resolve_job_def(JOB), status=status)
    assert house.asked() == dg.SkipReason("a run is under way and takes what is due")
    longest = timedelta(seconds=2 * house.environment.run_seconds)
    assert isinstance(house.asked(now=utc_now() + longest + timedelta(seconds=1)), dg.RunRequest)


def test_a_run_that_is_over_keeps_none_from_being_asked_for(house: House) -> None:
    house.release("a.parquet")
    job = build(house.environment).resolve_job_def(JOB)
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED):
        house.instance.create_run_for_job(job, status=status)
    assert isinstance(house.asked(), dg.RunRequest)


def test_runs_that_fail_without_taking_what_is_due_are_asked_for_ever_less_often(house: House) -> None:
    """Code that does not load fails each run at once: a run every few seconds would only fill the disk."""
    house.release("a.parquet")
    job = build(house.environment).resolve_job_def(JOB)
    for seconds in (30, 120, 480):
        house.instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE)
        now = utc_now()
        assert isinstance(house.asked(now=now + timedelta(seconds=seconds - 5)), dg.SkipReason)
        assert isinstance(house.asked(now=now + timedelta(seconds=seconds + 1)), dg.RunRequest)
    house.instance.create_run_for_job(job, status=dg.DagsterRunStatus.SUCCESS)
    assert isinstance(house.asked(), dg.RunRequest)


def test_a_run_that_took_all_and_then_raised_an_alarm_holds_nothing_up(house: House) -> None:
    """One dead letter fails each run; the objects beside it must not wait for it."""
    house.aae.behave(Behaviour(status=422, names="bad.parquet"))
    house.release("late.parquet", "bad.parquet")
    job = build(house.environment).resolve_job_def(JOB)
    tags = {"dagster/asset_partition_range_start": NINE, "dagster/asset_partition_range_end": ELEVEN}
    config = {"ops": {"aae__packages": {"config": {"only_due": True}}}}
    for _ in range(3):
        result = job.execute_in_process(tags=tags, run_config=config, instance=house.instance, raise_on_error=False)
        assert not result.success
    assert pause_after_failures(JOB, house.instance, datetime(2020, 1, 1, tzinfo=UTC)) is None


def test_while_the_circuit_is_open_a_run_is_asked_for_at_the_probe_only(house: House) -> None:
    house.release("a.parquet")
    now = utc_now()
    probe = now + timedelta(minutes=5)
    house.ledger.set_circuit(f"{QUEUE} sandbox://aae", Circuit(1, now, probe, 1, Reason.NOT_ALLOWED))
    assert isinstance(house.asked(now=probe - timedelta(seconds=1)), dg.SkipReason)
    assert isinstance(house.asked(now=probe), dg.RunRequest)


def test_a_feed_that_is_switched_off_asks_for_nothing_and_keeps_its_backlog(house: House) -> None:
    house.release("a.parquet")
    assert isinstance(house.asked(house.feed(enabled=False)), dg.SkipReason)
    assert house.states() == {"a.parquet": State.PENDING}
    assert isinstance(house.asked(), dg.RunRequest)


def test_what_is_bound_elsewhere_asks_for_no_run(house: House) -> None:
    house.release("a.parquet", destination="https://aae.example/c19appdata")
    assert isinstance(house.asked(), dg.SkipReason)


# Secrets


def test_secrets_and_values_are_in_no_event_no_log_and_no_metadata(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through the credentials of a real deployment, PKCS12 with its password, one object refused and one delivered."""
    sandbox = house.environment.sandbox
    certificates = sandbox / "certificates"
    key, password = (sandbox / "aae.key").read_text(), (certificates / "client.password").read_text()
    for name, value in (
        ("SUBSCRIPTION_KEY", key),
        ("CLIENT_CERTIFICATE", str(certificates / "client.p12")),
        ("CLIENT_CERTIFICATE_PASSWORD", password),
        ("CERTIFICATE_AUTHORITY", str(certificates / "authority.pem")),
    ):
        monkeypatch.setenv(f"PIPELINES_AAE_{name}", value)
    house.environment = house.environment.model_copy(update={"aae": house.aae.url})
    house.aae.behave(Behaviour(status=400, names="bad*"), Behaviour(status=503, names="late*"))
    house.release("a.parquet", "bad.parquet", "late.parquet", destination=house.aae.url)
    with caplog.at_level(logging.DEBUG):
        result = house.run(TEN)
    assert house.states()["a.parquet"] is State.SETTLED
    logs = house.instance.all_logs(result.run_id)
    printed = capfd.readouterr()
    said = "\n".join([*(repr(one) for one in logs), caplog.text, printed.out, printed.err, *_ledger_texts(house)])
    assert "dead letters" in said
    private_key = (certificates / "client.pem").read_text().splitlines()[1]
    for secret in (key, password, private_key, DISTRICT):
        assert secret not in said


def _ledger_texts(house: House) -> Iterator[str]:
    yield from (repr(item) for item in house.ledger.items(QUEUE))


@pytest.mark.parametrize("fault", ["no key", "a wrong password"])
def test_a_credential_that_will_not_do_fails_the_run_without_being_shown(
    house: House, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    wrong = SecretStr("canary-of-a-password")
    certificates = house.environment.sandbox / "certificates"
    if fault != "no key":
        monkeypatch.setenv("PIPELINES_AAE_SUBSCRIPTION_KEY", "canary-of-a-key")
    monkeypatch.setenv("PIPELINES_AAE_CLIENT_CERTIFICATE", str(certificates / "client.p12"))
    monkeypatch.setenv("PIPELINES_AAE_CLIENT_CERTIFICATE_PASSWORD", wrong.get_secret_value())
    house.environment = house.environment.model_copy(update={"aae": house.aae.url})
    house.release("a.parquet", destination=house.aae.url)
    result = house.run(TEN)
    assert not result.success
    assert house.aae.received() == []
    said = "\n".join(repr(one) for one in house.instance.all_logs(result.run_id)) + "".join(capfd.readouterr())
    assert "canary" not in said
    assert house.states() == {"a.parquet": State.PENDING}
