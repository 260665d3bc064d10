"""Secrets that variables only refer to: found by a run, by the doctor, and shown by nobody. The stores are moto's."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import orjson
import pytest

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.definitions import build
from pipelines.environment import FILES, TEXTS, Environment, child_variables, secret, secret_file, secret_stores
from pipelines.resources import AaeResource, LedgerResource, aae_credentials
from pipelines.sandbox.aae import running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines_tests.platforms import WITHOUT_RESIDENTS
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.postgres import PASSWORD, Postgres
from pipelines_tests.servers.programs import HOST, free_ports
from pipelines_tests.servers.secret_keeping import keep_parameter, keep_secret

KEY = "canary-key-of-now"
ABSENT = "secretsmanager://pipelines/canary-that-is-not-there"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running_moto(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture(autouse=True)
def account(server: Account) -> Iterator[Account]:
    with server.in_use():
        secret_stores.cache_clear()
        yield server
        secret_stores.cache_clear()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), datetime.now(UTC))


@pytest.fixture
def kept(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that AAE asks for, each in another form."""
    password = certificates.client_password.read_text()
    keep_secret("pipelines/aae", orjson.dumps({"key": KEY, "password": password}).decode())
    keep_secret("pipelines/certificate", certificates.client_pkcs12.read_bytes())
    keep_parameter("/pipelines/authority", certificates.authority.read_text())
    refer(
        monkeypatch,
        AAE_SUBSCRIPTION_KEY="secretsmanager://pipelines/aae#key",
        AAE_CLIENT_CERTIFICATE="secretsmanager://pipelines/certificate",
        AAE_CLIENT_CERTIFICATE_PASSWORD="secretsmanager://pipelines/aae#password",
        AAE_CERTIFICATE_AUTHORITY="ssm://pipelines/authority",
    )


def refer(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"PIPELINES_{name}", value)


def status(url: str) -> int | None:
    async def ask() -> int | None:
        async with Endpoint(url, url, aae_credentials("events"), Limits(1, 5, 5)).open() as https:
            return (await https.head()).status

    return asyncio.run(ask())


@pytest.mark.usefixtures("kept")
def test_aae_lets_us_in_with_what_is_kept(certificates: Certificates, tmp_path: Path) -> None:
    with running(tmp_path, certificates, KEY) as aae:
        assert status(aae.url) == 200


@pytest.mark.usefixtures("kept")
def test_a_certificate_is_a_binary_secret_or_a_text_with_or_without_base64(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_parameter("/pipelines/pem", certificates.client.read_text())
    keep_parameter("/pipelines/pkcs12", b64encode(certificates.client_pkcs12.read_bytes()).decode())
    with running(tmp_path, certificates, KEY) as aae:
        refer(monkeypatch, AAE_CLIENT_CERTIFICATE="ssm://pipelines/pkcs12")
        assert status(aae.url) == 200
        refer(monkeypatch, AAE_CLIENT_CERTIFICATE="ssm://pipelines/pem", AAE_CLIENT_CERTIFICATE_PASSWORD="")
        assert status(aae.url) == 200


def test_the_password_of_the_ledger_may_be_kept(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_parameter("/pipelines/ledger", PASSWORD)
    refer(monkeypatch, LEDGER_PASSWORD="ssm://pipelines/ledger")
    with dg.build_resources({"ledger": LedgerResource(url=postgres.fresh("kept"))}) as opened:
        assert opened.ledger.queues() == []


@pytest.mark.parametrize("name", [*TEXTS, *FILES])
@pytest.mark.parametrize(
    ("reference", "words"),
    [(ABSENT, r"not found \(ResourceNotFoundException\)"), ("ssm://canary canary", "no reference to a secret")],
)
def test_what_cannot_be_had_names_its_variable_and_says_nothing_of_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, reference: str, words: str
) -> None:
    refer(monkeypatch, **{name: reference})
    with pytest.raises(
        ValueError, match=f"^PIPELINES_{name}: the secret that it names can't be had: {words}"
    ) as raised:
        (secret if name in TEXTS else secret_file)(name)
    assert "canary" not in str(raised.value)


def test_a_file_may_be_named_by_its_path_or_its_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "a client.pem"
    file.write_bytes(b"pem")
    for form in (str(file), file.as_uri()):
        refer(monkeypatch, AAE_CLIENT_CERTIFICATE=form)
        assert secret_file("AAE_CLIENT_CERTIFICATE") == b"pem"


def test_a_file_that_cannot_be_read_and_a_binary_password_name_their_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret("pipelines/binary", bytes(range(256)))
    refer(monkeypatch, AAE_CLIENT_CERTIFICATE="/canary", LEDGER_PASSWORD="secretsmanager://pipelines/binary")
    with pytest.raises(ValueError, match=r"^PIPELINES_AAE_CLIENT_CERTIFICATE: .*\(FileNotFoundError\)") as raised:
        secret_file("AAE_CLIENT_CERTIFICATE")
    assert "canary" not in str(raised.value)
    with pytest.raises(ValueError, match="PIPELINES_LEDGER_PASSWORD: the secret that it names is no text"):
        secret("LEDGER_PASSWORD")


def test_every_secret_that_the_doctor_looks_for_is_one_that_aae_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is set to what can't be had, for each feed and for both: it must be the one that is missed."""
    for name in [one for one in (*TEXTS, *FILES) if one.startswith("AAE_")]:
        with monkeypatch.context() as patch:
            refer(patch, **{"AAE_SUBSCRIPTION_KEY": "key", name: ABSENT})
            missed = []
            for feed in ("packages", "events"):
                try:
                    aae_credentials(feed)
                except ValueError as error:
                    missed.append(str(error).partition(":")[0])
        assert set(missed) == {f"PIPELINES_{name}"}


@pytest.mark.usefixtures("kept")
def test_loading_asks_for_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("loading code made a call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    dg.Definitions.validate_loadable(build(Environment(home=tmp_path, aae="https://aae.example/in")))


@dg.op
def open_aae(aae_events: dg.ResourceParam[Endpoint]) -> None:
    assert aae_events.credentials.subscription_key.get_secret_value() == KEY
    print(aae_events, aae_events.credentials)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("missing", [False, True])
def test_a_run_shows_none_of_its_secrets_whether_it_has_them_or_not(
    missing: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if missing:
        refer(monkeypatch, AAE_CLIENT_CERTIFICATE_PASSWORD=ABSENT)
    environment = Environment(home=tmp_path, aae="https://aae.example/in")
    job = dg.GraphDefinition("opening", node_defs=[open_aae]).to_job(
        resource_defs={"aae_events": AaeResource(feed="events", environment=environment), "environment": environment}
    )
    with caplog.at_level(logging.DEBUG, "pipelines"), dg.DagsterInstance.ephemeral() as instance:
        ran = job.execute_in_process(instance=instance, raise_on_error=False)
        assert ran.success is not missing
        (run,) = instance.get_runs()
        told = f"{instance.all_logs(run.run_id)} {run.run_config} {run.tags} {caplog.text} {capfd.readouterr()}"
    assert "canary" not in told
    assert ("PIPELINES_AAE_CLIENT_CERTIFICATE_PASSWORD: the secret that it names can't be had" in told) is missing


@pytest.mark.usefixtures("kept")
def test_each_run_has_the_secret_of_its_time_and_the_doctor_says_which_can_be_read(
    certificates: Certificates, tmp_path: Path
) -> None:
    """Processes of their own, as runs are: the key is changed between them, on both sides."""
    password = certificates.client_password.read_text()
    for key in (KEY, "canary-key-of-later"):
        keep_secret("pipelines/aae", orjson.dumps({"key": key, "password": password}).decode())
        with running(tmp_path / key, certificates, key) as aae:
            said = doctor(tmp_path, aae.url)
        assert said.returncode == 0, said.stdout + said.stderr
        assert said.stdout.count("reached, and trusted on both sides") == 2
        for name in ("SUBSCRIPTION_KEY", "CLIENT_CERTIFICATE", "CLIENT_CERTIFICATE_PASSWORD"):
            assert f"ok   secret PIPELINES_AAE_{name} secretsmanager://  readable" in said.stdout
        assert "ok   secret PIPELINES_AAE_CERTIFICATE_AUTHORITY ssm://  readable" in said.stdout


@pytest.mark.usefixtures("kept")
def test_the_doctor_says_which_secret_cannot_be_read_and_why(
    account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    refer(monkeypatch, AAE_EVENTS_SUBSCRIPTION_KEY=ABSENT, LEDGER_PASSWORD="canary")
    with account.in_use(AWS_ENDPOINT_URL_SSM=f"http://{HOST}:{port}"):
        said = doctor(tmp_path, f"https://{HOST}:{port}/in")
    assert said.returncode == 1
    lines = {line for line in said.stdout.splitlines() if " secret " in line}
    unread = "the secret that it names can't be had: "
    assert {line.partition(unread)[2] for line in lines if line.startswith("fails")} == {
        "not found (ResourceNotFoundException)",
        "not reached (EndpointConnectionError)",
    }
    assert "ok   secret PIPELINES_LEDGER_PASSWORD the variable itself  readable" in lines


def doctor(home: Path, aae: str) -> subprocess.CompletedProcess[str]:
    variables = child_variables(PIPELINES_HOME=str(home), PIPELINES_AAE=aae, **WITHOUT_RESIDENTS)
    words = [sys.executable, "-m", "pipelines", "doctor"]
    said = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert "canary" not in said.stdout + said.stderr
    return said
