"""A row that says again what it said before something else: it is sent again, and only it."""

from __future__ import annotations

from pipelines.sandbox.here_to_help import Call, HereToHelp
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
