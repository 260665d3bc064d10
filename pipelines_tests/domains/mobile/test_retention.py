"""Landed files deleted: only those that nothing can need any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pytest

from pipelines.adapters.objects import ObjectInfo
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Outcome, Reason, State
from pipelines.domains.mobile.carried import AGAIN, ELSEWHERE, MOVED
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.landed import reopen_damaged
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines.domains.mobile.quarantine import Reject, write_reject
from pipelines.domains.mobile.remapping import remap
from pipelines.domains.mobile.reprocessing import DAMAGED, Reprocessed, reprocess
from pipelines.domains.mobile.retention import ABANDONED, Deleted, delete_landed
from pipelines_tests.domains.mobile.events.submissions import submission
from pipelines_tests.domains.mobile.stages import EVERYTHING, HOUR, LATER, LEASE, NOW, OTHER, Stage, lines, text

AFTER = LATER + timedelta(hours=1)


def delete(stage: Stage, before: datetime = AFTER, *, dry_run: bool = False) -> Deleted:
    deleted = Deleted()
    delete_landed(stage.feed, stage.landing, stage.lake, stage.ledger, before, deleted, dry_run=dry_run)
    return deleted


def landed(stage: Stage) -> list[str]:
    """The names of all that is still there."""
    folders = (f"{stage.feed.queue}/", f"reprocessed/{stage.feed.queue}/")
    return [info.key.rsplit("/", 1)[-1] for folder in folders for info in stage.landing.list(folder)]


@pytest.fixture
def delivered(stage: Stage) -> Stage:
    """Two files that are delivered, one of them with a rejected record."""
    stage.land("a.json", text(lines(5)))
    stage.land("b.json", text([*lines(3), b"{}"]))
    stage.run()
    stage.deliver()
    return stage


def test_what_is_delivered_and_intact_is_deleted_and_counted(delivered: Stage) -> None:
    size = sum(delivered.path(name).stat().st_size for name in ("a.json", "b.json"))
    deleted = delete(delivered)
    assert (deleted.files, deleted.bytes, deleted.kept) == (2, size, {})
    assert landed(delivered) == []
    assert delivered.output("a.json").exists()
    assert delivered.rejects("b.json")[0]["record"] == "{}"
    assert delete(delivered) == Deleted()


def test_a_dry_run_tells_the_same_and_deletes_nothing(delivered: Stage) -> None:
    told = delete(delivered, dry_run=True)
    assert landed(delivered) == ["a.json", "b.json"]
    assert told == delete(delivered)


def test_what_is_deleted_stays_settled_and_is_not_made_again(delivered: Stage) -> None:
    delete(delivered)
    assert delivered.run(AFTER) == []
    assert [item.state for item in delivered.ledger.items(delivered.feed.queue)] == [State.SETTLED] * 2


def test_a_run_that_ended_in_between_is_gone_on_with(delivered: Stage) -> None:
    delivered.path("a.json").unlink()
    assert delete(delivered).files == 1
    assert landed(delivered) == []


def test_files_that_were_settled_at_that_moment_or_later_are_kept(delivered: Stage) -> None:
    assert delete(delivered, NOW).kept == {"settled too short a time ago": 2}
    assert landed(delivered) == ["a.json", "b.json"]


@pytest.mark.parametrize("became", [State.PENDING, State.CLAIMED, State.DEAD])
def test_files_whose_output_is_not_delivered_are_kept(stage: Stage, became: State) -> None:
    stage.land("a.json", text(lines(5)))
    stage.run()
    stage.deliver(became)
    assert delete(stage).kept == {"not delivered": 1}
    assert landed(stage) == ["a.json"]


def test_files_that_gave_no_output_need_no_delivery(stage: Stage) -> None:
    stage.land("a.json", text([b"{}"]))
    stage.run()
    assert delete(stage).files == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"altered")])
def test_files_whose_output_is_lost_or_altered_are_kept_since_they_can_be_made_again(
    delivered: Stage, damage: Callable[[Path], object]
) -> None:
    damage(delivered.output("a.json"))
    assert delete(delivered).kept == {"output not intact": 1}
    assert landed(delivered) == ["a.json"]


def test_files_whose_quarantine_is_lost_are_kept(delivered: Stage) -> None:
    delivered.quarantine("b.json").unlink()
    assert delete(delivered).kept == {DAMAGED: 1}
    assert landed(delivered) == ["b.json"]


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"{}\n",
        write_reject(Reject(4, "", "not JSON", b"{}", 2)),
        2 * write_reject(Reject(4, "", "missing", b"{}", 2)),
    ],
    ids=["emptied", "damaged", "of another version", "more than was counted"],
)
def test_files_whose_quarantine_is_not_what_was_counted_are_kept(delivered: Stage, rest: bytes) -> None:
    delivered.quarantine("b.json").write_bytes(rest)
    assert delete(delivered).kept == {DAMAGED: 1}
    assert landed(delivered) == ["b.json"]


def test_what_was_moved_and_not_taken_out_of_the_quarantine_yet_keeps_no_file(delivered: Stage) -> None:
    before = delivered.quarantine("b.json").read_bytes()
    process_again(delivered)
    delivered.quarantine("b.json").write_bytes(before)
    delivered.work(LATER)
    assert (delete(delivered).kept, landed(delivered)) == ({}, [])


def test_files_that_are_not_known_yet_set_aside_or_in_no_hour_are_kept(stage: Stage) -> None:
    stage.land("a.csv", b"")
    stage.land("x/a.json", b"")
    stage.take_in()
    stage.land("b.json", text(lines(1)))
    stray = stage.root / "landing/mobile/packages/stray.json"
    stray.write_bytes(b"")
    assert delete(stage).kept == {"not settled": 4}


def test_a_file_that_was_rewritten_is_kept_until_its_newer_version_is_settled_too(delivered: Stage) -> None:
    delivered.land("a.json", text(lines(6)))
    assert delete(delivered).kept == {"not settled": 1}
    delivered.run(LATER)
    assert delete(delivered).kept == {"not delivered": 1}
    delivered.deliver()
    assert delete(delivered).files == 1
    assert landed(delivered) == []


class RewrittenMeanwhile(FileObjects):
    """A store in which a file is rewritten, or is gone, just after it was listed."""

    meanwhile: Callable[[], object]

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        found = list(super().list(prefix, after=after))
        self.meanwhile()
        return iter(found)


@pytest.mark.parametrize("rewritten", [True, False])
def test_a_file_that_is_rewritten_or_gone_since_it_was_listed_is_not_deleted(delivered: Stage, rewritten: bool) -> None:
    content = text(lines(6))
    store = RewrittenMeanwhile(delivered.landing.url, delivered.root / "landing")
    store.meanwhile = lambda: (
        delivered.land("a.json", content) if rewritten else delivered.path("a.json").unlink(missing_ok=True)
    )
    deleted = delete(replace(delivered, landing=store))
    assert (deleted.files, deleted.kept) == (1, {"changed meanwhile": 1})
    assert delivered.path("a.json").exists() == rewritten


def test_what_is_to_be_mapped_anew_is_kept_until_that_is_delivered(delivered: Stage) -> None:
    stage = delivered.under(OTHER)
    remap(stage.feed, stage.landing, stage.ledger, EVERYTHING, OTHER.sha256, LATER, dry_run=False)
    assert delete(stage).kept == {"not settled": 2}
    stage.work(LATER)
    assert delete(stage).kept == {"not delivered": 2}
    stage.deliver()
    assert delete(stage).files == 2


# Records that are processed again


def process_again(stage: Stage) -> None:
    reprocess(stage.feed, stage.landing, stage.ledger, EVERYTHING, [], LATER, Reprocessed(), dry_run=False)


def test_records_that_are_processed_again_are_kept_until_they_are_settled(delivered: Stage) -> None:
    process_again(delivered)
    deleted = delete(delivered)
    assert (deleted.files, deleted.kept) == (2, {"not settled": 1})
    delivered.work(LATER)
    assert delete(delivered).files == 1
    assert landed(delivered) == []
    (quarantined,) = (delivered.root / "landing/quarantine").rglob("*.jsonl")
    assert orjson.loads(quarantined.read_bytes())["record"] == "{}"


def test_records_can_be_processed_again_after_their_landed_file_is_deleted(delivered: Stage) -> None:
    delete(delivered)
    process_again(delivered)
    (made,) = landed(delivered)
    assert made.startswith("b.json.again-")
    delivered.work(LATER)
    (settled,) = delivered.items(made)
    assert settled.detail["rejected"] == {"missing": 1}


@pytest.mark.parametrize("old", [True, False])
def test_what_a_crash_left_of_records_to_be_processed_again_is_deleted_once_it_is_old(
    delivered: Stage, old: bool
) -> None:
    key = delivered.key("b.json.again-0123456789ab.jsonl")
    delivered.landing.put(f"reprocessed/{key}", b"{}\n")
    moment = (AFTER - ABANDONED + timedelta(seconds=-1 if old else 1)).timestamp()
    os.utime(delivered.root / "landing/reprocessed" / key, (moment, moment))
    deleted = delete(delivered)
    assert (deleted.files, deleted.kept) == ((3, {}) if old else (2, {"not settled": 1}))


def test_what_the_ledger_says_records_were_moved_to_is_never_taken_for_left_over(delivered: Stage) -> None:
    process_again(delivered)
    (info,) = delivered.landing.list("reprocessed/")
    moment = (AFTER - 2 * ABANDONED).timestamp()
    os.utime(delivered.root / "landing" / info.key, (moment, moment))  # as after a copy, it has another etag
    assert delete(delivered).kept == {"not settled": 1}


@pytest.mark.parametrize("state", [State.PENDING, State.CLAIMED, State.DEAD])
@pytest.mark.parametrize("restored", [False, True])
def test_what_a_version_that_is_not_settled_is_to_be_compared_with_is_kept(
    delivered: Stage, state: State, restored: bool
) -> None:
    process_again(delivered)
    delivered.work(LATER)
    (copy,) = delivered.landing.list("reprocessed/")
    if restored:  # that its records are there is known, and not which these are
        changes = {MOVED: [], AGAIN: [], ELSEWHERE: [copy.key]}
        assert delivered.ledger.amend(delivered.item("b.json"), changes, [], LATER)
    delivered.land("b.json", text([*lines(4), b"{}"]))
    delivered.take_in(LATER)
    if state is not State.PENDING:
        (item,) = delivered.ledger.claim(delivered.feed.queue, owner="run", limit=9, now=LATER, lease=LEASE)
        if state is State.DEAD:
            delivered.ledger.settle([Outcome(item.id, item.fence, state, reason=Reason.INTERNAL)], LATER)
    assert delete(delivered).kept == {"not settled": 1, "a newer version waits": 1}
    reopen_damaged(delivered.filtering(AFTER), EVERYTHING)
    delivered.work(AFTER)
    assert delivered.item("b.json").state is State.SETTLED


# Events, and others' files


def test_events_are_deleted_by_the_same_rules_and_other_feeds_are_left_alone(delivered: Stage) -> None:
    events = replace(delivered, recipe=EventRecipe(1 << 18))
    events.land("1772366400000_a.json", orjson.dumps(submission()))
    events.run()
    assert delete(events).kept == {"not delivered": 1}
    events.deliver()
    assert delete(events).files == 1
    assert landed(events) == []
    assert landed(delivered) == ["a.json", "b.json"]


def test_every_hour_is_looked_at(delivered: Stage) -> None:
    other = HOUR - timedelta(days=40)
    delivered.land("old.json", text(lines(2)), other)
    delivered.run()
    delivered.deliver()
    assert delete(delivered).files == 3


def test_of_an_overlong_record_the_head_stays_in_quarantine(stage: Stage) -> None:
    stage = replace(stage, recipe=PackageRecipe(100))
    stage.land("a.json", text(lines(1)))
    stage.run()
    assert delete(stage).files == 1
    (reject,) = stage.rejects("a.json")
    assert (len(reject["record"]), reject["reason"]) == (100, "too long")
