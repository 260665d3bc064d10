"""What every test may use: an environment of its own, and the real reference data where it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from google.auth.credentials import CredentialsWithRegionalAccessBoundary
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from pipelines.environment import Environment
from pipelines_tests.dagster_engines import keep_engines
from pipelines_tests.servers.aws import NOBODY, Account
from pipelines_tests.servers.deployment import running_deployment
from pipelines_tests.servers.google import Google, running_google
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.postgres import Postgres, running_postgres
from pipelines_tests.servers.seaweedfs import running_seaweedfs
from pipelines_tests.servers.secret_keeping import only_with_rights

REPOSITORY = Path(__file__).parent.parent

# Speed is measured in benchmarks: a slow machine must not fail a test.
hypothesis.settings.register_profile("pipelines", deadline=None, print_blob=True)
hypothesis.settings.load_profile("pipelines")


def pytest_configure() -> None:
    # A test must never meet the settings of whoever runs it.
    for name in [one for one in os.environ if one.startswith("PIPELINES_") and one != "PIPELINES_REFERENCE_DATA"]:
        del os.environ[name]
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(NOBODY)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the slow ones those with the longest limits come first: else the others wait for them in the end."""

    def limit(item: pytest.Item) -> float:
        mark = item.get_closest_marker("timeout")
        return mark.args[0] if mark and item.get_closest_marker("slow") else 0

    items.sort(key=limit, reverse=True)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    return _ByPlatform(config, log) if config.getvalue("dist") == "loadscope" else None


class _ByPlatform(LoadScopeScheduling):  # type: ignore[misc]  # xdist is typed for none but itself
    """Tests of a module that share a running platform go to one process, each other one to whoever is free."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if "/browser/" in module or module.endswith("/test_run.py") else nodeid


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """Everything embedded, under the test's own folder; files are taken as soon as they are whole."""
    return Environment(home=tmp_path / "home", uploads_quiet_seconds=0)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """The folder of the real reference data."""
    folder = Path(os.environ.get("PIPELINES_REFERENCE_DATA", REPOSITORY / ".." / "shared" / "data"))
    if not (folder / "mobile").is_dir():
        words = f"THE REAL REFERENCE DATA IS NOT THERE: {folder}; name its folder with PIPELINES_REFERENCE_DATA"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(words)
    return folder


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """S3 from SeaweedFS, one server for all tests of this process, with one bucket."""
    with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as account:
        yield account


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """SQS, S3 and other services from moto, one server for all tests of this process, with one bucket."""
    with running_moto(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """What the template for AWS makes, for whoever has the rights of the platform and no others."""
    with running_deployment(tmp_path_factory.mktemp("deployed")) as deployment:
        platform = deployment.user("Platform")
        with only_with_rights(deployment.account):
            yield platform


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests that need one; whoever stops it starts it again."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Google]:
    """A stand-in of Google's Drive and Sheets, and this process with an identity that it knows."""
    # Google's library would ask, in a thread of its own, where the account may be used: of Google itself.
    monkeypatch.setattr(CredentialsWithRegionalAccessBoundary, "_after_refresh", lambda *_: None)
    with running_google() as google:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.identity(tmp_path / "identity.json")))
        yield google
        assert not google.broken


@pytest.fixture(scope="session", autouse=True)
def _dagster_keeps_its_engines() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        keep_engines(patch)
        yield


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, as that of the default data folder, end in the test's own folder."""
    monkeypatch.chdir(tmp_path)
