"""A sheet sent: what reaches the API, what is recorded, what is not sent again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.core.work import Reason, State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import POLICY, Council, hold, patiently, people


@pytest.mark.parametrize("feed", FEEDS)
def test_each_row_becomes_what_its_feed_says(open_council: Open, api: HereToHelp, feed: str) -> None:
    council = open_council(feed)
    council.drop("a.csv", *people(5, council.feed))
    council.settle()
    item = council.sheet()
    assert (item.state, item.reason, item.partition) == (State.SETTLED, None, "2021-11-20")
    assert council.results() == {"sent": 5}
    requests = {"self_isolation": 10}.get(feed, 5)
    notes = {"self_isolation": 10, "generic": 10}.get(feed, 5)
    assert hold(api) == (5, requests, notes)
    assert council.effect_states() == {State.SETTLED: {"self_isolation": 20, "generic": 15}.get(feed, 10)}


@pytest.mark.parametrize("feed", FEEDS)
def test_an_edited_sheet_sends_again_only_what_changed(open_council: Open, api: HereToHelp, feed: str) -> None:
    council = open_council(feed)
    rows = people(5, council.feed)
    council.drop("a.csv", *rows)
    council.settle()
    before, calls = hold(api), len(api.received())
    phone = next(name for name in rows[0] if rows[0][name].startswith("020"))
    rows[2] = {**rows[2], phone: "02011112222"}
    council.drop("a.csv", *rows)
    council.settle()
    assert council.results() == {"sent": 1, "sent before": 4}
    posted = [one.call for one in api.received()[calls:]]
    assert posted.count(Call.POST_HELP_REQUEST) == 1
    assert {Call.POST_CASE_NOTE, Call.POST_RESIDENT_REQUEST}.isdisjoint(posted)
    assert hold(api) == before
    assert [item.state for item in council.sheets()] == [State.SETTLED, State.SETTLED]


# What goes wrong at the API


def test_a_refused_row_says_why_and_stops_none_of_the_others(council: Council, api: HereToHelp) -> None:
    api.behave(Behaviour(status=400, last_names="Sample1"))
    council.drop("a.csv", *people(3, council.feed))
    council.settle()
    assert council.results() == {"rejected": 1, "sent": 2}
    dead = [item for item in council.effects() if item.state is State.DEAD]
    assert {item.reason for item in dead} == {Reason.REFUSED}
    assert {item.detail["words"] for item in dead} == {"InvalidOperationException"}
    assert hold(api) == (2, 2, 2)


@pytest.mark.parametrize("status", [401, 403])
def test_no_access_stops_the_batch_at_once_and_loses_nothing(council: Council, api: HereToHelp, status: int) -> None:
    api.behave(Behaviour(status=status))
    council.drop("a.csv", *people(300, council.feed))
    council.look()
    council.send()
    item = council.sheet()
    assert (item.state, item.reason, item.attempts) == (State.PENDING, Reason.NOT_ALLOWED, 0)
    assert len(api.received()) <= council.terms.connections
    assert council.results() == {"waiting": 300}
    api.behave()
    council.settle()
    assert council.results() == {"sent": 300}
    assert hold(api) == (300, 300, 300)


@pytest.mark.parametrize(
    "trouble",
    [
        Behaviour(status=429),
        Behaviour(status=503),
        Behaviour(status=500),
        Behaviour(status=504, stored=True),
        Behaviour(status=500, stored=True),
        Behaviour(status=200, body="<html>", stored=True),
        Behaviour(cut=Cut.BEFORE),
        Behaviour(cut=Cut.AFTER),
    ],
)
@pytest.mark.parametrize("feed", FEEDS)
def test_one_call_of_each_kind_fails_and_all_comes_out_as_if_it_had_not(
    open_council: Open, api: HereToHelp, feed: str, trouble: Behaviour
) -> None:
    calls = [call for call in Call if call is not Call.PING]
    # An effect may meet with the failure of each, since reads that are made for it count as well.
    council = patiently(open_council(feed), policy=replace(POLICY, attempts=len(calls) + 1))
    council.drop("a.csv", *people(2, council.feed))
    api.behave(*(replace(trouble, calls=call, times=1) for call in calls))
    council.settle()
    assert council.results() == {"sent": 2}
    requests = 4 if feed == "self_isolation" else 2
    assert hold(api) == (2, requests, 4 if feed in ("self_isolation", "generic") else 2)


def test_an_api_that_dies_in_the_middle_is_waited_for(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(200, council.feed))
    council.look()
    api.behave(Behaviour(times=50), Behaviour(cut=Cut.AFTER))
    council.send()
    item = council.sheet()
    assert item.state is State.PENDING
    assert council.results()["sent"] == 50
    assert len(api.received()) < 50 + 5 + council.terms.connections
    api.behave()
    council.settle()
    assert council.results()["sent"] + council.results().get("sent before", 0) == 200
    assert hold(api) == (200, 200, 200)


def test_a_row_without_a_key_whose_answer_is_lost_is_never_repeated(council: Council, api: HereToHelp) -> None:
    rows = people(3, council.feed)
    rows[1]["Account ID"] = ""
    api.behave(Behaviour(cut=Cut.AFTER, last_names="Sample1", times=1))
    council.drop("a.csv", *rows)
    council.settle()
    assert council.results() == {"sent": 2, "unknown": 1}
    assert hold(api) == (3, 3, 3)
    council.drop("a.csv", *rows, more=["another column"])
    council.settle()
    assert council.results() == {"sent before": 2, "unknown": 1}
    assert hold(api) == (3, 3, 3)


def test_what_fails_for_too_long_is_given_up(council: Council, api: HereToHelp) -> None:
    api.behave(Behaviour(status=500, last_names="Sample1"))
    council.drop("a.csv", *people(3, council.feed))
    council.settle()
    assert council.results() == {"given up": 1, "sent": 2}
    assert {item.reason for item in council.effects() if item.state is State.DEAD} == {Reason.TOO_MANY_ATTEMPTS}


def test_rows_of_one_person_reach_the_api_in_the_order_of_the_sheet(council: Council, api: HereToHelp) -> None:
    """Each one replaces what is stored of the person: the last one in the sheet has to be the last one there."""
    rows = [{"Account ID": "one-person", "Phone": "", "House Number": f"{number}"} for number in range(20)]
    api.behave(Behaviour(delay=0.01))
    council.drop("a.csv", *rows, *people(20, council.feed))
    council.settle()
    assert council.results() == {"sent": 40}
    assert hold(api) == (21, 21, 20)


def test_a_row_that_stands_twice_is_sent_once(council: Council, api: HereToHelp) -> None:
    rows = people(2, council.feed)
    council.drop("a.csv", *rows, *rows)
    council.settle()
    assert council.results() == {"duplicate": 2, "sent": 2}
    assert hold(api) == (2, 2, 2)


@pytest.mark.parametrize("status", [429, 503])
def test_a_row_that_is_edited_twice_in_an_outage_and_then_taken_out_holds_up_no_other(
    council: Council, api: HereToHelp, status: int
) -> None:
    row, other, later = people(3, council.feed)
    api.behave(Behaviour(status=status))
    for words in ("first words", "second words"):
        council.drop("a.csv", row | {"Comments": words})
        council.look()
        council.send()
        council.later(minutes=10)
    assert council.effect_states()[State.PENDING] > 1
    api.behave(Behaviour())
    council.drop("a.csv", other)
    council.settle()
    council.drop("b.csv", later)
    council.settle()
    assert [item.state for item in council.sheets()] == [State.SUPERSEDED] * 2 + [State.SETTLED] * 2
    assert council.effect_states()[State.PENDING] == 0
    assert hold(api) == (2, 2, 2)


def test_an_edit_loses_no_case_note_that_waits(open_council: Open, api: HereToHelp) -> None:
    """The extra case is made and its note put off; that the case is there does not tell that its note is."""
    council = open_council("self_isolation")
    (row,) = people(1, council.feed)
    api.behave(Behaviour(status=429, calls=Call.POST_CASE_NOTE))
    council.drop("a.csv", row | {"Comments": ""})
    council.look()
    council.send()
    assert hold(api) == (1, 2, 0)
    api.behave()
    council.later(minutes=5)
    council.drop("a.csv", row | {"Comments": "", "Phone2": "02011112222"})
    council.settle()
    assert council.results() == {"sent": 1}
    assert hold(api) == (1, 2, 1)
