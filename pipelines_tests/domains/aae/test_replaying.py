"""Dead letters sent again: which of them, and that they leave as what they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from pipelines.core.work import Reason, State
from pipelines.domains.aae.exports import EVENTS, PACKAGES
from pipelines.domains.aae.replaying import Replayed, replay
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines_tests.domains.aae.deliveries import Site, names_received
from pipelines_tests.domains.aae.desks import MINUTE, NOW, Desk

DIED = NOW + 4 * MINUTE
"""When the first letters on the desk died."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Four dead letters of one feed, one of another, and an object that was delivered."""
    desk = Desk(tmp_path)
    for name in ("a", "b", "c"):
        desk.filter(name)
    desk.end(State.DEAD, reason=Reason.REFUSED, status=422)
    desk.filter("late")
    desk.end(State.DEAD, reason=Reason.TOO_MANY_ATTEMPTS, uncertain=True)
    desk.filter("sent")
    desk.end()
    desk.filter("event", of=EVENTS)
    desk.end(State.DEAD, of=EVENTS, reason=Reason.REFUSED)
    yield desk
    desk.ledger.close()


def run(
    desk: Desk,
    *reasons: str,
    since: datetime | None = None,
    until: datetime | None = None,
    dry_run: bool = False,
) -> Replayed:
    return replay(PACKAGES, desk.ledger, reasons, since, until, desk.now, dry_run=dry_run)


def pending(desk: Desk) -> list[str]:
    return [item.name.removesuffix(".parquet") for item in desk.ledger.items(PACKAGES.queue, states=[State.PENDING])]


def test_all_dead_letters_of_the_feed_are_due_again_and_nothing_else_is(desk: Desk) -> None:
    replayed = run(desk)
    assert (replayed.objects, replayed.bytes) == (4, 4 * len("records"))
    assert replayed.reasons == {"refused": 3, "too many attempts": 1}
    assert pending(desk) == ["a", "b", "c", "late"]
    assert {item.state for item in desk.ledger.items(EVENTS.queue)} == {State.DEAD}
    again = list(desk.ledger.items(PACKAGES.queue, states=[State.PENDING]))
    assert {(item.attempts, item.due_at, item.reason) for item in again} == {(0, desk.now, Reason.REPLAYED)}
    assert [item.uncertain for item in again] == [False, False, False, True]  # what may be there still may


def test_a_dry_run_says_the_same_and_changes_nothing(desk: Desk) -> None:
    before = list(desk.ledger.items(PACKAGES.queue))
    tried = run(desk, dry_run=True)
    assert list(desk.ledger.items(PACKAGES.queue)) == before
    assert replace(run(desk), reopened=0) == tried


def test_only_those_of_some_reasons_are_sent_again(desk: Desk) -> None:
    assert run(desk, Reason.TOO_MANY_ATTEMPTS, Reason.CONFLICT).objects == 1
    assert pending(desk) == ["late"]


@pytest.mark.parametrize(
    ("since", "until", "names"),
    [
        (DIED, None, ["a", "b", "c", "late"]),
        (DIED + MINUTE, None, ["late"]),
        (None, DIED, []),
        (None, DIED + MINUTE, ["a", "b", "c"]),
        (DIED, DIED + 2 * MINUTE, ["a", "b", "c"]),
    ],
)
def test_only_those_that_died_in_time_are_sent_again_from_a_moment_until_before_another(
    desk: Desk, since: datetime | None, until: datetime | None, names: list[str]
) -> None:
    assert run(desk, since=since, until=until).objects == len(names)
    assert pending(desk) == names


def test_what_is_replayed_twice_is_sent_once(desk: Desk) -> None:
    run(desk)
    assert run(desk).objects == 0


def test_a_replayed_object_leaves_under_its_name_with_its_bytes(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=422))
    site.release("a.parquet")
    site.deliver()
    aae.behave()
    site.later(days=2)
    assert replay(PACKAGES, site.ledger, [], None, None, site.now, dry_run=False).objects == 1
    site.deliver()
    assert names_received(aae) == ["a.parquet"] * 2
    assert len({one.sha256 for one in aae.received()}) == 1
    (item,) = site.items().values()
    assert (item.state, item.status, item.reason) == (State.SETTLED, 201, None)


def test_what_may_be_there_and_is_said_to_be_there_is_delivered(site: Site, aae: Aae) -> None:
    """The answer that it is there already speaks of our own object, sent before it became a dead letter."""
    site.release("a.parquet")
    (item,) = site.ledger.claim(
        "aae/packages", owner="x", limit=1, now=site.now, lease=MINUTE, destination="sandbox://aae"
    )
    site.later(minutes=2)  # the run that held it ended without a word
    aae.behave(Behaviour(status=422))
    site.deliver()
    aae.behave(Behaviour(status=409))
    replay(PACKAGES, site.ledger, [], None, None, site.now, dry_run=False)
    site.deliver()
    assert {one.state for one in site.items().values()} == {State.SETTLED}
    assert item.uncertain is False
