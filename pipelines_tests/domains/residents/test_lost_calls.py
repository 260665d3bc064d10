"""A call whose answer was lost may come in late: what would follow it waits until it must be over."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from pipelines.core.work import State
from pipelines.sandbox.here_to_help import Behaviour, Cut, HereToHelp
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import Council, hold, patiently, people, stored

_HOUSES = {"contact_tracing": "House Number", "nsss": "address_line1"}


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.AFTER])
def test_it_is_over_after_the_time_that_the_terms_give_it(council: Council, api: HereToHelp, cut: Cut) -> None:
    patiently(council, late_seconds=300)
    council.drop("a.csv", *people(1, council.feed))
    council.look()
    api.behave(Behaviour(cut=cut, times=1))
    council.send()
    over = council.now + timedelta(seconds=300)
    assert {item.due_at for item in council.effects()} == {over}
    assert council.sheet().due_at == over
    council.later(seconds=299)
    council.send()
    assert len(api.received()) == 1
    council.settle()
    assert hold(api) == (1, 1, 1)


@pytest.mark.parametrize("feed", _HOUSES)
def test_an_edit_waits_until_the_lost_call_of_the_row_it_replaces_is_over(
    open_council: Open, api: HereToHelp, feed: str
) -> None:
    council = open_council(feed)
    (row,) = people(1, council.feed)
    council.drop("a.csv", row | {_HOUSES[feed]: "old"})
    with _lost(council, api):
        council.drop("a.csv", row | {_HOUSES[feed]: "new"})
        council.look()
        council.send()
    council.settle()
    assert stored(api, "AddressFirstLine") == ["new"]
    assert hold(api) == (1, 1, 1)


def test_another_sheet_that_settles_ends_no_wait(council: Council, api: HereToHelp) -> None:
    """The row is unchanged in the newer version of its sheet, which comes after another sheet."""
    row, added, other = people(3, council.feed)
    council.drop("a.csv", row)
    with _lost(council, api):
        council.drop("b.csv", other)
        council.look()
        council.drop("a.csv", row, added)
        council.look()
        council.send()
        assert [item.state for item in council.sheets()] == [State.SUPERSEDED, State.SETTLED, State.PENDING]
    council.settle()
    assert hold(api) == (3, 3, 3)


def test_the_next_row_of_a_person_waits_even_if_the_first_one_is_never_repeated(
    council: Council, api: HereToHelp
) -> None:
    row, added = people(2, council.feed)
    rows = row | {"Account ID": "", "House Number": "first"}, row | {"House Number": "second"}
    council.drop("a.csv", *rows)
    with _lost(council, api):
        assert council.effect_states() == {State.DEAD: 2}
        council.drop("a.csv", *rows, added)
        council.look()
        council.send()
        assert council.results() == {"sent": 1, "waiting": 2}
    council.settle()
    assert council.results() == {"sent": 2, "unknown": 1}
    assert "second" in stored(api, "AddressFirstLine")
    assert "first" not in stored(api, "AddressFirstLine")


def test_the_next_row_of_a_person_does_not_overtake_one_that_waits(council: Council, api: HereToHelp) -> None:
    (row,) = people(1, council.feed)
    first, second = (row | {"Account ID": number, "House Number": number} for number in ("1", "2"))
    council.drop("a.csv", first, second)
    council.look()
    api.behave(Behaviour(status=503, times=1))
    council.send()
    assert len(api.received()) == 1
    council.settle()
    assert stored(api, "AddressFirstLine") == ["2"]


def test_an_edit_that_is_put_off_does_not_forget_that_its_note_may_be_there(council: Council, api: HereToHelp) -> None:
    (row,) = people(1, council.feed)
    council.drop("a.csv", row)
    council.look()
    api.behave(Behaviour(cut=Cut.AFTER, times=1))
    council.send()
    council.later(minutes=1)
    council.drop("a.csv", row | {"Email": "new@sample.test"})
    council.look()
    has_time = iter([False])  # the first time that it is asked
    council.send(has_time=lambda: next(has_time, True))
    assert stored(api, "EmailAddress") == ["new@sample.test"]
    assert hold(api) == (1, 1, 1)


@contextmanager
def _lost(council: Council, api: HereToHelp) -> Iterator[None]:
    """The first call takes longer than the run waits; what is done within is done before it is over."""
    reached, may_go_on = threading.Event(), threading.Event()

    async def stand_still() -> None:
        reached.set()
        await asyncio.to_thread(may_go_on.wait, 60)

    council.look()
    patience, council.total_seconds, api.gap = council.total_seconds, 0.5, stand_still
    council.send()
    council.total_seconds, api.gap = patience, None
    assert reached.is_set()
    try:
        yield
        before = len(api.received())
    finally:
        may_go_on.set()
    gives_up = time.monotonic() + 30
    while len(api.received()) == before:
        assert time.monotonic() < gives_up
        time.sleep(0.01)
