"""A ledger of each form, for the suites that every form has to pass; and a stand-in of AAE with its certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.adapters.https import Credentials
from pipelines.adapters.ledger import Ledger
from pipelines.sandbox.aae import Aae, running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines_tests.adapters.ledgers import FORMS, open_at
from pipelines_tests.adapters.wires import KEY
from pipelines_tests.servers.postgres import Postgres


@pytest.fixture(scope="session")
def empty_ledger(postgres: Postgres) -> str:
    """The name of a database with a ledger's tables: to make them takes most of a second."""
    url = postgres.fresh("ledger")
    open_at(url).close()
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres: Postgres, empty_ledger: str) -> str:
    """A database with the tables of a ledger that is empty, and nobody else in it."""
    postgres.empty(empty_ledger)
    return postgres.url(empty_ledger)


@pytest.fixture(params=FORMS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a ledger of the test's own is, in each form; any process may open it by ``open_at``."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(params=FORMS)
def new_ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where there is no ledger yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh("new")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with closing(open_at(ledger_url)) as ledger:
        yield ledger


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ours"), datetime.now(UTC))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("strangers"), datetime.now(UTC))


@pytest.fixture(scope="module")
def server(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aae]:
    with running(tmp_path_factory.mktemp("aae"), certificates, KEY) as aae:
        yield aae


@pytest.fixture
def aae(server: Aae) -> Aae:
    server.behave()
    return server


@pytest.fixture
def credentials(certificates: Certificates) -> Credentials:
    return Credentials(SecretStr(KEY), certificates.client.read_bytes(), authority=certificates.authority.read_bytes())
