"""What a run that died left behind is not taken for work when a lost ledger is restored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count

import pytest

from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, FUSSY, GOOD
from pipelines_tests.crashes.losses import Died, leave_a_copy, lose_and_restore
from pipelines_tests.crashes.world import Place, World


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
@pytest.mark.parametrize("then", ["nothing more", "moved later", "moved later and deleted", "rewritten"])
def test_a_copy_of_quarantined_records_that_a_dead_run_made_is_not_counted(
    feed: Feed, then: str, place: Place, world: World, aae: Aae
) -> None:
    name, kinds = ("a.jsonl", [FUSSY, GOOD, BAD]) if feed is PACKAGES else ("a.json", [FUSSY])
    world.uploader.land(feed, name, kinds)
    world.settle()
    leave_a_copy(place, world)
    world.mended = True
    if then.startswith("moved later"):
        world.reprocess()
        world.settle()
    if then.endswith("deleted"):
        world.delete_landed(world.now + timedelta(seconds=1))
    if then == "rewritten":
        world.uploader.land(feed, name, [GOOD] * len(kinds))
        world.settle()
    requests = len(aae.received())
    restored = lose_and_restore(place, world)
    assert Verdict(restored, aae).judge() == []
    assert len(aae.received()) == requests
    restored.close()


def files(feed: Feed) -> tuple[str, list[str]]:
    return ("a.jsonl", [FUSSY, GOOD]) if feed is PACKAGES else ("a.json", [FUSSY])


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
def test_records_that_were_moved_after_the_last_receipts_count_where_they_were_moved_to(
    feed: Feed, place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(feed, *files(feed))
    world.settle()
    leave_a_copy(place, world)
    world.reprocess()  # nothing is filtered, and no receipt is written since
    restored = lose_and_restore(place, world)
    assert Verdict(restored, aae, fixed=True).judge() == []
    restored.close()


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
@pytest.mark.parametrize("told", [True, False], ids=["the file is told of", "nothing is told"])
@pytest.mark.parametrize("then", ["nothing more", "made anew", "the same again"])
@pytest.mark.parametrize("twice", [False, True], ids=["once", "more than once"])
def test_what_was_moved_and_sent_before_the_ledger_was_lost_is_not_taken_from_its_first_file_too(
    feed: Feed, told: bool, then: str, twice: bool, place: Place, world: World, aae: Aae
) -> None:
    """The receipts were last written before records were moved, or were never."""
    name, kinds = files(feed)
    kinds = [*kinds, BAD] if feed is PACKAGES else kinds
    world.uploader.land(feed, name, kinds)
    world.settle() if told else world.tick()
    receipts = {info.key: world.lake.get(info.key) for info in world.lake.list("aae/receipts/")} if told else {}
    if twice:
        world.now += timedelta(minutes=10)
        world.reprocess()
        world.settle()
    world.mended = True
    world.now += timedelta(minutes=10)
    world.reprocess()
    world.settle()
    if twice:
        world.now += timedelta(minutes=10)
        world.reprocess()  # what is bad for good, from a copy of a copy, of which something left
        world.settle()
    for info in list(world.lake.list("aae/receipts/")):
        world.lake.delete(info.key)
    for key, body in receipts.items():
        world.lake.put(key, body)
    world.lose_ledger()
    restored = World.open(place, now=world.now + timedelta(minutes=5), mended=True)
    restored.restore()
    if then == "made anew":
        for info in list(restored.lake.list(f"{feed.queue}/")):
            if ".again-" not in info.key:
                restored.lake.delete(info.key)
        restored.materialise()
    if then == "the same again":
        (path,) = (restored.place.root / "landing" / feed.queue).rglob(name)
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    restored.settle()
    restored.replay_doubtful()
    restored.settle()
    assert Verdict(restored, aae, fixed=True, contents=1).judge() == []
    restored.close()


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
def test_a_restoring_that_ends_anywhere_tells_of_moved_records_when_it_is_begun_again(
    feed: Feed, place: Place, world: World, aae: Aae
) -> None:
    world.uploader.land(feed, *files(feed))
    world.tick()
    world.mended = True
    world.now += timedelta(minutes=10)
    world.reprocess()
    world.lose_ledger()
    now, deaths = world.now + timedelta(minutes=5), 0
    for at in count(1):
        steps = count(1)

        def die(_: str, at: int = at, steps: Iterator[int] = steps) -> None:
            if next(steps) == at:
                raise Died

        dying = World.open(place, die, now=now, mended=True)
        try:
            dying.restore()
        except Died:
            deaths += 1
        else:
            break
        finally:
            dying.close()
    assert deaths > 3
    restored = World.open(place, now=now, mended=True)
    restored.settle()
    restored.replay_doubtful()
    restored.settle()
    assert Verdict(restored, aae, fixed=True, contents=1).judge() == []
    restored.close()
