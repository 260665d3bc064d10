"""Sheets written back: whole, beside the cells, again when they are lost, and never in another one's place."""

from __future__ import annotations

import re

import pytest
from python_calamine import WorksheetNotFound

from pipelines.adapters.drive import SheetChanged
from pipelines.adapters.ledger import Span
from pipelines.core.work import Reason, State
from pipelines.domains.residents import sheets
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.sheets import RECEIPTS
from pipelines.domains.residents.writing import find_missing
from pipelines.sandbox.here_to_help import Behaviour, Cut, HereToHelp
from pipelines_tests.domains.residents.conftest import Open, every_drive, every_drive_of_files
from pipelines_tests.domains.residents.council import POLICY, Council, people


@pytest.mark.parametrize("feed", FEEDS)
def test_a_sheet_is_written_back_with_what_became_of_each_row(open_council: Open, api: HereToHelp, feed: str) -> None:
    council = open_council(feed)
    rows = people(3, council.feed)
    council.drop("extract.csv", *rows, rows[0])
    council.settle()
    (written,) = council.write()
    assert written.state is State.SETTLED
    name = "Hackney_CT_FOR_UPLOAD" if feed == "contact_tracing" else "PROCESSED"
    told = council.told(f"{name}_extract_2021-11-20", "hackney_cases")
    assert [row["outcome"] for row in told] == ["sent", "sent", "sent", "duplicate"]
    assert told[3]["reason"] == "the same as row 2"
    if feed != "contact_tracing":
        assert all(row["resident_id"] and row["help_request_id"] for row in told)
        assert told[3]["help_request_id"] == told[0]["help_request_id"]
    if feed == "self_isolation":
        assert all(row["cev_case_added_id"] for row in told)
    assert written.detail["results"] == {"duplicate": 1, "sent": 3}


@every_drive
def test_every_kind_of_outcome_is_told_with_its_reason(council: Council, api: HereToHelp) -> None:
    rows = people(6, council.feed)
    rows[1]["Date of Birth"] = "31/02/2000"
    rows[2]["UTLA"] = "Camden"
    rows[3]["Account ID"] = ""
    rows[5]["Phone"] = "1"
    api.behave(
        Behaviour(cut=Cut.AFTER, last_names="Sample3", times=1), Behaviour(status=400, last_names="Sample4", times=1)
    )
    council.drop("a.csv", *rows)
    council.settle()
    council.write()
    told = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "hackney_cases")
    assert [(row["outcome"], row["reason"]) for row in told] == [
        ("sent", ""),
        ("rejected", "Date of Birth: no such day"),
        ("unknown", "no answer, and no id to ask again by"),
        ("rejected", "refused by the API: InvalidOperationException"),
        ("sent", ""),
    ]
    assert "odd phone" in told[4]["warnings"]
    left_out = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "not_sent")
    assert [row["reason"] for row in left_out] == ["of another authority"]


@every_drive
def test_no_cell_comes_alive_as_a_formula(council: Council) -> None:
    """And none is read as a number or a date: whoever opens an outcome sees the very text of the sheet."""
    rows = people(4, council.feed)
    texts = ['=HYPERLINK("http://127.0.0.1", "here")', "+44 20 7946 0000", "@SUM(A1)", "'12/11/1998"]
    for row, text in zip(rows, texts, strict=True):
        row["Comments"] = text
    council.drop("a.csv", *rows)
    council.settle()
    council.write()
    told = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "hackney_cases")
    assert [row["Comments"] for row in told] == texts
    assert [row["NHS Number"] for row in told] == [row["NHS Number"] for row in rows]


@every_drive
def test_a_sheet_that_is_refused_says_so_to_whoever_dropped_it(council: Council, api: HereToHelp) -> None:
    council.put("a.csv", b"Forename,Surname\nAda,Sample\n")
    council.settle()
    item = council.sheet()
    assert (item.state, item.reason) == (State.DEAD, Reason.NOT_A_SHEET)
    assert item.detail["refused"].startswith("no header row with")
    council.write()
    told = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "refused")
    assert "Account ID" in told[0]["reason"]
    assert api.received() == []


@every_drive_of_files
def test_two_sheets_of_one_name_on_one_day_get_outcomes_of_their_own(council: Council) -> None:
    council.drop("a.csv", *people(1, council.feed))
    council.settle()
    council.write()
    council.staff.rename(council.feed.name, "a.csv", "b.csv")
    council.look()
    council.drop("a.csv", *people(1, council.feed, start=5))
    council.settle()
    council.write()
    names = {name for name in council.staff.outcomes(council.feed.name) if name.startswith("Hackney")}
    assert len(names) == 2
    names.remove("Hackney_CT_FOR_UPLOAD_a_2021-11-20")
    assert re.fullmatch(r"Hackney_CT_FOR_UPLOAD_a_[0-9a-f]{8}_2021-11-20", names.pop())


@every_drive
def test_a_lost_outcome_is_written_again_and_nothing_sent(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(3, council.feed))
    council.settle()
    council.write()
    calls = len(api.received())
    day = Span("2021-11-20", "2021-11-20")
    assert find_missing(council.writing(), day) == []
    before = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "hackney_cases")
    council.staff.lose(council.feed.name, "Hackney_CT_FOR_UPLOAD_a_2021-11-20")
    missing = find_missing(council.writing(), day)
    assert council.ledger.reopen(missing, council.now, Reason.NOT_INTACT) == 1
    council.write()
    assert council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "hackney_cases") == before
    assert len(api.received()) == calls


@every_drive
def test_an_outcome_of_a_sheet_that_was_edited_since_waits_for_the_newer_one(council: Council) -> None:
    rows = people(2, council.feed)
    council.drop("a.csv", *rows)
    council.settle()
    rows[0]["Phone"] = "02011112222"
    council.drop("a.csv", *rows)
    council.look()
    (superseded,) = council.write()
    assert (superseded.state, superseded.reason) == (State.SUPERSEDED, Reason.CHANGED)
    council.settle()
    council.write()
    told = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "hackney_cases")
    assert [row["outcome"] for row in told] == ["sent", "sent before"]


def test_an_outcome_tells_that_rows_of_an_earlier_version_waited_once(council: Council, api: HereToHelp) -> None:
    rows = people(4, council.feed)
    api.behave(Behaviour(status=503))
    council.drop("a.csv", *rows)
    council.look()
    council.send()
    api.behave()
    council.drop("a.csv", rows[0])
    council.settle()
    council.write()
    name = "Hackney_CT_FOR_UPLOAD_a_2021-11-20"
    assert council.told(name, "replaced")[0]["reason"].startswith("4 rows of an earlier version waited")
    assert [row["outcome"] for row in council.told(name, "hackney_cases")] == ["sent"]
    council.later(minutes=5)
    council.drop("a.csv", rows[0], rows[1])
    council.settle()
    council.write()
    assert [row["outcome"] for row in council.told(name, "hackney_cases")] == ["sent before", "sent"]
    with pytest.raises(WorksheetNotFound):
        council.told(name, "replaced")


@pytest.mark.parametrize("persists", [True, False])
def test_who_dropped_a_sheet_that_is_given_up_for_an_error_of_our_own_is_told(
    council: Council, monkeypatch: pytest.MonkeyPatch, persists: bool
) -> None:
    council.drop("a.csv", *people(2, council.feed))

    def fail(*_: object) -> None:
        raise RuntimeError("of our own")

    with monkeypatch.context() as patched:
        patched.setattr(sheets, "read_batch", fail)
        council.settle()
        assert (council.sheet().state, council.sheet().reason) == (State.DEAD, Reason.INTERNAL)
        assert len(list(council.ledger.items(RECEIPTS))) == 1
        if persists:
            council.write()
    council.write()
    tab = "refused" if persists else "hackney_cases"
    told = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", tab)
    assert {row["reason"] for row in told} == {"an error of our own"}
    assert {row.get("outcome") for row in told} == {None if persists else "given up"}


def test_whose_ids_are_excluded_since_or_not_any_more_is_told_what_was_sent(council: Council) -> None:
    """Outcomes are written after the fact, and written again when they were lost."""
    one, other, third = people(3, council.feed)
    council.drop("a.csv", one, other, third, one | {"Phone": ""}, one)
    council.look()
    council.send(excluded=frozenset({one["Account ID"]}))
    council.write(excluded=frozenset({other["Account ID"]}))
    name = "Hackney_CT_FOR_UPLOAD_a_2021-11-20"
    assert [row["outcome"] for row in council.told(name, "hackney_cases")] == ["sent", "sent"]
    assert [row["reason"] for row in council.told(name, "not_sent")] == ["on the list of excluded ids"] * 3


def test_whose_id_is_excluded_then_and_now_is_told_so_whatever_else_is_wrong(council: Council) -> None:
    one, other = people(2, council.feed)
    excluded = frozenset({one["Account ID"]})
    council.drop("a.csv", one | {"Date of Birth": "31/02/2000"}, one, other)
    council.look()
    council.send(excluded=excluded)
    council.write(excluded=excluded)
    told = council.told("Hackney_CT_FOR_UPLOAD_a_2021-11-20", "not_sent")
    assert [row["reason"] for row in told] == ["on the list of excluded ids"] * 2


def test_the_outcome_of_a_version_that_is_there_no_more_is_not_missed(council: Council) -> None:
    one, other = people(2, council.feed)
    for rows in ([one], [one, other]):
        council.drop("a.csv", *rows)
        council.settle()
        council.write()
        council.later(days=1)
    for day in ("20", "21"):
        council.staff.lose(council.feed.name, f"Hackney_CT_FOR_UPLOAD_a_2021-11-{day}")
    of_first, of_second = council.outcomes()
    assert of_first.partition < of_second.partition
    assert find_missing(council.writing(), Span("2021-11-20", "2021-11-22")) == [of_second.id]


def test_a_refused_edit_leaves_nothing_beside_it_that_was_told_of_an_earlier_version(council: Council) -> None:
    one, other = people(2, council.feed)
    council.drop("a.csv", one, other | {"UTLA": "City of London"})
    council.settle()
    council.write()
    council.put("a.csv", b"Account ID,Forename,Surname\n1,Ada,Sample\n")
    council.settle()
    (written,) = council.write()
    assert written.detail["books"] == 2
    for name in council.staff.outcomes(council.feed.name):
        assert "missing header" in council.told(name, "refused")[0]["reason"]


@every_drive
def test_an_outcome_whose_sheet_is_gone_is_given_up_until_it_is_back(council: Council) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    bring_back = council.staff.take_away(council.feed.name, "a.csv")
    for _ in range(3):
        council.write()
        council.later(hours=2)
    assert [(item.state, item.reason) for item in council.outcomes()] == [(State.DEAD, Reason.GONE)]
    bring_back()
    assert council.ledger.reopen([item.id for item in council.outcomes()], council.now, Reason.REPLAYED) == 1
    council.write()
    assert [item.state for item in council.outcomes()] == [State.SETTLED]


@every_drive
def test_a_sheet_that_changes_while_its_outcome_is_made_leaves_none(
    council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()

    def changed(*_: object) -> None:
        raise SheetChanged("a sheet was changed while it was read")

    monkeypatch.setattr(council.drive, "read", changed)
    (item,) = council.write()
    assert (item.state, item.reason) == (State.PENDING, Reason.CHANGED)
    assert council.staff.outcomes(council.feed.name) == []


def test_who_has_lost_the_lease_writes_nothing(council: Council) -> None:
    """Another one may have written since, of more than was seen here."""
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    (asked,) = council.outcomes()
    outcome = council.writing().outcome(asked, lambda _: False)
    assert (outcome.state, outcome.attempted) == (State.PENDING, False)
    assert council.staff.outcomes(council.feed.name) == []


def test_an_outcome_on_which_runs_die_is_given_up(council: Council) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    (asked,) = council.outcomes()
    for _ in range(POLICY.attempts):
        (taken,) = council.ledger.claim(
            asked.queue, owner="dies", limit=1, now=council.now, lease=council.terms.lease, crash_counts=True
        )
        council.later(minutes=5)
    assert taken.id == asked.id
    (given_up,) = council.write()
    assert (given_up.state, given_up.reason) == (State.DEAD, Reason.CRASHED)
    assert council.staff.outcomes(council.feed.name) == []


def test_of_a_refused_sheet_only_what_was_written_can_be_missed(council: Council) -> None:
    council.put("a.csv", b"Account ID,Forename,Surname\n1,Ada,Sample\n")
    council.settle()
    (written,) = council.write()
    assert written.detail["books"] == 1 < len(council.feed.books)
    assert find_missing(council.writing(), Span("2021-11-20", "2021-11-20")) == []
