"""A row that says again what it said before something else: it is sent again, and only it."""

from __future__ import annotations

import sqlite3

from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp
from pipelines_tests.domains.residents.council import Council, hold, people


def _next(council: Council, name: str, *rows: dict[str, str]) -> dict[str, int]:
    council.later(minutes=5)
    council.drop(name, *rows)
    council.settle()
    last = max(council.sheets(), key=lambda item: item.changed_at)
    return dict(last.detail["results"])


def _other(row: dict[str, str]) -> dict[str, str]:
    return row | {"House Number": "7"}


def test_an_edit_that_is_taken_back_is_sent(council: Council, api: HereToHelp) -> None:
    first, second, third = people(3, council.feed)
    _next(council, "a.csv", first, second)
    _next(council, "a.csv", _other(first), second)
    assert _next(council, "a.csv", first, second, third) == {"sent": 2, "sent before": 1}
    calls = len(api.received())
    _next(council, "a.csv", first, second)
    assert len(api.received()) == calls
    assert hold(api) == (3, 3, 3)


def test_a_newer_sheet_that_says_again_what_an_older_one_said_is_sent(council: Council, api: HereToHelp) -> None:
    row, another, third = people(3, council.feed)
    _next(council, "monday.csv", row)
    _next(council, "tuesday.csv", _other(row))
    assert _next(council, "wednesday.csv", row, another) == {"sent": 2}
    assert _next(council, "wednesday.csv", row, another, third) == {"sent": 1, "sent before": 2}
    assert hold(api) == (3, 3, 3)


def test_an_older_sheet_of_which_another_row_is_edited_does_not_undo_a_newer_one(
    council: Council, api: HereToHelp
) -> None:
    row, another = people(2, council.feed)
    _next(council, "monday.csv", row)
    _next(council, "tuesday.csv", _other(row))
    posts = len([one for one in api.received() if one.call is Call.POST_HELP_REQUEST])
    assert _next(council, "monday.csv", row, another) == {"sent": 1, "sent before": 1}
    assert len([one for one in api.received() if one.call is Call.POST_HELP_REQUEST]) == posts + 1


def test_two_rows_of_one_key_are_not_sent_again_with_every_edit_beside_them(council: Council, api: HereToHelp) -> None:
    row, another, third = people(3, council.feed)
    _next(council, "a.csv", row, _other(row))
    assert _next(council, "a.csv", row, _other(row), another) == {"sent": 1, "sent before": 2}
    assert _next(council, "a.csv", row, _other(row), another, third) == {"sent": 1, "sent before": 3}
    assert hold(api) == (3, 3, 3)


def test_a_comment_is_stored_once_whatever_else_is_edited_and_however_it_is_shortened(
    council: Council, api: HereToHelp
) -> None:
    """The API tells of comments as one text, with commas between them and in them."""
    (row,) = people(1, council.feed)
    for comment, email in (
        ("Called twice, no reply", "a@sample.test"),
        ("no reply", "a@sample.test"),
        ("no reply", "b@sample.test"),
        ("Called twice", "b@sample.test"),
        ("Called twice, no reply", "c@sample.test"),
    ):
        assert _next(council, "a.csv", row | {"Comments": comment, "Email": email}) == {"sent": 1}
    with sqlite3.connect(council.folder / "api" / "here-to-help.db") as db:
        stored = [text for (text,) in db.execute("select case_note from case_notes order by id")]
    assert stored == ["Called twice, no reply", "no reply", "Called twice"]


def test_a_shorter_comment_whose_answer_was_lost_is_stored_once(council: Council, api: HereToHelp) -> None:
    (row,) = people(1, council.feed)
    _next(council, "a.csv", row | {"Comments": "first"})
    _next(council, "a.csv", row | {"Comments": "second"})
    api.behave(Behaviour(cut=Cut.AFTER, times=1, calls=Call.POST_CASE_NOTE))
    assert _next(council, "a.csv", row | {"Comments": "third"}) == {"sent": 1}
    assert hold(api) == (1, 1, 3)
