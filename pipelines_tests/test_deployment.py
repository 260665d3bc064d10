"""What a deployment takes as it is: Dagster's own records on PostgreSQL, the output of its runs on S3."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]  # it ships none

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.ledger import open_ledger
from pipelines.doctor import examine
from pipelines.environment import Environment
from pipelines.resources import LedgerResource
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.postgres import PASSWORD, USER, Postgres, password

REPOSITORY = Path(__file__).parent.parent
DEPLOYED = REPOSITORY / "deploy" / "dagster.yaml"
ELSEWHERE = {"storage", "compute_logs"}


def settings(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(file.read_text())
    return read


def test_a_deployment_behaves_as_a_single_machine_but_for_where_it_keeps_things() -> None:
    here, there = settings(REPOSITORY / "dagster.yaml"), settings(DEPLOYED)
    assert {name: value for name, value in there.items() if name not in ELSEWHERE} == here


def test_no_secret_stands_in_it() -> None:
    database = settings(DEPLOYED)["storage"]["postgres"]["postgres_db"]
    assert all(set(value) == {"env"} for value in database.values())


@dg.op
def speak() -> None:
    print("a word of the run")


@dg.job(executor_def=dg.in_process_executor)
def speaking() -> None:
    speak()


def test_runs_are_recorded_on_postgresql_beside_the_ledger_and_what_they_say_on_s3(
    postgres: Postgres, moto: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.fresh("dagster")
    for name, value in moto.variables.items():
        monkeypatch.setenv(name, value)
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(postgres.port),
        "DATABASE": "dagster",
        "USER": USER,
        "PASSWORD": PASSWORD,
    }.items():
        monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)
    monkeypatch.setenv("DAGSTER_COMPUTE_LOGS_BUCKET", moto.bucket)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(DEPLOYED, tmp_path / "dagster.yaml")
    with dg.DagsterInstance.get() as instance:
        ran = speaking.execute_in_process(instance=instance)
        assert ran.success
    open_ledger(url, password()).close()
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        assert run.status is dg.DagsterRunStatus.SUCCESS
    with postgres.connect("dagster") as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM work").fetchone() == (0,)
    store = boto3.client("s3")
    keys = [one["Key"] for one in store.list_objects_v2(Bucket=moto.bucket, Prefix="dagster/")["Contents"]]
    said = b"".join(store.get_object(Bucket=moto.bucket, Key=key)["Body"].read() for key in keys)
    assert b"a word of the run" in said


@pytest.mark.parametrize("word", [PASSWORD, "canary-of-another", ""])
def test_the_doctor_and_a_run_reach_the_ledger_by_the_password_beside_its_url(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str
) -> None:
    monkeypatch.setenv("PIPELINES_LEDGER_PASSWORD", word)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    url = postgres.fresh("doctor")
    environment = Environment(
        home=tmp_path, ledger=url, aae="https://127.0.0.1:1/in", here_to_help="https://127.0.0.1:1"
    )

    def no_endpoint(_: str) -> Endpoint:
        raise ConnectionError("not asked")

    (finding,) = [one for one in examine(environment, no_endpoint) if one.system == "ledger"]
    assert "canary" not in str(finding)
    if word == PASSWORD:
        assert (finding.well, finding.words) == (True, "0 items due")
        with dg.build_resources({"ledger": LedgerResource(url=url)}) as opened:
            assert opened.ledger.queues() == []
    else:
        assert not finding.well
        assert f"the ledger at 127.0.0.1:{postgres.port}/doctor: " in finding.words
        assert "\n" not in finding.words
