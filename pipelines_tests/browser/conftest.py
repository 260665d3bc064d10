"""A real browser in front of the whole platform: one of each for the tests of a module, a fresh page for each test.

Not for the whole session: the browser's client leaves an event loop running in the main thread, where other tests run
theirs, and the platform's daemon would take their time.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from pipelines_tests.browser.live import Platform, platform_running
from pipelines_tests.browser.screen import Screen

_FLAGS = [
    "--no-sandbox",  # root may not have one
    "--disable-dev-shm-usage",  # small where tests run in containers
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", type=Path, default=None, help="The folder that the README's pictures are put into.")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser that is installed here: none is downloaded."""
    path = shutil.which("chromium")
    if path is None:
        words = "CHROMIUM IS NOT INSTALLED, SO NOBODY LOOKED AT THE UI: apt-get install chromium"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(words)
    return path


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def platform(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform with its samples delivered; without a browser it need not start."""
    with platform_running(tmp_path_factory.mktemp("browser") / "home") as running:
        yield running


@pytest.fixture(scope="session")
def pictures(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are put: not over those of the README, unless that is asked for."""
    asked: Path | None = pytestconfig.getoption("--pictures", default=None)
    return pytestconfig.invocation_params.dir / asked if asked else tmp_path_factory.mktemp("pictures")


@pytest.fixture
def screen(browser: Browser, platform: Platform) -> Iterator[Screen]:
    """A page of somebody who was never here; at its end, nothing that it should not show may have been on it."""
    context = browser.new_context(
        viewport={"width": 1500, "height": 1150}, locale="en-GB", timezone_id="UTC", base_url=platform.url
    )
    context.set_default_timeout(30_000)
    watched = Screen(context.new_page())
    yield watched
    context.close()
    assert watched.faults == []
