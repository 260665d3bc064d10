"""Whose records a copy holds, and whether they were moved, is told from all of them when a lost ledger is restored."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from pipelines.core.work import State
from pipelines.domains.mobile.carried import copies_of
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed, landed_name
from pipelines.domains.mobile.intake import LONGEST_NAME
from pipelines.domains.mobile.rejected import is_as_counted
from pipelines.domains.mobile.totals import total
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, FUSSY, GOOD, MARK
from pipelines_tests.crashes.losses import (
    edit,
    land_again,
    leave_a_copy,
    lose_and_restore,
    path_of,
    process_again,
    put_receipts_back,
    quarantine_of,
    receipts,
    restored,
    sent,
)
from pipelines_tests.crashes.world import Place, World

GARBAGE = b"#garbage\n"
"""A record that is bad for good, and the same in many files."""


def garbage_first(body: bytes) -> bytes:
    return GARBAGE + body


def marked(body: bytes) -> bytes:
    """With a byte order mark before each fussy record, as if files were put together."""
    lines = body.split(b"\n")
    return b"\n".join(codecs.BOM_UTF8 + line if line.startswith(MARK) else line for line in lines)


def later(world: World) -> None:
    world.now += timedelta(minutes=10)


def rejected(world: World) -> Counter[str]:
    return total(world.ledger.items(PACKAGES.queue)).rejected


def filter_only(world: World, name: str) -> None:
    """Take in what is there, and filter this file; what else waits is in hand."""
    world.take_in(PACKAGES)
    claimed = world.ledger.claim(PACKAGES.queue, owner="run", limit=9, now=world.now, lease=world.lease)
    (item,) = [one for one in claimed if one.name.endswith(f"/{name}")]
    world.ledger.settle([world.filtering(PACKAGES).outcome(item, lambda _: True)], world.now)


def are_as_counted(world: World) -> bool:
    files = world.ledger.items(PACKAGES.queue, states=[State.SETTLED])
    return all(is_as_counted(world.landing, item) for item in files)


def test_two_files_that_begin_with_the_same_record_both_have_what_was_moved_from_them_sent(
    place: Place, world: World, aae: Aae
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        world.uploader.land(PACKAGES, name, [FUSSY, GOOD])
        edit(place, name, garbage_first)
    world.settle()
    later(world)
    world.reprocess()
    again = lose_and_restore(place, world)
    assert sent(aae) == {f"device-{name}.jsonl-0-{number}": 1 for name in "ab" for number in (0, 1)}
    assert rejected(again) == {"not JSON": 2}
    again.close()


@pytest.mark.parametrize("filtered", [True, False])
def test_what_two_files_have_in_common_was_not_moved_from_one_to_the_other(
    filtered: bool, place: Place, world: World, aae: Aae
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        world.uploader.land(PACKAGES, name, [GOOD])
        edit(place, name, garbage_first)
    world.settle()
    later(world)
    world.reprocess()
    if filtered:
        world.filter(PACKAGES)  # both are in quarantine once more, and no receipt tells of it
    again = lose_and_restore(place, world)
    assert len(list(again.ledger.items(PACKAGES.queue))) == 4
    assert are_as_counted(again)
    assert rejected(again) == {"not JSON": 2}
    again.close()


@pytest.mark.parametrize("other", ["a.jsonl.json", "zz.jsonl"])
def test_the_quarantine_of_another_file_tells_nothing_whatever_its_name_begins_with(
    other: str, place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [FUSSY, GOOD])
    edit(place, "a.jsonl", garbage_first)
    world.settle()
    later(world)
    world.reprocess()
    world.uploader.land(PACKAGES, other, [FUSSY])
    path_of(place, other).write_bytes(GARBAGE + path_of(place, "a.jsonl").read_bytes().splitlines()[1])
    filter_only(world, other)
    again = lose_and_restore(place, world)
    copies = [item for item in again.ledger.items(PACKAGES.queue) if landed_name(item.name) == "a.jsonl"]
    assert [(item.state, item.detail["written"]) for item in copies] == [(State.SETTLED, 1), (State.SETTLED, 1)]
    again.close()


def test_a_copy_of_some_of_the_records_that_were_moved_later_is_not_counted(
    place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [BAD, FUSSY, GOOD])
    world.settle()
    kept = receipts(world)
    leave_a_copy(place, world, ["not JSON"])
    world.mended = True
    world.reprocess()
    world.settle()
    put_receipts_back(world.lake, kept)
    again = lose_and_restore(place, world)
    again.replay_doubtful()
    again.settle()
    assert sent(aae) == {f"device-a.jsonl-0-{number}": 1 for number in (1, 2)}
    again.close()


@pytest.mark.parametrize("change", [bytes, marked], ids=["as they are", "with marks"])
def test_records_that_lost_a_mark_as_they_were_moved_are_the_same(
    change: Callable[[bytes], bytes], place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, FUSSY, GOOD])
    edit(place, "a.jsonl", change)
    world.settle()
    later(world)
    world.reprocess()
    lose_and_restore(place, world).close()
    assert sent(aae) == {f"device-a.jsonl-0-{number}": 1 for number in range(3)}


@pytest.mark.parametrize("change", [bytes, marked], ids=["as they are", "with marks"])
@pytest.mark.parametrize("deleted", [False, True])
def test_a_copy_left_behind_is_known_by_the_quarantine_that_its_records_are_in(
    change: Callable[[bytes], bytes], deleted: bool, place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, FUSSY, GOOD])
    edit(place, "a.jsonl", change)
    world.settle()
    leave_a_copy(place, world)
    if deleted:
        path_of(place, "a.jsonl").unlink()
    again = lose_and_restore(place, world)
    again.reprocess()
    again.settle()
    assert sent(aae) == {f"device-a.jsonl-0-{number}": 1 for number in range(3)}
    again.close()


def test_a_copy_of_what_a_newer_version_had_accepted_is_not_counted(place: Place, world: World, aae: Aae) -> None:
    """Neither is it in quarantine, nor was it moved, nor is it gone from the file."""
    world.uploader.land(PACKAGES, "a.jsonl", [FUSSY, GOOD])
    world.settle()
    leave_a_copy(place, world)
    world.mended = True
    land_again(place, "a.jsonl", b"not JSON\n")
    world.settle()
    assert sent(aae)["device-a.jsonl-0-0"] == 1
    lose_and_restore(place, world).close()
    assert sent(aae)["device-a.jsonl-0-0"] == 1


def test_what_was_moved_on_from_a_copy_after_the_last_receipts_counts(place: Place, world: World, aae: Aae) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD])
    for _ in range(2):
        world.settle()
        later(world)
        world.reprocess()
    again = lose_and_restore(place, world)
    assert Verdict(again, aae).judge() == []
    again.close()


def test_what_a_file_holds_once_more_was_not_moved_from_the_copy_that_had_it_accepted(
    place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [FUSSY, GOOD])
    world.settle()
    later(world)
    world.reprocess()
    world.mended = True
    world.settle()
    world.mended = False
    land_again(place, "a.jsonl", path_of(place, "a.jsonl").read_bytes().splitlines(keepends=True)[0])
    world.settle()
    later(world)
    world.reprocess()
    again = lose_and_restore(place, world)
    assert sent(aae)["device-a.jsonl-0-0"] == 2
    assert are_as_counted(again)
    again.close()


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_record_that_was_moved_before_is_moved_once_more_if_its_file_holds_it_twice(
    left_behind: bool, place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [FUSSY, GOOD])
    twin = path_of(place, "a.jsonl").read_bytes().splitlines(keepends=True)[0]
    world.settle()
    later(world)
    world.reprocess()
    world.settle()
    later(world)
    land_again(place, "a.jsonl", twin)
    world.settle()
    if left_behind:
        leave_a_copy(place, world)
    later(world)
    world.mended = True
    world.reprocess()  # one from the file, and one from the copy of what was moved before
    again = lose_and_restore(place, world)
    again.replay_doubtful()
    again.settle()
    assert sent(aae) == {"device-a.jsonl-0-0": 2, "device-a.jsonl-0-1": 1}
    assert rejected(again) == {}
    assert are_as_counted(again)
    again.close()


def test_a_copy_that_was_rejected_whole_is_known_by_its_quarantine_to_be_filtered(
    place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD])
    edit(place, "a.jsonl", garbage_first)
    world.settle()
    later(world)
    world.reprocess()
    world.filter(PACKAGES)
    process_again(world, ["not JSON"])
    again = lose_and_restore(place, world)
    assert rejected(again).total() == 2
    assert are_as_counted(again)
    again.close()


def test_of_two_copies_that_begin_alike_each_is_told_what_was_moved_on_from_it(
    place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD])
    edit(place, "a.jsonl", garbage_first)
    world.settle()
    later(world)
    world.reprocess()
    land_again(place, "a.jsonl", GARBAGE)
    filter_only(world, "a.jsonl")
    world.reprocess()
    world.settle()
    later(world)
    world.reprocess()
    again = lose_and_restore(place, world)
    assert len(list(again.landing.list("reprocessed/"))) == 4
    assert are_as_counted(again)
    assert rejected(again).total() == 3
    again.close()


def test_a_copy_of_which_a_newer_version_has_a_part_in_quarantine_and_withdrew_the_rest_is_not_counted(
    place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD])
    edit(place, "a.jsonl", garbage_first)
    world.settle()
    leave_a_copy(place, world)
    edit(place, "a.jsonl", lambda body: b"".join(body.splitlines(keepends=True)[:2]))
    world.settle()
    put_receipts_back(world.lake, {})
    again = lose_and_restore(place, world)
    assert rejected(again) == {"not JSON": 1}
    again.close()


def test_a_copy_of_what_is_known_to_be_moved_is_not_counted_though_something_left_since(
    place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [BAD, FUSSY, GOOD])
    world.settle()
    leave_a_copy(place, world, ["not JSON"])
    (left,) = world.landing.list("reprocessed/")
    world.mended = True
    later(world)
    process_again(world, ["not JSON"])
    world.settle()
    (moved,) = [info for info in world.landing.list("reprocessed/") if info.key != left.key]
    world.landing.delete(moved.key)  # as by retention
    later(world)
    world.reprocess()
    lose_and_restore(place, world).close()
    assert sent(aae) == {f"device-a.jsonl-0-{number}": 1 for number in (1, 2)}


@pytest.mark.parametrize(("feed", "ending"), [(PACKAGES, ".jsonl"), (EVENTS, ".json.json")])
def test_the_longest_name_still_tells_whose_records_were_sent(
    feed: Feed, ending: str, place: Place, world: World, aae: Aae
) -> None:
    name = "n" * (LONGEST_NAME - len(ending)) + ending
    world.uploader.land(feed, name, [FUSSY, GOOD] if feed is PACKAGES else [FUSSY])
    world.tick()
    later(world)
    world.reprocess()
    world.settle()
    world.mended = True
    later(world)
    world.reprocess()  # from a copy
    world.settle()
    put_receipts_back(world.lake, {})
    again = lose_and_restore(place, world)
    again.replay_doubtful()
    again.settle()
    assert Verdict(again, aae, fixed=True, contents=1).judge() == []
    again.close()


def test_a_damaged_quarantine_tells_nothing_of_a_copy(place: Place, world: World, aae: Aae) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [FUSSY, GOOD])
    world.settle()
    later(world)
    world.reprocess()
    damage(place)
    lose_and_restore(place, world).close()
    assert sent(aae) == {"device-a.jsonl-0-0": 1, "device-a.jsonl-0-1": 1}


def lose(place: Place) -> None:
    quarantine_of(place, "a.jsonl").unlink()


def damage(place: Place) -> None:
    quarantine_of(place, "a.jsonl").write_bytes(b"{}\n")


def delete(place: Place) -> None:
    path_of(place, "a.jsonl").unlink()


def delete_and_land_again(place: Place) -> None:
    land_again(place, "a.jsonl")


@pytest.mark.parametrize("befalls", [lose, damage, delete, delete_and_land_again])
def test_where_it_can_t_be_told_what_was_moved_a_file_s_counts_stay_and_nothing_is_sent_twice(
    befalls: Callable[[Place], None], place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [BAD, FUSSY, GOOD])
    world.settle()
    kept = receipts(world)
    content = path_of(place, "a.jsonl").read_bytes()
    world.mended = True
    later(world)
    process_again(world, ["not JSON"])
    world.settle()
    put_receipts_back(world.lake, kept)
    befalls(place)
    again = restored(place, world)
    (item,) = [one for one in again.ledger.items(PACKAGES.queue) if one.name.endswith("/a.jsonl")]
    (copy,) = again.landing.list("reprocessed/")
    assert copies_of(item.detail) == [copy.key]
    assert sum(item.detail["rejected"].values()) == 2
    assert item.detail["read"] == 3
    path_of(place, "a.jsonl").unlink(missing_ok=True)
    path_of(place, "a.jsonl").write_bytes(content)
    again.settle()
    again.replay_doubtful()
    again.settle()
    assert sent(aae) == {f"device-a.jsonl-0-{number}": 1 for number in (1, 2)}
    again.close()
