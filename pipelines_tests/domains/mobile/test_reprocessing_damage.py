"""Files of quarantined records that change, are lost, or are filtered anew, before and after."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.domains.mobile.landed import reopen_damaged
from pipelines.domains.mobile.reprocessing import CHANGED, DAMAGED
from pipelines_tests.domains.mobile.mendings import (
    AFTER,
    BAD,
    GOOD,
    MIXED,
    WORSE,
    WRONG,
    again,
    counted,
    land_mixed,
    mended,
    process_again,
    rows,
)
from pipelines_tests.domains.mobile.stages import EVERYTHING, LATER, Stage, text


@pytest.fixture
def filtered(stage: Stage) -> Stage:
    """A file with good and bad records, filtered."""
    return land_mixed(stage)


def test_a_file_that_is_made_anew_leaves_the_moved_records_where_they_are(filtered: Stage) -> None:
    process_again(filtered, "not JSON")
    mended(filtered).work(AFTER)
    filtered.output("a.json").unlink()
    reopen_damaged(mended(filtered).filtering(AFTER), EVERYTHING)
    mended(filtered).work(AFTER)
    assert counted(filtered) == (15, 13, {"missing": 1, "not UTF-8": 1})
    assert rows(filtered) == 13
    assert [line["line"] for line in filtered.rejects("a.json")] == [8, 15]
    assert process_again(filtered, now=AFTER).records == {"missing": 1, "not UTF-8": 1}


def test_what_a_crash_left_in_the_quarantine_is_passed_over(filtered: Stage) -> None:
    before = filtered.quarantine("a.json").read_bytes()
    process_again(filtered, "not JSON")
    filtered.quarantine("a.json").write_bytes(before)
    found = process_again(filtered, now=AFTER)
    assert found.records == {"missing": 1, "not UTF-8": 1}
    first, second = sorted(again(filtered), key=lambda item: item.id)
    assert filtered.landing.get(first.name) == text(BAD)
    assert filtered.landing.get(second.name) == text(WORSE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1])),
        lambda path: path.write_bytes(path.read_bytes() * 2),
    ],
    ids=["gone", "cut", "a record less", "twice"],
)
def test_a_quarantine_that_is_not_what_was_counted_is_left_and_the_others_go_on(
    filtered: Stage, damage: Callable[[Path], object]
) -> None:
    filtered.land("b.json", text([GOOD[0], b"{}"]))
    filtered.run()
    damage(filtered.quarantine("a.json"))
    found = process_again(filtered)
    assert (found.files, found.skipped, found.records) == (2, {DAMAGED: 1}, {"missing": 1})
    assert counted(filtered) == (16, 11, WRONG)


def test_a_file_whose_newer_version_waits_is_left_alone(filtered: Stage) -> None:
    filtered.land("a.json", text([*MIXED, GOOD[0]]))
    filtered.take_in(LATER - timedelta(seconds=1))
    assert process_again(filtered).skipped == {CHANGED: 1}
    assert not list(filtered.landing.list("reprocessed/"))
    mended(filtered).work(AFTER)
    assert counted(filtered) == (16, 14, {"missing": 1, "not UTF-8": 1})
