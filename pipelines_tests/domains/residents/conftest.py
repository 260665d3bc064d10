"""A stand-in of the API that runs, and a council that sends to it, from folders or in each form of a drive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.objects import open_objects
from pipelines.domains.residents.feeds import FEEDS
from pipelines.environment import Environment
from pipelines.restore import restore
from pipelines.sandbox.here_to_help import HereToHelp, running
from pipelines_tests.domains.residents.council import KEY, Council
from pipelines_tests.domains.residents.staff import AtGoogle, InFolders, Staff
from pipelines_tests.servers.google import Google

Open = Callable[[str], Council]
Lose = Callable[[Council], None]

every_drive = pytest.mark.parametrize("staff", ["folders", "google sheets", "google uploads"], indirect=True)
every_drive_of_files = pytest.mark.parametrize("staff", ["folders", "google uploads"], indirect=True)
every_google = pytest.mark.parametrize("staff", ["google sheets", "google uploads"], indirect=True)
"""Each marks a test whose council has these forms of a drive in turn."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[HereToHelp]:
    with running(tmp_path / "api", KEY) as api:
        yield api


@pytest.fixture
def staff(request: pytest.FixtureRequest, tmp_path: Path) -> Staff:
    """Who drops sheets: into folders, or into what ``every_drive`` says."""
    form = getattr(request, "param", "folders")
    if form == "folders":
        return InFolders(tmp_path / "drive")
    google: Google = request.getfixturevalue("google")
    return AtGoogle(google, native=form == "google sheets")


@pytest.fixture
def open_council(api: HereToHelp, staff: Staff, tmp_path: Path) -> Iterator[Open]:
    """Opens the council of a feed; all feeds share a ledger and a drive."""
    with ExitStack() as stack:

        def of(feed: str) -> Council:
            council = Council(tmp_path, api.url, FEEDS[feed], of_staff=staff)
            stack.enter_context(closing(council.ledger))
            return council

        yield of


@pytest.fixture
def council(open_council: Open) -> Council:
    return open_council("contact_tracing")


@pytest.fixture
def lose_the_ledger(environment: Environment) -> Iterator[Lose]:
    """Restores the ledger of a council from the receipts that were written, into a file of its own."""
    with ExitStack() as stack:

        def of(council: Council) -> None:
            landing, lake = (open_objects((council.folder / name).as_uri()) for name in ("landing", "lake"))
            council.ledger.close()
            council.ledger = stack.enter_context(closing(open_ledger(f"sqlite:///{council.folder / 'fresh.db'}")))
            restore(council.ledger, landing, lake, environment, "A. Engineer", "its disk broke", council.now)

        yield of
