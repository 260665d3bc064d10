"""What many rows ask of the ledger at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pipelines.adapters.ledger.leases import Leases
from pipelines.core.work import NewItem, State
from pipelines.domains.residents.entries import effects_queue
from pipelines.domains.residents.together import Together
from pipelines_tests.domains.residents.council import Council


def test_effects_are_taken_in_hand_all_or_none(council: Council) -> None:
    one, other = (_effect(council, name) for name in ("one", "other"))
    council.ledger.intend([other], "another run", council.now, council.terms.lease)

    async def take(together: Together) -> None:
        assert await together.intend([one, other]) == []

    _run(council, take)
    found = {item.name: (item.state, item.owner, item.attempts) for item in council.effects()}
    assert found["other"] == (State.CLAIMED, "another run", 0)
    assert (found["one"][0], found["one"][2]) == (State.PENDING, 0)
    (taken,) = council.ledger.intend([one], "third run", council.now, council.terms.lease)
    assert (taken.owner, taken.uncertain) == ("third run", False)


def test_after_a_failure_nothing_is_asked_any_more(council: Council, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(together: Together) -> None:
        with monkeypatch.context() as away:
            away.setattr(type(council.ledger), "named", _fail)
            with pytest.raises(ConnectionError):
                await together.look(["one"])
        with pytest.raises(ConnectionError):
            await together.intend([_effect(council, "one")])

    _run(council, ask)
    assert council.effects() == []


def _fail(*_: object) -> list[object]:
    raise ConnectionError("the ledger is away")


def _effect(council: Council, name: str) -> NewItem:
    return NewItem(effects_queue(council.feed), name, "1", "2021-11-20", 0, destination=council.url)


def _run(council: Council, act: Callable[[Together], Coroutine[Any, Any, None]]) -> None:
    async def run(leases: Leases) -> None:
        queue = effects_queue(council.feed)
        async with Together(council.ledger, queue, council.url, "run", leases, lambda: council.now) as together:
            await act(together)

    with Leases(council.ledger, council.terms.lease, lambda: council.now) as leases:
        asyncio.run(run(leases))
