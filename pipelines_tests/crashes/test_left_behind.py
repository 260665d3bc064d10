"""What a run that died left behind is not taken for work when a lost ledger is restored."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, FUSSY, GOOD
from pipelines_tests.crashes.world import Place, World


class Died(BaseException):
    """Stands for the end of the process."""


def die_once_stored(step: str) -> None:
    if step == "Objects.put_file":
        raise Died


def leave_a_copy(place: Place, world: World) -> None:
    """A run that is to process the quarantine again dies when it has copied the first records."""
    world.now += timedelta(minutes=10)
    dying = World.open(place, die_once_stored, now=world.now)
    with pytest.raises(Died):
        dying.reprocess()
    dying.close()
    assert list(world.landing.list("reprocessed/"))


def lose_and_restore(place: Place, world: World) -> World:
    world.lose_ledger()
    restored = World.open(place, now=world.now + timedelta(minutes=5), mended=True)
    restored.restore()
    restored.settle()
    return restored


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


@pytest.mark.parametrize("feed", [PACKAGES, EVENTS])
def test_records_that_were_moved_after_the_last_receipts_are_found_though_their_first_file_counts_them_as_rejected(
    feed: Feed, place: Place, world: World, aae: Aae
) -> None:
    name, kinds = ("a.jsonl", [FUSSY, GOOD]) if feed is PACKAGES else ("a.json", [FUSSY])
    world.uploader.land(feed, name, kinds)
    world.settle()
    leave_a_copy(place, world)
    world.reprocess()  # nothing is filtered, and no receipt is written since
    restored = lose_and_restore(place, world)
    read = len(kinds)
    assert Verdict(restored, aae, fixed=True).judge() == [f"{read + 1} records counted, {read} + 0 are there"]
    restored.close()
