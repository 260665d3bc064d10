"""A stand-in that runs, and a site that delivers to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.sandbox.aae import Aae, running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines_tests.domains.aae.deliveries import KEY, Site, endpoint_of


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ours"), datetime.now(UTC))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("strangers"), datetime.now(UTC))


@pytest.fixture
def aae(certificates: Certificates, tmp_path: Path) -> Iterator[Aae]:
    with running(tmp_path / "aae", certificates, KEY) as aae:
        yield aae


@pytest.fixture
def site(aae: Aae, certificates: Certificates, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path, endpoint_of(aae, certificates))
    yield site
    site.ledger.close()
