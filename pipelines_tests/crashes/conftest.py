"""A world in a folder of its own, and the stand-in that it delivers to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.sandbox.aae import Aae, running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines_tests.crashes.world import Place, World
from pipelines_tests.domains.aae.deliveries import KEY


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
def place(aae: Aae, certificates: Certificates, tmp_path: Path) -> Place:
    return Place(tmp_path / "world", aae.url, certificates.folder, send_seconds=1)


@pytest.fixture
def world(place: Place) -> Iterator[World]:
    world = World.open(place)
    yield world
    world.close()
