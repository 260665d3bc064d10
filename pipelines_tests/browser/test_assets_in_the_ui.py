"""Looking at assets and making them, with nothing but a browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipelines_tests.browser.live import Platform
from pipelines_tests.browser.screen import Screen

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

ASSETS = {
    "mobile": ["landed_packages", "landed_events", "privacy_mapping", "packages", "events", "events_table"],
    "aae": ["packages", "events", "receipts", "endpoint"],
}

# Rows of the page of a backfill have no role: this is the smallest part with the name, the progress and the counts.
ROW = "xpath=ancestor::*[string-length(normalize-space(substring-after(., 'completed'))) > 0][1]"


def test_the_lineage_shows_every_asset_from_what_lands_to_where_it_is_delivered(screen: Screen, pictures: Path) -> None:
    screen.page.set_viewport_size({"width": 1800, "height": 1400})  # enough for what each node tells
    screen.go("/")
    nodes = screen.open_lineage(ASSETS)
    groups = [nodes.filter(has=screen.page.get_by_text(group, exact=True)) for group in ASSETS]
    assert [group.count() for group in groups] == [1, 1]
    screen.shoot(pictures / "lineage.png", *groups, *nodes.all())
    assert (pictures / "lineage.png").stat().st_size < 300_000


def test_an_hour_of_an_asset_is_made_by_click_and_shown_with_what_is_in_it(screen: Screen, platform: Platform) -> None:
    hour = next(hour for hour in platform.hours(7) if platform.landed("mobile/events", hour))
    screen.go("/assets/mobile/events")
    screen.page.get_by_role("button", name="Materialize…").click()
    screen.launch_partitions(hour)
    screen.follow_toast("Launched run")
    screen.expect_success()
    assert [toast for toast in screen.toasts if toast.startswith("Launched run")]
    run = screen.page.url.rpartition("/")[-1][:8]
    screen.go(f"/assets/mobile/events?view=partitions&partition={hour}")
    page = screen.page
    expect(page.get_by_text("Materialized", exact=True).last).to_be_visible()
    expect(page.get_by_text(run, exact=True).first).to_be_visible()
    files = page.get_by_role("row").filter(has=page.get_by_text("files", exact=True))
    expect(files).to_contain_text(re.compile(rf"^files\s*{len(platform.landed('mobile/events', hour))}\b"))


def test_a_backfill_over_hours_takes_one_run_and_leaves_every_hour_made(screen: Screen, platform: Platform) -> None:
    hours = platform.hours(6)
    page = screen.page
    screen.go("/")
    page.get_by_role("link", name="Catalog").click()
    for asset in ("mobile/packages", "aae/packages"):
        box = page.get_by_test_id(f"checkbox-{asset}")
        box.locator("..").click()  # the box itself is hidden behind its picture
        expect(box).to_be_checked()
    page.get_by_role("button", name="Materialize selected (2)").click()
    screen.launch_partitions(f"[{hours[0]}...{hours[-1]}]")
    screen.follow_toast("Created backfill")
    expect(page.get_by_text("Succeeded", exact=True).first).to_be_visible()
    for asset in ("mobile / packages", "aae / packages"):
        row = page.get_by_role("link", name=asset).locator(ROW)
        expect(row).to_contain_text("100% completed", timeout=90_000)
        expect(row).to_contain_text(re.compile(r"6\s*0\s*6\s*0\s*$"))  # targeted, in progress, succeeded, failed
    page.get_by_role("tab", name="Runs").click()
    expect(page.get_by_text("Manually launched", exact=True)).to_have_count(1)
