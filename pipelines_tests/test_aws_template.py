"""What the template for AWS makes serves the platform, and gives each role what it needs and no more.

moto makes it, and lets each role do what its policy says: in S3 by folder, of other services whatever it is done to. So
to which queue and which secrets rights are given is judged by moto's reading of the policy alone.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import boto3
import dagster as dg
import pytest
import yaml  # type: ignore[import-untyped]  # it ships none
from botocore.exceptions import ClientError
from moto.iam.access_control import IAMPolicy, PermissionResult

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.objects import Objects, open_objects
from pipelines.adapters.secret_stores import SecretStores
from pipelines.adapters.uploads import Batch, Polling, Uploads, open_uploads
from pipelines.adapters.uploads.sqs import SqsQueue
from pipelines.core.rhythms import Mark
from pipelines.doctor import examine
from pipelines.environment import Environment
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.deployment import TEMPLATE, Deployment, running_deployment
from pipelines_tests.servers.programs import installed
from pipelines_tests.servers.queues import client
from pipelines_tests.servers.secret_keeping import keep_parameter, keep_secret, only_with_rights

NOW = datetime.now(UTC)
COMPUTE_LOGS = yaml.safe_load((TEMPLATE.parent / "dagster.yaml").read_text())["compute_logs"]
KEY = f"mobile/events/{NOW:%Y/%m/%d/%H}/a.json"


Acting: TypeAlias = Callable[[str], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with running_deployment(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def users(deployment: Deployment) -> dict[str, Account]:
    return {role: deployment.user(role) for role in deployment.policies}


@pytest.fixture
def acting(deployment: Deployment, users: dict[str, Account], monkeypatch: pytest.MonkeyPatch) -> Acting:
    """To be one of the roles for a while, with its rights alone."""

    @contextmanager
    def act(role: str) -> Iterator[None]:
        with only_with_rights(deployment.account), users[role].in_use():
            # Dagster uses the default session, which keeps the keys that it met first.
            monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
            yield

    return act


@pytest.fixture
def environment(deployment: Deployment, tmp_path: Path) -> Environment:
    """As the outputs say it."""
    named = {
        name.removeprefix("PIPELINES_").lower(): value
        for name, value in deployment.variables.items()
        if name.startswith("PIPELINES_")
    }
    assert {"landing", "lake", "uploads"} == named.keys()
    outside = {"aae": "https://aae.example/in", "here_to_help": "https://here-to-help.example/api"}
    return Environment(home=tmp_path, **outside, **named)  # type: ignore[arg-type]  # all are URLs


def test_the_template_is_one_of_cloudformations() -> None:
    said = subprocess.run([installed("cfn-lint"), str(TEMPLATE)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout) == (0, "")


class ListedJustNow:
    """Marks by which no listing is due."""

    def mark(self, name: str) -> Mark:
        return Mark(NOW)

    def set_mark(self, name: str, mark: Mark) -> None:
        raise AssertionError(f"{name} is not due")


def told(environment: Environment, landing: Objects, hidden: float = 60) -> Uploads:
    polling = Polling(30, timedelta(seconds=hidden), wait=0)
    return open_uploads(environment.uploads, landing, ListedJustNow(), quiet=timedelta(0), polling=polling)


def batches(uploads: Uploads) -> list[Batch]:
    found = []
    for batch in uploads.batches("mobile/events", NOW, ["mobile/packages"]):
        found.append(batch)
        batch.done()
    return found


def test_the_queue_tells_of_uploads_and_of_nothing_that_the_platform_writes(
    deployment: Deployment, environment: Environment
) -> None:
    with deployment.account.in_use():
        landing, lake = open_objects(environment.landing), open_objects(environment.lake)
        landing.put(KEY, b"{}")
        landing.put(f"quarantine/{KEY}", b"{}")
        lake.put(KEY, b"{}")
        found = batches(told(environment, landing))
    assert [one.key for batch in found for one in batch.uploads] == [KEY]
    assert sum(batch.foreign + batch.unreadable for batch in found) == 0


def test_what_cannot_be_read_ends_in_the_dead_letter_queue(deployment: Deployment, environment: Environment) -> None:
    sqs = deployment.account.client("sqs")
    at = {
        name: sqs.get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"] for name, arn in deployment.queues.items()
    }
    with deployment.account.in_use():
        uploads = told(environment, open_objects(environment.landing), hidden=1)
        batches(uploads)
        sqs.send_message(QueueUrl=at["Uploads"], MessageBody="canary")
        seen, given_up, ends_at = 0, list[str](), time.monotonic() + 60
        while not given_up and time.monotonic() < ends_at:
            seen += sum(batch.unreadable for batch in batches(uploads))
            answer = sqs.receive_message(QueueUrl=at["UnreadableUploads"], WaitTimeSeconds=1)
            given_up = [one["Body"] for one in answer.get("Messages", ())]
    assert given_up == ["canary"]
    assert seen == 5


def test_parts_of_an_upload_that_was_cut_off_do_not_stay(deployment: Deployment) -> None:
    s3 = deployment.account.client("s3")
    rules = s3.get_bucket_lifecycle_configuration(Bucket=deployment.account.bucket)["Rules"]
    (rule,) = [rule for rule in rules if "AbortIncompleteMultipartUpload" in rule]
    assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
    expiring = [rule["Filter"]["Prefix"] for rule in rules if "Expiration" in rule]
    assert expiring == [COMPUTE_LOGS["config"]["prefix"] + "/"], "nothing of landing and lake may ever expire by itself"


def test_the_platform_finds_all_as_it_should_be(acting: Acting, environment: Environment) -> None:
    with acting("Platform"):
        found = {one.system: one for one in examine(environment, no_endpoint)}
    assert [found[system].well for system in ("landing", "lake", "uploads")] == [True] * 3, found


def no_endpoint(_: str) -> Endpoint:
    raise ConnectionError("not asked")


def test_the_platform_takes_in_what_lands_and_reads_its_secrets(
    deployment: Deployment, acting: Acting, environment: Environment
) -> None:
    with deployment.account.in_use():
        batches(told(environment, open_objects(environment.landing)))
        open_objects(environment.landing).put(KEY, b"{}")
        keep_secret("pipelines/aae", "secret")
        keep_parameter("/pipelines/aae", "parameter")
    with acting("Platform"):
        found = batches(told(environment, open_objects(environment.landing)))
        assert [one.key for batch in found for one in batch.uploads] == [KEY]
        assert SqsQueue(environment.uploads).receive() == []
        stores = SecretStores()
        assert stores.read("secretsmanager://pipelines/aae") == b"secret"
        assert stores.read("ssm://pipelines/aae") == b"parameter"


def arn(deployment: Deployment, name: str) -> str:
    """Of a queue by its name in the template, else of a secret."""
    return deployment.queues.get(name, f"arn:aws:{name.replace('HERE', 'eu-west-2:123456789012')}")


@pytest.mark.parametrize(
    ("action", "of", "roles"),
    [
        ("sqs:GetQueueUrl", "Uploads", ["Platform"]),
        ("sqs:GetQueueAttributes", "Uploads", ["Platform"]),
        ("sqs:ReceiveMessage", "Uploads", ["Platform"]),
        ("sqs:DeleteMessage", "Uploads", ["Platform"]),
        ("sqs:SendMessage", "Uploads", []),
        ("sqs:PurgeQueue", "Uploads", []),
        ("sqs:ReceiveMessage", "UnreadableUploads", []),
        ("secretsmanager:GetSecretValue", "secretsmanager:HERE:secret:pipelines/aae-AbCdEf", ["Platform"]),
        ("secretsmanager:GetSecretValue", "secretsmanager:HERE:secret:others/aae-AbCdEf", []),
        ("secretsmanager:PutSecretValue", "secretsmanager:HERE:secret:pipelines/aae-AbCdEf", []),
        ("ssm:GetParameter", "ssm:HERE:parameter/pipelines/aae", ["Platform"]),
        ("ssm:GetParameter", "ssm:HERE:parameter/others/aae", []),
        ("ssm:PutParameter", "ssm:HERE:parameter/pipelines/aae", []),
    ],
)
def test_only_the_platform_has_rights_to_its_queue_and_its_secrets(
    deployment: Deployment, action: str, of: str, roles: list[str]
) -> None:
    permitted = [
        role
        for role, policy in deployment.policies.items()
        if IAMPolicy({"policy_document": json.dumps(policy)}).is_action_permitted(action, arn(deployment, of))
        is PermissionResult.PERMITTED
    ]
    assert permitted == roles


@pytest.mark.parametrize(
    ("role", "folder", "rights"),
    [
        ("Platform", "landing/mobile", {"read", "write", "delete", "list"}),
        ("Platform", "landing/quarantine", {"read", "write", "delete", "list"}),
        ("Platform", "lake/mobile", {"read", "write", "delete", "list"}),
        ("Platform", "reference", {"read", "list"}),
        ("Platform", "dagster", {"write", "list"}),
        ("Platform", "elsewhere", {"list"}),
        ("Screen", "landing/mobile", {"list"}),
        ("Screen", "lake/mobile", {"list"}),
        ("Screen", "dagster", {"read", "list"}),
        ("Uploader", "landing/mobile", {"write"}),
        ("Uploader", "landing/quarantine", set()),
        ("Uploader", "lake/mobile", set()),
        ("Uploader", "dagster", set()),
    ],
)
def test_each_role_does_in_each_folder_what_it_has_to_and_no_more(
    deployment: Deployment, acting: Acting, role: str, folder: str, rights: set[str]
) -> None:
    """The UI lists what runs said and nothing else, by a condition that moto does not look at."""
    s3 = deployment.account.client("s3")
    place = {"Bucket": deployment.account.bucket, "Key": f"{folder}/there"}
    s3.put_object(**place, Body=b"{}")
    with acting(role):
        mine = client("s3")
        done = {
            "read": partial(mine.get_object, **place),
            "write": partial(mine.put_object, **place, Body=b"{}"),
            "list": partial(mine.list_objects_v2, Bucket=place["Bucket"], Prefix=f"{folder}/"),
            "delete": partial(mine.delete_object, **place),
        }
        assert {name for name, do in done.items() if is_allowed(do)} == rights


def is_allowed(do: Callable[[], object]) -> bool:
    try:
        do()
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@dg.op
def speak() -> None:
    print("a word of the run")


@dg.job(executor_def=dg.in_process_executor)
def speaking() -> None:
    speak()


def test_the_ui_shows_what_a_run_of_the_platform_said(acting: Acting, deployment: Deployment, tmp_path: Path) -> None:
    def instance(name: str) -> dg.DagsterInstance:
        """Each on a machine of its own, but for Dagster's records."""
        logs = {**COMPUTE_LOGS, "config": {**COMPUTE_LOGS["config"], "bucket": deployment.account.bucket}}
        logs["config"]["local_dir"] = str(tmp_path / name)
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"compute_logs": logs, "telemetry": {"enabled": False}}))
        return dg.DagsterInstance.from_config(str(tmp_path))

    with acting("Platform"), instance("platform") as platform:
        ran = speaking.execute_in_process(instance=platform)
        (told,) = [one for one in ran.all_events if one.event_type is dg.DagsterEventType.LOGS_CAPTURED]
    with acting("Screen"), instance("screen") as screen:
        key = [ran.run_id, "compute_logs", told.logs_captured_data.file_key]
        assert b"a word of the run" in (screen.compute_log_manager.get_log_data(key).stdout or b"")
