"""A ledger of each form, for the suites that every form has to pass; and a stand-in of AAE with its certificates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.adapters.https import Credentials
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.sandbox.aae import Aae, running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines_tests.adapters.ledgers import FORMS
from pipelines_tests.adapters.wires import KEY


@pytest.fixture(params=sorted(FORMS))
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(FORMS[request.param](tmp_path))
    yield ledger
    ledger.close()


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
