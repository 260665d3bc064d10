"""The journal: who had what done and why, and what came of it."""

from __future__ import annotations

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Entry
from pipelines_tests.adapters.ledgers import MINUTE, NOW

SCOPE = {"queue": "aae/packages", "first": "2026-03-01-00:00", "reasons": ["refused", None], "dry": False}


def test_an_entry_says_what_was_done_and_what_came_of_it(ledger: Ledger) -> None:
    entry = ledger.begin("replay", "ops@example.org", "the endpoint was fixed", "run 1", SCOPE, NOW)
    begun = Entry(entry, NOW, "replay", "ops@example.org", "the endpoint was fixed", "run 1", SCOPE)
    assert ledger.journal() == [begun]
    ledger.finish(entry, {"reopened": 3}, NOW + MINUTE)
    (ended,) = ledger.journal()
    assert (ended.effect, ended.ended_at) == ({"reopened": 3}, NOW + MINUTE)
    assert (ended.at, ended.scope) == (NOW, SCOPE)


def test_an_effect_of_nothing_is_an_end(ledger: Ledger) -> None:
    """Without a word and without an effect are two things."""
    entry = ledger.begin("replay", "who", "why", "", {}, NOW)
    assert [one.effect for one in ledger.journal()] == [None]
    ledger.finish(entry, {}, NOW)
    assert [one.effect for one in ledger.journal()] == [{}]


def test_what_came_of_it_is_noted_once(ledger: Ledger) -> None:
    entry = ledger.begin("replay", "who", "why", "", {}, NOW)
    ledger.finish(entry, {"reopened": 1}, NOW)
    ledger.finish(entry, {"reopened": 2}, NOW + MINUTE)
    ledger.finish(entry + 1, {"reopened": 9}, NOW)
    (one,) = ledger.journal()
    assert (one.effect, one.ended_at) == ({"reopened": 1}, NOW)


def test_the_newest_come_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    """Clocks of several machines differ: the order in which they were noted decides."""
    for number in range(5):
        ledger.begin(f"action {number}", "who", "why", "", {}, NOW - number * MINUTE)
    assert [one.action for one in ledger.journal(limit=3)] == ["action 4", "action 3", "action 2"]
    assert len(ledger.journal()) == 5
