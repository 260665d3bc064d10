"""What a person has sent again: just that, and what is there is found."""

from __future__ import annotations

import pytest

from pipelines.core.work import Reason, State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.resending import What, resend
from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import Council, hold, people, without_key


def _trouble(council: Council, api: HereToHelp) -> None:
    """A refused row, one that was given up, one of which nobody knows, and one that was sent."""
    rows = people(4, council.feed)
    rows[2]["Account ID"] = ""
    api.behave(
        Behaviour(status=400, last_names="Sample0"),
        Behaviour(status=429, last_names="Sample1"),
        Behaviour(cut=Cut.BEFORE, last_names="Sample2"),
    )
    council.drop("a.csv", *rows)
    council.settle()
    assert council.results() == {"given up": 1, "rejected": 1, "sent": 1, "unknown": 1}
    api.behave()


@pytest.mark.parametrize(
    ("what", "results"),
    [
        (What.GIVEN_UP, {"rejected": 1, "sent": 1, "sent before": 1, "unknown": 1}),
        (What.REFUSED, {"given up": 1, "sent": 1, "sent before": 1, "unknown": 1}),
        (What.UNKNOWN, {"given up": 1, "rejected": 1, "sent": 1, "sent before": 1}),
    ],
)
def test_only_what_was_asked_for_is_sent_again(
    council: Council, api: HereToHelp, what: What, results: dict[str, int]
) -> None:
    _trouble(council, api)
    sheet = council.sheet()
    tried = resend(council.feed, council.ledger, sheet.name, what, council.now, dry_run=True)
    assert (tried.sheets, tried.effects) == (1, 2)
    assert council.sheet().state is State.SETTLED
    resend(council.feed, council.ledger, sheet.name, what, council.now, dry_run=False)
    council.settle()
    found = council.results()
    assert found["sent"] + found.get("sent before", 0) == 2
    assert {name: count for name, count in found.items() if not name.startswith("sent")} == {
        name: count for name, count in results.items() if not name.startswith("sent")
    }
    assert hold(api) == (2, 2, 2)


@pytest.mark.parametrize("has_keys", [True, False], ids=["keys", "no keys"])
@pytest.mark.parametrize("feed", FEEDS)
def test_everything_that_is_sent_again_is_found_and_no_note_added(
    open_council: Open, api: HereToHelp, feed: str, *, has_keys: bool
) -> None:
    council = open_council(feed)
    council.drop("a.csv", *(row if has_keys else without_key(row, council.feed) for row in people(3, council.feed)))
    council.settle()
    before, calls = hold(api), len(api.received())
    resend(council.feed, council.ledger, council.sheet().name, What.EVERYTHING, council.now, dry_run=False)
    council.settle()
    assert council.results() == {"sent": 3}
    assert len(api.received()) > calls or not has_keys
    assert hold(api) == before


@pytest.mark.parametrize("key", [{}, {"ID": ""}], ids=["key", "no key"])
def test_a_case_note_whose_answers_were_lost_is_looked_for_before_it_is_sent_again(
    open_council: Open, api: HereToHelp, key: dict[str, str]
) -> None:
    council = open_council("self_isolation")
    (row,) = people(1, council.feed)
    council.drop("a.csv", row | {"Comments": ""} | key)
    api.behave(Behaviour(cut=Cut.AFTER, calls=Call.POST_CASE_NOTE, times=1))
    council.look()
    council.send()
    api.behave(Behaviour(status=404, calls=Call.GET_HELP_REQUEST))
    council.settle()
    assert council.results() == {"given up": 1}
    api.behave()
    resend(council.feed, council.ledger, council.sheet().name, What.UNKNOWN, council.now, dry_run=False)
    council.settle()
    assert council.results() == {"sent": 1}
    assert hold(api) == (1, 2, 1)


def test_a_row_without_a_key_that_is_sent_again_is_so_though_it_has_to_wait(council: Council, api: HereToHelp) -> None:
    """Who took the risk of a second request took it for all of its attempts that nobody can have received."""
    _trouble(council, api)
    resend(council.feed, council.ledger, council.sheet().name, What.UNKNOWN, council.now, dry_run=False)
    api.behave(Behaviour(status=429, last_names="Sample2"))
    council.later(minutes=5)
    council.send()
    assert council.effect_states()[State.PENDING]
    api.behave()
    council.settle()
    assert council.results() == {"given up": 1, "rejected": 1, "sent": 2}
    assert hold(api) == (2, 2, 2)


def test_a_row_without_a_key_that_is_tried_often_enough_once_it_is_sent_again_is_told_so(
    council: Council, api: HereToHelp
) -> None:
    api.behave(Behaviour(cut=Cut.BEFORE))
    council.drop("a.csv", people(1, council.feed)[0] | {"Account ID": ""})
    council.settle()
    assert council.results() == {"unknown": 1}
    api.behave(Behaviour(status=429))
    resend(council.feed, council.ledger, council.sheet().name, What.UNKNOWN, council.now, dry_run=False)
    council.settle()
    (request,) = (item for item in council.effects() if item.name.endswith(" request"))
    assert (request.state, request.reason) == (State.DEAD, Reason.TOO_MANY_ATTEMPTS)


def test_a_row_without_a_key_that_nobody_had_sent_again_waits_for_the_reason_that_the_api_gave(
    council: Council, api: HereToHelp
) -> None:
    api.behave(Behaviour(status=429))
    council.drop("a.csv", people(1, council.feed)[0] | {"Account ID": ""})
    council.look()
    council.send()
    assert {(item.state, item.reason) for item in council.effects()} == {(State.PENDING, Reason.BUSY)}


def test_a_sheet_that_is_not_known_is_not_sent(council: Council) -> None:
    with pytest.raises(LookupError):
        resend(council.feed, council.ledger, "no such id", What.EVERYTHING, council.now, dry_run=True)


def _refuse(council: Council, api: HereToHelp, *versions: list[dict[str, str]]) -> None:
    """Versions of one sheet, one after another, of which the API refuses the second person."""
    api.behave(Behaviour(status=400, last_names="Sample1"))
    for rows in versions:
        council.drop("a.csv", *rows)
        council.settle()
        council.later(minutes=5)
    api.behave()


def test_of_a_sheet_that_was_put_back_as_it_was_that_version_is_sent(council: Council, api: HereToHelp) -> None:
    row, other = people(2, council.feed)
    _refuse(council, api, [row, other], [row], [row, other])
    resend(council.feed, council.ledger, council.sheets()[0].name, What.REFUSED, council.now, dry_run=False)
    council.settle()
    assert hold(api) == (2, 2, 2)


def test_what_was_refused_of_a_version_that_was_never_settled_is_sent(council: Council, api: HereToHelp) -> None:
    row, other, waits = people(3, council.feed)
    api.behave(Behaviour(status=400, last_names="Sample1"), Behaviour(status=429, last_names="Sample2"))
    council.drop("a.csv", row, other, waits)
    council.look()
    council.send()
    api.behave()
    council.drop("a.csv", row, other)
    council.settle()
    assert council.sheets()[0].state is State.SUPERSEDED
    assert council.results() == {"sent before": 1, "rejected": 1}
    resend(council.feed, council.ledger, council.sheets()[0].name, What.REFUSED, council.now, dry_run=False)
    council.settle()
    assert hold(api) == (2, 2, 2)


def test_what_is_not_in_the_sheet_any_more_waits_for_nothing(council: Council, api: HereToHelp) -> None:
    row, other = people(2, council.feed)
    _refuse(council, api, [row, other], [row])
    resend(council.feed, council.ledger, council.sheets()[0].name, What.REFUSED, council.now, dry_run=False)
    council.settle()
    assert hold(api) == (1, 1, 1)
    assert not council.effect_states()[State.PENDING]
    council.drop("a.csv", row, other)
    council.settle()
    assert hold(api) == (2, 2, 2)
