"""A row that says again what it said before something else: it is sent again, and only it; the last word stays."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from pipelines.core.work import State
from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import TOLD_BY_PHONES, Council, hold, people, stored


def test_an_edit_that_is_taken_back_is_sent(council: Council, api: HereToHelp) -> None:
    first, second, third = people(3, council.feed)
    _next(council, "a.csv", _of(first, "old"), second)
    _next(council, "a.csv", _of(first, "new"), second)
    assert _emails(api) == ["new"]
    assert _next(council, "a.csv", _of(first, "old"), second, third) == {"sent": 2, "sent before": 1}
    assert _emails(api) == ["old"]
    calls = len(api.received())
    _next(council, "a.csv", _of(first, "old"), second)
    assert len(api.received()) == calls
    assert hold(api) == (3, 3, 3)


def test_a_sheet_that_is_put_back_as_it_was_is_sent(council: Council, api: HereToHelp) -> None:
    row, other = people(2, council.feed)
    for said in ("old", "new", "old", "new", "old"):
        _next(council, "a.csv", _of(row, said), other)
        assert _emails(api) == [said]
    assert _posts(api) == 6
    assert hold(api) == (2, 2, 2)


def test_an_edit_of_which_nobody_knows_whether_it_arrived_is_taken_back(council: Council, api: HereToHelp) -> None:
    row, other = people(2, council.feed)
    _next(council, "a.csv", _of(row, "old"))
    council.later(minutes=5)
    council.drop("a.csv", _of(row, "new"))
    council.look()
    api.behave(Behaviour(cut=Cut.AFTER, calls=Call.POST_HELP_REQUEST))
    council.send()
    assert _emails(api) == ["new"]
    api.behave()
    _next(council, "a.csv", _of(row, "old"), other)
    assert _emails(api) == ["old"]
    assert hold(api) == (2, 2, 2)


def test_an_edit_of_whom_the_api_may_not_find_again_is_not_taken_back(open_council: Open, api: HereToHelp) -> None:
    """To send what was said before might make a second resident."""
    council = open_council("nsss")
    row, other = people(2, council.feed)
    row |= TOLD_BY_PHONES
    _next(council, "a.csv", row)
    _next(council, "a.csv", row | {"address_line1": "another street"})
    assert _posts(api) == 2
    assert _next(council, "a.csv", row, other) == {"sent": 1, "sent before": 1}
    assert _posts(api) == 3


def test_a_newer_sheet_that_says_again_what_an_older_one_said_is_sent(council: Council, api: HereToHelp) -> None:
    row, another, third = people(3, council.feed)
    _next(council, "monday.csv", _of(row, "old"))
    _next(council, "tuesday.csv", _of(row, "new"))
    assert _next(council, "wednesday.csv", _of(row, "old"), another) == {"sent": 2}
    assert _emails(api) == ["old"]
    assert _next(council, "wednesday.csv", _of(row, "old"), another, third) == {"sent": 1, "sent before": 2}
    assert hold(api) == (3, 3, 3)


def test_a_newer_sheet_is_new_until_it_is_sent_however_often_it_was_edited(council: Council, api: HereToHelp) -> None:
    row, another = people(2, council.feed)
    _next(council, "monday.csv", _of(row, "old"))
    _next(council, "tuesday.csv", _of(row, "new"))
    council.drop("wednesday.csv", another)
    council.look()
    _next(council, "wednesday.csv", _of(row, "old"), another)
    assert _emails(api) == ["old"]


def test_an_older_sheet_of_which_another_row_is_edited_does_not_undo_a_newer_one(
    council: Council, api: HereToHelp
) -> None:
    row, another = people(2, council.feed)
    _next(council, "monday.csv", _of(row, "old"))
    _next(council, "tuesday.csv", _of(row, "new"))
    posts = _posts(api)
    assert _next(council, "monday.csv", _of(row, "old"), another) == {"sent": 1, "sent before": 1}
    assert _posts(api) == posts + 1
    assert _emails(api) == ["new"]


def test_a_sheet_that_is_taken_up_again_does_not_undo_a_newer_one(council: Council, api: HereToHelp) -> None:
    row, waiting = people(2, council.feed)
    api.behave(Behaviour(status=429, last_names=waiting["Surname"]))
    council.drop("monday.csv", _of(row, "old"), waiting)
    council.look()
    council.send()
    council.later(seconds=5)
    council.drop("tuesday.csv", _of(row, "new"))
    council.look()
    council.send()
    assert _emails(api) == ["new"]
    api.behave()
    council.settle()
    assert _emails(api) == ["new"]
    assert hold(api) == (2, 2, 2)
    assert council.effect_states().keys() == {State.SETTLED}


def test_a_row_that_waits_while_a_newer_sheet_is_sent_adds_its_note_and_undoes_nothing(
    council: Council, api: HereToHelp
) -> None:
    (row,) = people(1, council.feed)
    api.behave(Behaviour(status=429))
    council.drop("monday.csv", _of(row, "old") | {"Comments": "on monday"})
    council.look()
    council.send()
    assert council.sheet().state is State.PENDING
    api.behave()
    council.later(seconds=5)
    council.drop("tuesday.csv", _of(row, "new") | {"Comments": "on tuesday"})
    council.settle()
    assert {item.state for item in council.sheets()} == {State.SETTLED}
    assert council.sheets()[0].detail["results"] == {"sent": 1}
    assert _emails(api) == ["new"]
    assert hold(api) == (1, 1, 2)
    assert council.effect_states() == {State.SETTLED: 3, State.SUPERSEDED: 1}


# Several rows of one key in a sheet: its last one stays


def test_two_rows_of_one_key_are_not_sent_again_with_every_edit_beside_them(council: Council, api: HereToHelp) -> None:
    row, another, third = people(3, council.feed)
    both = _of(row, "first"), _of(row, "last")
    _next(council, "a.csv", *both)
    assert _next(council, "a.csv", *both, another) == {"sent": 1, "sent before": 2}
    assert _next(council, "a.csv", *both, another, third) == {"sent": 1, "sent before": 3}
    assert _emails(api) == ["last"]
    assert hold(api) == (3, 3, 3)


def test_the_last_row_of_a_key_stays_when_the_sheet_is_taken_up_again(council: Council, api: HereToHelp) -> None:
    row, waiting, third = people(3, council.feed)
    _next(council, "a.csv", _of(row, "first"), _of(row, "last"))
    api.behave(Behaviour(status=503, last_names=waiting["Surname"], times=1))
    assert _next(council, "a.csv", _of(row, "first"), _of(row, "edited"), waiting) == {"sent": 2, "sent before": 1}
    assert _emails(api) == ["edited"]
    posts = _posts(api)
    _next(council, "a.csv", _of(row, "first"), _of(row, "edited"), waiting, third)
    assert (_emails(api), _posts(api)) == (["edited"], posts + 1)


def test_what_comes_last_stays_when_rows_change_places_or_are_taken_out(council: Council, api: HereToHelp) -> None:
    (row,) = people(1, council.feed)
    one, two, three = (_of(row, word) for word in ("one", "two", "three"))
    for rows, last in (
        ([one, two], "two"),
        ([two, one], "one"),
        ([two, three, one], "one"),
        ([two, three], "three"),
        ([two], "two"),
        ([two, three, one], "one"),
        ([one, two], "two"),
    ):
        _next(council, "a.csv", *rows)
        assert _emails(api) == [last]
    assert hold(api) == (1, 1, 1)


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


def _next(council: Council, name: str, *rows: dict[str, str]) -> dict[str, int]:
    """Send a sheet some time after the last one; time goes on meanwhile, so that its rows are told apart by it."""

    def now() -> datetime:
        council.later(milliseconds=1)
        return council.now

    council.later(minutes=5)
    council.drop(name, *rows)
    council.look()
    council.send(now=now)
    council.settle()
    last = max(council.sheets(), key=lambda item: item.changed_at)
    return dict(last.detail["results"])


def _of(row: dict[str, str], said: str) -> dict[str, str]:
    return row | {"Email": f"{said}@sample.test"}


def _emails(api: HereToHelp) -> list[str]:
    """What was said last of those of whom that was said."""
    return [email.partition("@")[0] for email in stored(api, "EmailAddress") if email]


def _posts(api: HereToHelp) -> int:
    return len([one for one in api.received() if one.call is Call.POST_HELP_REQUEST])
