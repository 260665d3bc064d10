"""What is seen of residents: where they come from and go, what became of a sheet, what was refused sent again."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from pipelines.core.work import Item, State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.sheets import RESULTS, ROWS
from pipelines_tests.browser.live import Platform
from pipelines_tests.browser.screen import Screen
from pipelines_tests.test_run import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

ASSETS = {"residents": ["drive", "api", "receipts", *FEEDS, *(f"{feed}_outcomes" for feed in FEEDS)]}

RETRY = """ops:
  residents_retry:
    config:
      feed: nsss
      who: A. Engineer
      why: they take such names now
      sheet: {sheet}
      effects: refused
      dry_run: {dry_run}
"""


def settled(platform: Platform, results: dict[str, int]) -> Item | None:
    """The sheet of which this became."""
    sheets = [one for one in platform.sheets("nsss") if one.state is State.SETTLED]
    return next((one for one in sheets if one.detail[RESULTS] == results), None)


def test_the_lineage_leads_from_the_drive_through_each_feed_to_the_api_and_back(screen: Screen, pictures: Path) -> None:
    screen.page.set_viewport_size({"width": 1800, "height": 1900})
    screen.go("/")
    nodes = screen.open_lineage(ASSETS)
    group = nodes.filter(has=screen.page.get_by_text("residents", exact=True))
    screen.shoot(pictures / "residents.png", group)
    assert (pictures / "residents.png").stat().st_size < 300_000


def test_a_dropped_sheet_is_a_line_of_its_day_and_what_was_refused_is_sent_again_by_a_job(
    screen: Screen, platform: Platform
) -> None:
    before, page = len(platform.outcomes("nsss")), screen.page
    platform.refuse("Refused")
    people = [{"ID": f"7000{number}", "last_name": name} for number, name in enumerate(("Refused", "Sample", "Muster"))]
    platform.drop_sheet("nsss", "dropped.csv", *people, people[-1])
    wait_for(lambda: len(platform.outcomes("nsss")) > before, 120, "the sheet is written back")
    sheet = settled(platform, {"duplicate": 1, "rejected": 1, "sent": 2})
    assert sheet is not None, [one.detail for one in platform.sheets("nsss")]

    screen.go(f"/assets/residents/nsss?view=partitions&partition={sheet.partition}")
    expect(page.get_by_text("Materialized", exact=True).last).to_be_visible()
    of_the_day = [one for one in platform.sheets("nsss") if one.partition == sheet.partition]
    rows = sum(one.detail[ROWS] for one in of_the_day)
    assert len(of_the_day) > 1  # with the sample
    for name, count in (("sheets", len(of_the_day)), ("rows_read", rows), ("rows_rejected", 1)):
        row = page.get_by_role("row").filter(has=page.get_by_text(name, exact=True))
        expect(row).to_contain_text(re.compile(rf"^{name}\s*{count}\b"))

    platform.refuse()
    screen.launch_job("residents_retry_sheet", RETRY.format(sheet=sheet.name, dry_run="true"))
    page.get_by_text(re.compile("Dry run, nothing was done. It would: .*'effects': 1")).first.wait_for()
    screen.launch_job("residents_retry_sheet", RETRY.format(sheet=sheet.name, dry_run="false"))
    page.get_by_text(re.compile("Done: .*'effects': 1")).first.wait_for()
    wait_for(lambda: settled(platform, {"duplicate": 1, "sent": 3}) is not None, 120, "the row is sent")
    assert platform.journal()[0] == ("residents_retry_sheet", "A. Engineer", "they take such names now")
