"""The demo's whole scenario with every outside system elsewhere: the same code and asserts, other variables.

Landing and lake are on SeaweedFS, which tells a queue on SQS of what lands; ledger and Dagster's own records are in one
database of PostgreSQL; AAE and Here to Help are stand-ins that are reached as the real ones are.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.cli import main
from pipelines.core.rhythms import Mark, Rhythm
from pipelines.demo import REAL_MAPPING, REAL_POPULATION, demonstrate, drop_sheets, land_uploads
from pipelines.domains.mobile.feeds import FEEDS
from pipelines.environment import Environment
from pipelines.sandbox.addresses import Sandbox
from pipelines_tests.platforms import outside
from pipelines_tests.servers.bridge import Told, running_told
from pipelines_tests.servers.postgres import PASSWORD, USER, Postgres, password
from pipelines_tests.test_deployment import DEPLOYED
from pipelines_tests.test_run import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # two minutes where two processors are shared

PACKAGES, EVENTS = 600, 90


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with running_told(tmp_path) as told:
        yield told


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with outside(tmp_path / "outside") as (sandbox, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield sandbox


@pytest.fixture
def environment(
    told: Told,
    sandbox: Sandbox,
    postgres: Postgres,
    reference_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Environment:
    """What the variables say."""
    (dagster_home := tmp_path / "dagster").mkdir()
    shutil.copy(DEPLOYED, dagster_home / "dagster.yaml")
    variables = {
        "PIPELINES_HOME": str(tmp_path / "home"),
        "PIPELINES_LANDING": f"s3://{told.account.bucket}/landing",
        "PIPELINES_LAKE": f"s3://{told.account.bucket}/lake",
        "PIPELINES_UPLOADS": told.queue.url,
        "PIPELINES_LEDGER": postgres.fresh("elsewhere"),
        "PIPELINES_LEDGER_PASSWORD": PASSWORD,
        "PIPELINES_PRIVACY_MAPPING": str(reference_data / REAL_MAPPING),
        "PIPELINES_POPULATION": str(reference_data / REAL_POPULATION),
        "DAGSTER_HOME": str(dagster_home),
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(postgres.port),
        "DAGSTER_POSTGRES_DATABASE": "elsewhere",
        "DAGSTER_POSTGRES_USER": USER,
        "DAGSTER_POSTGRES_PASSWORD": PASSWORD,
        "DAGSTER_COMPUTE_LOGS_BUCKET": told.account.bucket,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Environment.read()


@pytest.fixture
def ledger(environment: Environment) -> Iterator[Ledger]:
    with closing(open_ledger(environment.ledger, password())) as ledger:
        yield ledger


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


def listings(ledger: Ledger) -> list[Mark | None]:
    """When each longer listing of each feed was made."""
    return [ledger.mark(name) for name in LISTINGS]


LISTINGS = [f"uploads/{rhythm}/{feed}" for feed in FEEDS for rhythm in (Rhythm.WINDOW, Rhythm.ALL)]


def test_the_demo_makes_the_same_on_s3_sqs_and_postgresql(
    environment: Environment, ledger: Ledger, told: Told, sandbox: Sandbox, postgres: Postgres
) -> None:
    listed = Mark(utc_now().replace(microsecond=0))
    for name in LISTINGS:  # no listing is due: whatever is found, the queue told of
        ledger.set_mark(name, listed)
    assert call("doctor").exit_code == 0
    landed = land_uploads(environment, PACKAGES, EVENTS, print)
    keys = {f"landing/{file.key}" for file in landed}
    wait_for(lambda: keys <= told.keys, 60, "the queue is told of all that landed")
    dropped = drop_sheets(environment, print)
    made = demonstrate(environment, landed, dropped, sandbox, print)
    assert made.missing == []
    assert made.figures["mobile/packages: records read"] == f"{PACKAGES}"
    assert made.figures["mobile/events: files"] == f"{EVENTS}"
    assert made.figures["mapping"].startswith("7,606 rows")
    assert listings(ledger) == [listed] * len(LISTINGS)

    requests = len(sandbox.aae.received()), len(sandbox.here_to_help.received())
    again = call("settle")
    assert again.exit_code == 0, again.output
    assert (len(sandbox.aae.received()), len(sandbox.here_to_help.received())) == requests

    runs = int(made.figures["runs"])
    with postgres.connect("elsewhere") as connection:
        assert connection.execute("SELECT count(*) FROM runs WHERE status = 'SUCCESS'").fetchone() == (runs,)
    # Who settles here, the drive, and the key that digests of people's data are made with; nothing else.
    assert {path.name for path in environment.home.iterdir()} == {"settling", "drive", "installation.key"}
