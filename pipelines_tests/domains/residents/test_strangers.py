"""People whose rows have one id by mistake: nothing of one is told or kept as the other's."""

from __future__ import annotations

import sqlite3

import pytest

from pipelines.core.work import OPEN
from pipelines.domains.residents.outcomes import Why
from pipelines.domains.residents.resending import What, resend
from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import Council, hold, people

NO_CASE = {"LA Support Letter Received": "0", "LA Support Required": "1"}
WILMA = {
    "nsss": ("ID", {"first_name": "Wilma", "nhs_number": "9434765919"}),
    "contact_tracing": ("Account ID", {"Forename": "Wilma", "NHS Number": "9434765919"}),
    "self_isolation": ("ID", {"Forename": "Wilma", "NHS Number": "9434765919", "Comments": ""} | NO_CASE),
}


def _strangers(council: Council) -> list[dict[str, str]]:
    key, wilma = WILMA[council.feed.name]
    one, other = people(2, council.feed)
    return [one, other | wilma | {key: one[key]}]


def _notes(council: Council) -> list[tuple[int, str]]:
    """Whose request each note is at, and its text."""
    with sqlite3.connect(council.folder / "api" / "here-to-help.db") as db:
        return db.execute("select resident_id, case_note from case_notes order by id").fetchall()


@pytest.mark.parametrize("feed", WILMA)
def test_two_people_of_one_id_are_not_merged_unsaid(open_council: Open, api: HereToHelp, feed: str) -> None:
    council = open_council(feed)
    council.drop("a.csv", *_strangers(council))
    council.settle()
    assert council.results() == {"rejected": 1, "sent": 1}
    assert {resident for resident, _ in _notes(council)} == {1}
    assert "about 1" not in str(_notes(council))
    sent = hold(api)
    council.drop("a.csv", *_strangers(council), *people(1, council.feed, 5))
    council.settle()
    assert council.results() == {"rejected": 1, "sent": 1, "sent before": 1}
    assert hold(api)[0] == sent[0] + 1


@pytest.mark.parametrize("feed", WILMA)
def test_who_says_nothing_else_is_not_told_as_sent_either(open_council: Open, api: HereToHelp, feed: str) -> None:
    council = open_council(feed)
    fred, wilma = _strangers(council)
    council.drop("a.csv", fred)
    council.settle()
    council.drop("b.csv", wilma | dict.fromkeys({"Comments", "submission_datetime"} & wilma.keys(), ""))
    council.settle()
    assert council.results() == {"rejected": 1}


def test_whose_id_is_anothers_is_told_without_that_ones_resident_id(open_council: Open) -> None:
    council = open_council("nsss")
    council.drop("a.csv", *_strangers(council))
    council.settle()
    council.write()
    first, second = council.told("PROCESSED_a_2021-11-20", "hackney_cases")
    assert (first["outcome"], first["resident_id"]) == ("sent", "1")
    assert (second["outcome"], second["reason"]) == ("rejected", Why.ANOTHERS)
    assert (second["resident_id"], second["help_request_id"]) == ("", "1")


def test_a_strangers_request_whose_answer_was_lost_leaves_nothing_waiting(council: Council, api: HereToHelp) -> None:
    """The request has the key, so it is repeated; its comment is then looked for in what is another's."""
    fred, wilma = _strangers(council)
    council.drop("a.csv", fred)
    council.settle()
    api.behave(Behaviour(cut=Cut.AFTER, times=1, calls=Call.POST_HELP_REQUEST))
    council.drop("b.csv", wilma)
    council.settle()
    assert council.results() == {"rejected": 1}
    assert not [item for item in council.effects() if item.state in OPEN]


def test_what_was_anothers_is_sent_once_that_is_mended(open_council: Open, api: HereToHelp) -> None:
    council = open_council("nsss")
    fred, wilma = _strangers(council)
    for name, row in (("a.csv", fred), ("b.csv", wilma)):
        council.drop(name, row)
        council.settle()
    with sqlite3.connect(council.folder / "api" / "here-to-help.db") as db:  # staff found that it is Wilma's after all
        db.execute("update help_requests set resident_id = 2")
    resend(council.feed, council.ledger, council.sheets()[-1].name, What.REFUSED, council.now, dry_run=False)
    council.settle()
    council.write()
    assert council.results() == {"sent": 1}
    (told,) = council.told("PROCESSED_b_2021-11-20", "hackney_cases")
    assert (told["outcome"], told["resident_id"]) == ("sent", "2")
    assert [resident for resident, _ in _notes(council)] == [1, 2]


@pytest.mark.parametrize(
    "edit",
    [{"Surname": "Married"}, {"Date of Birth": "1/1/1970"}, {"NHS Number": "9434765919"}],
    ids=["name", "birth", "number"],
)
def test_who_is_mended_is_no_stranger(open_council: Open, api: HereToHelp, edit: dict[str, str]) -> None:
    council = open_council("self_isolation")
    (row,) = people(1, council.feed)
    council.drop("a.csv", row)
    council.settle()
    council.drop("a.csv", row | edit | {"Comments": "once more"})
    council.settle()
    assert council.results() == {"sent": 1}
    assert hold(api) == (1, 2, 3)
