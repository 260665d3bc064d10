"""Calls that only read and fail: each row has its own attempts, and none is lost to what is nobody's fault."""

from __future__ import annotations

import pytest

from pipelines.core.work import Reason, State
from pipelines.sandbox.here_to_help import Behaviour, Call, HereToHelp
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import Council, hold, people


@pytest.mark.parametrize("calls", [Call.GET_HELP_REQUEST, "*"])
def test_an_outage_gives_nothing_up(open_council: Open, api: HereToHelp, calls: str) -> None:
    """Some rows have their request and wait for a read as the API goes down for hours."""
    council = open_council("nsss")
    council.drop("a.csv", *people(10, council.feed))
    api.behave(Behaviour(times=8, calls=Call.POST_HELP_REQUEST), Behaviour(status=503, calls=calls))
    council.look()
    _send_as_it_is_due(council, 12)
    assert council.sheet().state is State.PENDING
    api.behave()
    council.settle()
    assert council.results() == {"sent": 10}
    assert hold(api) == (10, 10, 10)


def test_rows_that_were_edited_before_an_outage_are_not_given_up(open_council: Open, api: HereToHelp) -> None:
    """Their first call is a read: of the request that the row had, for its address."""
    council = open_council("contact_tracing")
    rows = people(10, council.feed)
    council.drop("a.csv", *rows)
    council.settle()
    council.drop("a.csv", *(row | {"House Number": "7"} for row in rows))
    council.look()
    api.behave(Behaviour(status=503))
    calls = len(api.received())
    _send_as_it_is_due(council, 12)
    assert {one.call for one in api.received()[calls:]} == {Call.GET_HELP_REQUEST}
    api.behave()
    council.settle()
    assert council.results() == {"sent": 10}


def test_runs_that_died_leave_a_read_its_attempts(open_council: Open, api: HereToHelp) -> None:
    council = open_council("nsss")
    council.drop("a.csv", *people(3, council.feed))
    council.look()
    for number in range(5):
        taken = council.ledger.claim(
            council.queue,
            owner=f"killed {number}",
            limit=1,
            now=council.now,
            lease=council.terms.lease,
            destination=council.url,
            crash_counts=True,
        )
        assert len(taken) == 1
        council.later(seconds=61)
    api.behave(Behaviour(status=503, calls=Call.GET_HELP_REQUEST, times=1))
    council.settle()
    assert council.results() == {"sent": 3}


def test_a_row_whose_read_fails_for_too_long_is_given_up_alone(open_council: Open, api: HereToHelp) -> None:
    council = open_council("nsss")
    council.drop("a.csv", *people(1, council.feed))
    api.behave(Behaviour(status=500, calls=Call.GET_HELP_REQUEST))
    begun = council.now
    council.settle()
    reads = [one for one in api.received() if one.call is Call.GET_HELP_REQUEST]
    assert len(reads) == council.terms.policy.attempts
    assert (council.now - begun).total_seconds() > 30 + 120  # the pauses between three attempts
    assert council.results() == {"given up": 1}
    (dead,) = [item for item in council.effects() if item.state is State.DEAD]
    assert (dead.name.split(" ", 1)[1], dead.reason, dead.uncertain) == ("note 1", Reason.TOO_MANY_ATTEMPTS, False)
    council.drop("b.csv", *people(3, council.feed, start=1))
    api.behave()
    council.settle()
    assert council.results() == {"sent": 3}


@pytest.mark.parametrize("failures", [1, 99])
def test_whose_a_request_is_may_stay_unknown_and_no_more_than_that(
    open_council: Open, api: HereToHelp, failures: int
) -> None:
    council = open_council("generic")
    row = people(1, council.feed)[0] | {"Case Note 1": "", "Case Note 2": ""}
    council.drop("a.csv", row)
    api.behave(Behaviour(status=503, calls=Call.GET_HELP_REQUEST, times=failures))
    council.settle()
    assert council.results() == {"sent": 1}
    assert len(api.received()) == 1 + min(failures + 1, council.terms.policy.attempts)
    (request,) = council.effects()
    assert ("resident" in request.detail) is (failures == 1)


def _send_as_it_is_due(council: Council, times: int) -> None:
    for _ in range(times):
        council.send()
        council.now = max(council.now, council.ledger.next_due(council.queue) or council.now)
