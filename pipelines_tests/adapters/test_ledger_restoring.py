"""A lost ledger filled again: all that is known of what was done, and nothing of what is known changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.adapters.ledger import Family, Ledger
from pipelines.core.work import NewItem, Reason, State
from pipelines_tests.adapters.ledgers import EXPORTS, MINUTE, NOW, QUEUE, claim, end, new, release, settle_first, states

BEFORE = NOW - 1000 * MINUTE


def landed(name: str = "a.json", version: str = "1", **facts: object) -> NewItem:
    return new(name, version, state=State.SETTLED, made_with="m1", settled_at=BEFORE, detail={"output": name}, **facts)


def delivered(name: str = "a.parquet", version: str = "sha", **facts: object) -> NewItem:
    return release(version, name, **{"state": State.SETTLED, "settled_at": BEFORE, "uncertain": True, **facts})


FAMILY = Family(landed(), (delivered(), delivered("b.parquet", state=State.DEAD, reason=Reason.REFUSED)))


def test_a_file_is_there_as_it_was_with_what_was_released_from_it(ledger: Ledger) -> None:
    assert ledger.restore([FAMILY], NOW) == 3
    (file,) = ledger.items(QUEUE)
    assert (file.state, file.settled_at, file.made_with, file.detail) == (
        State.SETTLED,
        BEFORE,
        "m1",
        {"output": "a.json"},
    )
    sent, refused = ledger.items(EXPORTS)
    assert (sent.state, sent.parent, sent.uncertain, sent.settled_at) == (State.SETTLED, file.id, True, BEFORE)
    assert (refused.state, refused.reason, refused.parent) == (State.DEAD, Reason.REFUSED, file.id)
    assert ledger.backlog(NOW) == []


def test_what_is_restored_is_restored_once(ledger: Ledger) -> None:
    ledger.restore([FAMILY], NOW)
    before = [*ledger.items(QUEUE), *ledger.items(EXPORTS)]
    assert ledger.restore([FAMILY, FAMILY], NOW + MINUTE) == 0
    assert [*ledger.items(QUEUE), *ledger.items(EXPORTS)] == before


def test_a_file_that_is_seen_again_is_not_work_again(ledger: Ledger) -> None:
    ledger.restore([FAMILY], NOW)
    assert ledger.take_in([new()], NOW).new == {}
    assert ledger.take_in([new(version="2")], NOW).new != {}


def test_the_same_bytes_released_again_stay_delivered(ledger: Ledger) -> None:
    """The file was known, and filtered anew, before its receipt was found; or after."""
    ledger.restore([Family(landed(version="0"), (delivered(),))], NOW)
    ledger.take_in([new()], NOW)
    made = settle_first(ledger, release())
    (sent,) = ledger.items(EXPORTS)
    assert (sent.state, sent.parent) == (State.SETTLED, made.id)


def test_releases_without_a_known_file_are_restored(ledger: Ledger) -> None:
    assert ledger.restore([Family(None, (delivered(),)), Family(None)], NOW) == 1
    assert [(item.state, item.parent) for item in ledger.items(EXPORTS)] == [(State.SETTLED, None)]


def test_what_is_known_stays_as_it_is(ledger: Ledger) -> None:
    """Sensors may have gone on with the empty ledger."""
    ledger.take_in([new(), new("b.json", "2"), new("c.json")], NOW)
    held = claim(ledger, limit=1)
    before = list(ledger.items(QUEUE))
    families = [FAMILY, Family(landed("b.json"), (delivered("c.parquet"),)), Family(landed("c.json"))]
    assert ledger.restore(families, NOW + MINUTE) == 4
    assert [item for item in ledger.items(QUEUE) if item in before] == before
    assert states(ledger) == {
        "a.json 1": State.CLAIMED,
        "b.json 1": State.SETTLED,
        "b.json 2": State.PENDING,
        "c.json 1": State.PENDING,
    }
    parents = {item.name: item.parent for item in ledger.items(EXPORTS)}
    assert parents["a.parquet"] == held[0].id
    assert [item.version for item in claim(ledger)] == ["2", "1"]


def test_a_version_that_the_ledger_knows_is_the_newest(ledger: Ledger) -> None:
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger)
    ledger.restore([Family(landed())], NOW)
    assert ledger.reopen([item.id for item in ledger.items(QUEUE)], NOW, Reason.INTERNAL) == 1
    assert states(ledger) == {"a.json 1": State.SETTLED, "a.json 2": State.PENDING}


@pytest.mark.parametrize("apart", [0, 450])
def test_of_several_versions_the_last_given_is_the_newest(ledger: Ledger, apart: int) -> None:
    """However far apart they are given, in one go or in several."""
    between = [Family(landed(f"{number}.json")) for number in range(apart)]
    first, second, third = (Family(None, (delivered(version=version),)) for version in "123")
    assert ledger.restore([first, *between, second], NOW) == apart + 2
    assert ledger.restore([second, third], NOW) == 1
    assert ledger.restore([first, second, third], NOW) == 0
    assert ledger.reopen([item.id for item in ledger.items(EXPORTS)], NOW, Reason.REPLAYED) == 1
    assert states(ledger, EXPORTS)["a.parquet 3"] is State.PENDING


def test_a_version_that_is_given_again_with_its_releases_is_not_newer_for_it(ledger: Ledger) -> None:
    first, second = landed(), landed(version="2")
    ledger.restore([Family(first), Family(second), Family(first, (delivered(),))], NOW)
    assert ledger.reopen([item.id for item in ledger.items(QUEUE)], NOW, Reason.REPLAYED) == 1
    assert states(ledger) == {"a.json 1": State.SETTLED, "a.json 2": State.PENDING}


def test_an_older_version_that_was_given_up_is_replaced(ledger: Ledger) -> None:
    given_up = delivered(version="1", state=State.DEAD, reason=Reason.REFUSED, settled_at=None)
    ledger.restore([Family(None, (given_up,)), Family(None, (delivered(version="2"),))], NOW)
    assert states(ledger, EXPORTS) == {"a.parquet 1": State.SUPERSEDED, "a.parquet 2": State.SETTLED}


def test_what_may_have_left_is_sent_again_as_what_may_be_there(ledger: Ledger) -> None:
    waits = delivered(state=State.PENDING, settled_at=None, reason=Reason.MAY_HAVE_LEFT)
    ledger.restore([Family(landed(), (waits,))], NOW)
    (item,) = claim(ledger, EXPORTS)
    assert (item.uncertain, item.reason) == (True, Reason.MAY_HAVE_LEFT)
    ledger.settle([end(item)], NOW)
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SETTLED}


def test_many_families_are_read_as_they_come_and_all_are_there(ledger: Ledger) -> None:
    def families() -> Iterator[Family]:
        for number in range(1201):
            yield Family(landed(f"{number:04}"), (delivered(f"{number:04}.parquet"),) if number % 3 else ())

    assert ledger.restore(families(), NOW) == 1201 + 800
    ids = {item.name: item.id for item in ledger.items(QUEUE)}
    assert all(item.parent == ids[item.name.removesuffix(".parquet")] for item in ledger.items(EXPORTS))
    assert ledger.restore(families(), NOW) == 0


def test_it_is_restored_whole_or_not_at_all(ledger: Ledger) -> None:
    def families() -> Iterator[Family]:
        for number in range(300):
            yield Family(landed(f"{number}.json"))
        raise OSError("the lake could not be read")

    with pytest.raises(OSError, match="lake"):
        ledger.restore(families(), NOW)
    assert ledger.queues() == []
