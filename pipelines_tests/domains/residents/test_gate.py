"""Whether a call is made at all: in its turn, while what it is for is in hand, and while the API is in order."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from pipelines.adapters.here_to_help import open_here_to_help
from pipelines.adapters.ledger.leases import Leases
from pipelines.core.circuit import Circuit
from pipelines.core.work import Item, Reason, State
from pipelines.domains.residents.calls import ReadRequest
from pipelines.domains.residents.gate import Gate
from pipelines.sandbox.here_to_help import Behaviour, HereToHelp
from pipelines_tests.domains.residents.council import KEY, POLICY, Council, hold, people


def test_whether_a_call_may_be_made_is_asked_when_its_turn_has_come(council: Council, api: HereToHelp) -> None:
    answered: list[int] = []

    def may() -> bool:
        answered.append(len(api.received()))
        return len(answered) < 3

    async def call() -> None:
        async with open_here_to_help(api.url, SecretStr(KEY), calls_per_second=None) as opened:
            gate = Gate(opened, Circuit(), POLICY, 30, 1, lambda: True, lambda: council.now)
            replies = await asyncio.gather(*(gate.call(ReadRequest(1), may) for _ in range(3)))
            assert [reply is None for reply in replies] == [False, False, True]

    asyncio.run(call())
    assert answered == [0, 1, 2]
    assert len(api.received()) == 2


def test_no_call_is_made_for_what_may_not_be_in_hand_until_it_is_over(
    council: Council, api: HereToHelp, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    really = Leases.holds

    def holds(leases: Leases, item: Item, seconds: float) -> bool:
        if seconds != council.terms.call_seconds:
            return really(leases, item, seconds)
        asked.append(len(api.received()))
        return len(asked) > 1 and really(leases, item, seconds)

    monkeypatch.setattr(Leases, "holds", holds)
    council.drop("a.csv", *people(1, council.feed))
    council.settle()
    assert asked[:2] == [0, 0]
    assert {item.fence for item in council.effects()} == {2}  # put back, and taken once more
    assert hold(api) == (1, 1, 1)


def test_a_run_that_no_longer_holds_its_sheet_makes_no_call(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(20, council.feed))
    council.look()
    (item,) = council.ledger.claim(
        council.queue, owner="run", limit=1, now=council.now, lease=council.terms.lease, destination=council.url
    )
    outcome = council.work().outcome(item, lambda _: False)
    assert (outcome.state, outcome.reason) == (State.PENDING, Reason.BUSY)
    assert api.received() == []


def test_what_a_run_learned_of_the_api_holds_for_the_next_one(council: Council, api: HereToHelp) -> None:
    api.behave(Behaviour(status=503))
    council.drop("a.csv", *people(20, council.feed))
    council.look()
    council.send()
    calls = len(api.received())
    assert calls >= 5
    council.drop("b.csv", *people(1, council.feed, start=20))
    council.look()
    council.send()
    assert len(api.received()) == calls
    assert {item.reason for item in council.sheets()} == {Reason.SERVER_ERROR}
    council.now = council.sheets()[0].due_at
    council.send()
    assert len(api.received()) == calls + 1  # one tries whether it is back


def test_a_row_at_fault_does_not_keep_the_way_shut_for_the_others_of_its_sheet(
    council: Council, api: HereToHelp
) -> None:
    """After an outage it is the first to try whether the API is back, and fails by itself."""
    council.drop("a.csv", *people(20, council.feed))
    council.look()
    api.behave(Behaviour(status=503))
    council.send()
    assert council.ledger.circuit(f"{council.queue} {council.url}").is_open
    api.behave(Behaviour(status=500, last_names="Sample0"))
    council.settle()
    assert council.results() == {"given up": 1, "sent": 19}


def test_a_sheet_at_fault_does_not_keep_the_way_shut_for_other_sheets(council: Council, api: HereToHelp) -> None:
    """Its rows fail one after another, as if the API were out of order."""
    api.behave(Behaviour(status=500, last_names="Sample[01]"))
    council.drop("a.csv", *people(2, council.feed))
    council.look()
    while not council.ledger.circuit(f"{council.queue} {council.url}").is_open:
        council.send()
        council.now = council.sheet().due_at
    council.drop("b.csv", *people(10, council.feed, start=2))
    council.look()
    for _ in range(100):  # which of the two tries first is left to chance
        council.send()
        council.now = max(council.now, council.ledger.next_due(council.queue) or council.now)
    assert council.sheets()[1].state is State.SETTLED
    assert hold(api) == (10, 10, 10)
