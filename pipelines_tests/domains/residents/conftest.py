"""A stand-in of the API that runs, and a council that sends to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pipelines.domains.residents.feeds import FEEDS
from pipelines.sandbox.here_to_help import HereToHelp, running
from pipelines_tests.domains.residents.council import KEY, Council

Open = Callable[[str], Council]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[HereToHelp]:
    with running(tmp_path / "api", KEY) as api:
        yield api


@pytest.fixture
def open_council(api: HereToHelp, tmp_path: Path) -> Iterator[Open]:
    """Opens the council of a feed; all feeds share a ledger and a drive."""
    with ExitStack() as stack:

        def of(feed: str) -> Council:
            council = Council(tmp_path, api.url, FEEDS[feed])
            stack.enter_context(closing(council.ledger))
            return council

        yield of


@pytest.fixture
def council(open_council: Open) -> Council:
    return open_council("contact_tracing")
