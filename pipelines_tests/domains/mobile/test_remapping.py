"""Old hours mapped anew: only because a person says so, once, and with everything said that it means."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
import pytest

from pipelines.adapters.ledger import Span
from pipelines.core.work import Item, Outcome, Reason, State
from pipelines.domains.mobile import accepted
from pipelines.domains.mobile.carried import REMAP, REMAPPED
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.landed import reopen_damaged
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines.domains.mobile.remapping import Remapped, remap
from pipelines_tests.domains.mobile.events.submissions import submission
from pipelines_tests.domains.mobile.stages import (
    EVERYTHING,
    HOUR,
    LATER,
    LEASE,
    MAPPING,
    OTHER,
    SAMPLE,
    WITH_ONE_MORE,
    Stage,
    lines,
    mapping_of,
    sha256,
    text,
)

EARLIER = HOUR - timedelta(hours=1)
MUCH_LATER = LATER + timedelta(hours=1)


def in_force(stage: Stage, mapping: PrivacyMapping) -> Stage:
    """The same stage under a mapping that is accepted, with nothing reopened by that."""
    accepted.accept(stage.lake, SAMPLE if mapping is MAPPING else WITH_ONE_MORE, mapping)
    return replace(stage, mapping=mapping)


def map_anew(stage: Stage, span: Span = EVERYTHING, *, dry_run: bool = False) -> Remapped:
    return remap(stage.feed, stage.landing, stage.ledger, span, stage.mapping.sha256, LATER, dry_run=dry_run)


def again(stage: Stage) -> None:
    """Make the file's output once more, since it was lost."""
    stage.output("a.json").unlink()
    assert reopen_damaged(stage.filtering(LATER), EVERYTHING) == (0, 1)
    stage.work(LATER)
    assert stage.item("a.json").reason is None


@pytest.fixture
def delivered(stage: Stage) -> Stage:
    """One file delivered under the first mapping; another one is in force by now."""
    stage.land("a.json", text(lines(5)))
    stage.run()
    stage.deliver()
    return in_force(stage, OTHER)


def test_what_has_left_stays_as_it_is_until_a_person_asks(delivered: Stage) -> None:
    before = sha256(delivered.output("a.json"))
    delivered.under(OTHER).work(LATER)
    again(delivered)
    assert sha256(delivered.output("a.json")) == before
    assert [one.state for one in delivered.released()] == [State.SETTLED]


def test_a_delivered_file_is_made_under_the_mapping_in_force_and_sent_under_the_same_name(delivered: Stage) -> None:
    found = map_anew(delivered)
    assert (found.files, found.records, found.delivered, found.without_raw, found.reopened) == (1, 5, 1, 0, 1)
    delivered.work(LATER)
    assert mapping_of(delivered.output("a.json")) == OTHER.sha256
    first, second = sorted(delivered.released(), key=lambda one: one.id)
    assert first.name == second.name
    assert first.version != second.version == sha256(delivered.output("a.json"))
    assert (first.state, second.state) == (State.SETTLED, State.PENDING)
    assert second.detail["mapping"] == OTHER.sha256
    item = delivered.item("a.json")
    assert (item.state, item.reason) == (State.SETTLED, None)
    assert "remap" not in item.detail


def test_a_dry_run_tells_the_same_and_changes_nothing(delivered: Stage) -> None:
    before = list(delivered.ledger.items(delivered.feed.queue)), delivered.released()
    told = map_anew(delivered, dry_run=True)
    assert (list(delivered.ledger.items(delivered.feed.queue)), delivered.released()) == before
    assert told == replace(map_anew(delivered), reopened=0)


def test_the_consequences_are_named_in_numbers_and_words(delivered: Stage) -> None:
    words = map_anew(delivered, dry_run=True).consequences
    assert "1 of 1 objects have left" in words
    assert "same names" in words
    assert "intersect" in words
    assert "0 files can't be mapped anew" in words


def test_asked_twice_it_is_done_once(delivered: Stage) -> None:
    map_anew(delivered)
    assert map_anew(delivered).files == 0
    delivered.work(LATER)
    assert map_anew(delivered).files == 0
    assert len(delivered.released()) == 2


def test_of_two_runs_at_once_only_one_reopens_the_file(delivered: Stage) -> None:
    (item,) = delivered.ledger.items(delivered.feed.queue)
    delivered.ledger.reopen([item.id], LATER, Reason.REMAPPED, {"remap": OTHER.sha256})
    assert delivered.ledger.reopen([item.id], LATER, Reason.REMAPPED, {"remap": OTHER.sha256}) == 0


def test_only_the_hours_that_were_asked_for_are_mapped_anew(delivered: Stage) -> None:
    old = in_force(delivered, MAPPING)
    old.land("b.json", text(lines(3)), EARLIER)
    old.run(LATER)
    delivered = in_force(old, OTHER)
    assert map_anew(delivered, Span("2026-03-01-11:00", "2026-03-01-11:00")).records == 3
    assert delivered.item("a.json").state is State.SETTLED
    assert delivered.item("b.json").state is State.PENDING


def test_a_release_that_waits_is_replaced_and_not_told_to_have_left(stage: Stage) -> None:
    stage.land("a.json", text(lines(5)))
    stage.run()
    stage = in_force(stage, OTHER)
    assert map_anew(stage).delivered == 0
    stage.work(LATER)
    assert {one.state: one.version for one in stage.released()}[State.PENDING] == sha256(stage.output("a.json"))
    assert sorted(one.state for one in stage.released()) == [State.PENDING, State.SUPERSEDED]


@pytest.mark.parametrize("became", [State.CLAIMED, State.DEAD, State.PENDING])
def test_what_is_on_its_way_or_was_refused_may_have_left(stage: Stage, became: State) -> None:
    stage.land("a.json", text(lines(5)))
    stage.run()
    stage.deliver(became)
    assert map_anew(in_force(stage, OTHER)).delivered == 1


def test_what_was_answered_once_may_have_left_whoever_sends_it_anew(stage: Stage) -> None:
    stage.land("a.json", text(lines(5)))
    stage.run()
    (claimed,) = stage.deliver(State.CLAIMED)
    stage.ledger.settle([Outcome(claimed.id, claimed.fence, State.DEAD, reason=Reason.REFUSED, status=422)], LATER)
    stage.ledger.reopen([claimed.id], LATER, Reason.REPLAYED)
    (waiting,) = stage.released(State.PENDING)
    assert (waiting.attempts, waiting.uncertain) == (0, False)
    assert map_anew(in_force(stage, OTHER)).delivered == 1


def test_a_file_whose_landed_bytes_are_gone_or_rewritten_is_left_and_counted(delivered: Stage) -> None:
    delivered.path("a.json").unlink()
    found = map_anew(delivered)
    assert (found.files, found.without_raw, found.reopened) == (0, 1, 0)
    assert "1 files can't be mapped anew" in found.consequences
    delivered.land("a.json", text(lines(6)))
    assert map_anew(delivered).without_raw == 1
    assert delivered.item("a.json").state is State.SETTLED


def test_bytes_that_go_after_it_was_asked_leave_the_file_as_it_was(delivered: Stage) -> None:
    before = sha256(delivered.output("a.json"))
    map_anew(delivered)
    delivered.path("a.json").unlink()
    delivered.work(LATER)
    item = delivered.item("a.json")
    assert (item.state, item.detail["mapping"]) == (State.SETTLED, MAPPING.sha256)
    assert "remap" not in item.detail
    assert sha256(delivered.output("a.json")) == before
    assert [one.state for one in delivered.released()] == [State.SETTLED]


def test_a_file_without_an_accepted_record_has_nothing_to_map(stage: Stage) -> None:
    stage.land("a.json", text([b"{}"]))
    stage.run()
    assert map_anew(in_force(stage, OTHER)).files == 0


def test_a_run_that_dies_while_it_maps_anew_leaves_that_to_the_next_one(delivered: Stage) -> None:
    map_anew(delivered)
    queue = delivered.feed.queue
    lease = timedelta(seconds=90)
    assert delivered.ledger.claim(queue, owner="dies", limit=1, now=LATER, lease=lease, crash_counts=True)
    delivered.work(LATER + 2 * lease)
    assert mapping_of(delivered.output("a.json")) == OTHER.sha256
    assert len(delivered.released(State.PENDING)) == 1


# What was mapped anew stays so


@pytest.mark.parametrize("sent", [True, False], ids=["delivered", "waiting"])
def test_an_output_that_is_lost_after_it_was_mapped_anew_is_made_the_same_again(delivered: Stage, sent: bool) -> None:
    map_anew(delivered)
    delivered.work(LATER)
    before = sha256(delivered.output("a.json"))
    if sent:
        delivered.deliver()
    again(delivered)
    assert sha256(delivered.output("a.json")) == before
    waiting = [one.version for one in delivered.released(State.PENDING)]
    assert waiting == ([] if sent else [before])


def test_mapped_back_and_forth_the_last_one_asked_for_is_sent_and_kept(delivered: Stage) -> None:
    original = sha256(delivered.output("a.json"))
    map_anew(delivered)
    delivered.work(LATER)
    delivered.deliver()
    back = in_force(delivered, MAPPING)
    assert map_anew(back).delivered == 1
    back.work(LATER)
    assert [one.version for one in back.released(State.PENDING)] == [original]
    back.deliver()
    again(back)
    assert sha256(back.output("a.json")) == original
    assert back.released(State.PENDING) == []


def test_without_a_choice_that_is_known_what_was_sent_last_decides_not_what_was_first_sent_last(
    delivered: Stage,
) -> None:
    """Bytes that were sent before keep their row: the other mapping's stands behind it."""
    map_anew(delivered)
    delivered.work(LATER)
    delivered.deliver()
    back = in_force(delivered, MAPPING)
    remap(back.feed, back.landing, back.ledger, EVERYTHING, MAPPING.sha256, MUCH_LATER, dry_run=False)
    back.work(MUCH_LATER)
    claimed = back.ledger.claim(
        back.feed.exports, owner="run", limit=9, now=MUCH_LATER, lease=LEASE, destination=back.destination
    )
    back.ledger.settle([Outcome(one.id, one.fence, State.SETTLED) for one in claimed], MUCH_LATER)
    item = back.item("a.json")
    assert back.ledger.amend(item, {REMAPPED: None}, [], MUCH_LATER)
    back.output("a.json").unlink()
    other = in_force(back, OTHER)
    reopen_damaged(other.filtering(MUCH_LATER), EVERYTHING)
    other.work(MUCH_LATER)
    assert mapping_of(other.output("a.json")) == MAPPING.sha256
    assert other.released(State.PENDING) == []


# A file that is rewritten


def rewritten(stage: Stage, now: datetime = LATER) -> Item:
    stage.land("a.json", text(lines(7)))
    stage.run(now)
    return stage.item("a.json")


def test_a_file_rewritten_while_it_waits_to_be_mapped_anew_is_mapped_so(delivered: Stage) -> None:
    map_anew(delivered)
    item = rewritten(delivered)
    assert mapping_of(delivered.output("a.json")) == item.detail[REMAPPED] == OTHER.sha256
    assert REMAP not in item.detail
    assert [one.version for one in delivered.released(State.PENDING)] == [item.detail["sha256"]]


@pytest.mark.parametrize("sent", [True, False], ids=["delivered", "waiting"])
def test_a_file_rewritten_after_it_was_mapped_anew_stays_so(delivered: Stage, sent: bool) -> None:
    map_anew(delivered)
    delivered.work(LATER)
    if sent:
        delivered.deliver()
    back = in_force(delivered, MAPPING)
    rewritten(back)
    assert mapping_of(back.output("a.json")) == OTHER.sha256
    again(back)
    assert mapping_of(back.output("a.json")) == OTHER.sha256


def test_rewritten_twice_the_choice_is_still_known_and_a_later_one_replaces_it(delivered: Stage) -> None:
    map_anew(delivered)
    delivered.land("a.json", text(lines(6)))
    delivered.take_in(LATER)
    rewritten(delivered)
    assert mapping_of(delivered.output("a.json")) == OTHER.sha256
    back = in_force(delivered, MAPPING)
    remap(back.feed, back.landing, back.ledger, EVERYTHING, MAPPING.sha256, MUCH_LATER, dry_run=False)
    back.land("a.json", text(lines(8)))
    back.run(MUCH_LATER)
    assert mapping_of(in_force(back, OTHER).output("a.json")) == MAPPING.sha256


def test_a_version_that_is_put_back_follows_the_choice_that_was_made_for_the_one_between(stage: Stage) -> None:
    path = stage.land("a.json", text(lines(5)))
    first = path.stat().st_mtime_ns
    stage.run()
    stage.deliver()
    path.write_bytes(text(lines(7)))
    os.utime(path, ns=(first + 1, first + 1))
    stage.run()
    stage.deliver()
    stage = in_force(stage, OTHER)
    assert map_anew(stage).reopened == 1
    path.write_bytes(text(lines(5)))
    os.utime(path, ns=(first, first))
    stage.run(LATER)
    assert mapping_of(stage.output("a.json")) == OTHER.sha256


def test_a_file_that_was_not_mapped_anew_keeps_what_left_when_it_is_rewritten(delivered: Stage) -> None:
    item = rewritten(delivered)
    assert mapping_of(delivered.output("a.json")) == MAPPING.sha256
    assert REMAPPED not in item.detail


# Bytes that differ


def test_bytes_that_differ_from_those_sent_under_the_same_mapping_are_still_told(delivered: Stage) -> None:
    map_anew(delivered)
    delivered.work(LATER)
    delivered.deliver()
    (last,) = [one for one in delivered.released() if one.detail["mapping"] == OTHER.sha256]
    delivered.output("a.json").unlink()
    narrow = replace(delivered, recipe=PackageRecipe(1))
    reopen_damaged(narrow.filtering(LATER), EVERYTHING)
    narrow.work(LATER)
    item = narrow.item("a.json")
    assert item.detail["sha256"] != last.version
    assert item.reason == Reason.REBUILT_DIFFERENTLY
    assert narrow.released(State.PENDING) == []


# Events


def test_an_event_whose_bytes_stay_the_same_is_not_sent_again(stage: Stage) -> None:
    stage = replace(stage, recipe=EventRecipe(1 << 18))
    stage.land("a.json", orjson.dumps(submission()))
    stage.run()
    stage.deliver()
    stage = in_force(stage, OTHER)
    assert map_anew(stage).files == 1
    stage.work(LATER)
    assert stage.item("a.json").detail["mapping"] == OTHER.sha256
    assert [one.state for one in stage.released()] == [State.SETTLED]
