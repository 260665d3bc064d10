"""Files of quarantined records that change, are lost, or are filtered anew, before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.core.work import State
from pipelines.domains.mobile.carried import ELSEWHERE
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
from pipelines_tests.domains.mobile.stages import EVERYTHING, LATER, RECIPE, Stage, text


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


damages = pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-30]),
        lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1])),
        lambda path: path.write_bytes(path.read_bytes() * 2),
    ],
    ids=["gone", "cut", "a record less", "twice"],
)


@damages
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


@pytest.mark.parametrize("moved", [False, True])
@damages
def test_a_quarantine_that_is_not_what_was_counted_is_made_anew_with_its_hour_and_nothing_leaves_twice(
    filtered: Stage, damage: Callable[[Path], object], moved: bool
) -> None:
    if moved:
        process_again(filtered, "not JSON")
        filtered.work(LATER)
    filtered.deliver()
    before, left, releases = filtered.rejects("a.json"), filtered.output("a.json").read_bytes(), filtered.released()
    files = 1 + len(again(filtered))
    damage(filtered.quarantine("a.json"))
    assert reopen_damaged(filtered.filtering(AFTER), EVERYTHING) == (files - 1, 1)
    filtered.work(AFTER)
    assert filtered.rejects("a.json") == before
    assert filtered.output("a.json").read_bytes() == left
    assert (filtered.item("a.json").state, filtered.item("a.json").reason) == (State.SETTLED, None)
    assert filtered.released() == releases
    assert counted(filtered) == (15, 10, WRONG)
    assert reopen_damaged(filtered.filtering(AFTER), EVERYTHING) == (files, 0)


def delete(stage: Stage) -> Stage:
    stage.path("a.json").unlink()
    return stage


def rewrite(stage: Stage) -> Stage:
    stage.land("a.json", text(GOOD))
    return stage


def change_the_code(stage: Stage) -> Stage:
    """What left under other code would be made differently."""
    return replace(stage, recipe=replace(RECIPE, feed=replace(stage.feed, code_version="next")))


def lose_a_copy(stage: Stage) -> Stage:
    """Nobody knows which of its records were in the copy, as after the ledger was lost."""
    assert stage.ledger.amend(stage.item("a.json"), {ELSEWHERE: ["reprocessed/gone"]}, [], LATER)
    return stage


@pytest.mark.parametrize("befalls", [delete, rewrite, change_the_code, lose_a_copy])
def test_a_file_that_cannot_be_made_anew_as_it_was_is_kept_without_its_quarantine(
    filtered: Stage, befalls: Callable[[Stage], Stage]
) -> None:
    filtered.deliver()
    filtered.quarantine("a.json").unlink()
    assert reopen_damaged(befalls(filtered).filtering(AFTER), EVERYTHING) == (1, 0)
    assert filtered.item("a.json").state is State.SETTLED
