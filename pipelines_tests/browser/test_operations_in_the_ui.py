"""What operators do, with nothing but a browser: a feed paused and resumed, dead letters sent again."""

import re
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipelines.sandbox.aae import Behaviour
from pipelines_tests.browser.live import Platform
from pipelines_tests.browser.screen import Screen
from pipelines_tests.test_run import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

PAUSE = """ops:
  aae_pause:
    config:
      feed: packages
      who: A. Engineer
      why: they asked for quiet
      days: 2
"""
RESUME = """ops:
  aae_resume:
    config:
      feed: packages
      who: B. Engineer
      why: they are back
"""
REPLAY = """ops:
  aae_replay:
    config:
      feed: packages
      who: A. Engineer
      why: their schema is mended
      reasons: [refused]
      dry_run: {dry_run}
"""
HELD = re.compile(r"paused by A\. Engineer until .* UTC, 2\.0 days left; 1 wait, the oldest since .* 0\.\d hours ago")


def test_a_paused_feed_keeps_what_lands_says_so_and_sends_it_when_it_is_resumed(
    screen: Screen, platform: Platform
) -> None:
    screen.go("/")
    screen.launch_job("aae_pause_feed", PAUSE)
    name = platform.drop("while-paused.jsonl")
    screen.expect_tick("aae_packages_released", HELD)
    assert not platform.has_received(name)
    screen.go("/")
    screen.launch_job("aae_resume_feed", RESUME)
    wait_for(lambda: platform.has_received(name), 120, "the object is at AAE")
    assert platform.journal()[:2] == [
        ("aae_resume_feed", "B. Engineer", "they are back"),
        ("aae_pause_feed", "A. Engineer", "they asked for quiet"),
    ]


def test_a_dead_letter_is_a_failed_check_until_it_is_sent_again_and_trying_changes_nothing(
    screen: Screen, platform: Platform, pictures: Path
) -> None:
    dead = partial(platform.dead, "aae/packages")
    platform.behave(Behaviour(status=400, names="*refused*"))
    name = platform.drop("refused.jsonl")
    wait_for(lambda: bool(dead()), 120, "the object is a dead letter")
    screen.expect_check("aae/packages", "every_object_settled", "Failed")

    platform.behave()
    before, journal = dead(), platform.journal()
    screen.launch_job("aae_replay_dead_letters", REPLAY.format(dry_run="true"))
    screen.page.get_by_text(re.compile("Dry run, nothing was done. It would: .*'objects': 1")).first.wait_for()
    assert dead() == before
    assert platform.journal() == journal
    assert not platform.has_received(name)
    screen.expect_check("aae/packages", "every_object_settled", "Failed")

    screen.page.set_viewport_size({"width": 1300, "height": 760})
    screen.fill_launchpad("aae_replay_dead_letters", REPLAY.format(dry_run="false"))
    screen.page.get_by_text("feed: packages").last.click()
    screen.page.keyboard.press("End")  # beside it the UI tells what may stand there
    expect(screen.page.get_by_text("Only say what would be done.").first).to_be_visible()
    screen.shoot(pictures / "operations.png")
    screen.page.get_by_role("button", name="Launch Run").click()
    screen.page.wait_for_url("**/runs/*")
    screen.expect_success()
    screen.page.get_by_text(re.compile("Done: .*'objects': 1")).first.wait_for()
    wait_for(lambda: platform.has_received(name), 120, "the object is at AAE")
    assert dead() == []
    screen.expect_check("aae/packages", "every_object_settled", "Passed")
    assert platform.journal()[0] == ("aae_replay_dead_letters", "A. Engineer", "their schema is mended")
