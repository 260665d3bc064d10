from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.notes import has_note, write_note

MOMENT = datetime(2021, 2, 18, 12, 16, 21, 999_999, tzinfo=UTC)
awkward = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12) | st.text(
    '{}[]", \\\n', min_size=1, max_size=8
)
comments = st.text("abc, ", min_size=1, max_size=8).filter(str.strip)
stored = st.lists(
    awkward.map(lambda text: write_note("Ada", MOMENT, text))
    | awkward
    | st.sampled_from(["", "null", "[1, 2]", '["x"]', '[{"note": "deep"}]', "{}", '{"note": 5}', "{broken", "]", "["])
)


def told(*notes: str) -> str:
    """As the API tells of notes."""
    return f"[{', '.join(notes)}]"


def test_a_note_is_written_as_on_the_wire() -> None:
    """The contract's wire example: the order of the keys, and the blank where the zone is not told."""
    assert write_note("Ben", MOMENT, "Hello again") == (
        '{"author": "Ben", "noteDate": "Thu, 18 Feb 2021 12:16:21 ", "note": "Hello again"}'
    )


def test_a_notes_moment_is_written_in_utc() -> None:
    moment = MOMENT.astimezone(timezone(timedelta(hours=5)))
    assert write_note("Ben", moment, "x") == write_note("Ben", MOMENT, "x")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_a_note_says_it_is_json(author: str, text: str) -> None:
    """The reference glues it together, and quotes, backslashes and line breaks lose the note."""
    note = json.loads(write_note(author, MOMENT, text))
    assert list(note) == ["author", "noteDate", "note"]
    assert (note["author"], note["note"]) == (author, text)


@given(stored, awkward, stored)
def test_a_note_of_ours_is_found_among_any_others(before: list[str], text: str, after: list[str]) -> None:
    """One that a broken one before it may have swallowed is looked for where JSON can begin."""
    assert has_note(told(*before, write_note("Ben", MOMENT, text), *after), text)


@given(stored, awkward, stored)
def test_a_note_as_it_is_is_found_among_any_others(before: list[str], text: str, after: list[str]) -> None:
    assert has_note(told(*before, text, *after), text)


@given(st.lists(awkward.map(lambda text: write_note("Ada", MOMENT, text))), awkward)
def test_a_note_is_found_among_ours_only_if_it_is_there(notes: list[str], text: str) -> None:
    assert has_note(told(*notes), text) is any(json.loads(note)["note"] == text for note in notes)


@given(awkward, awkward)
def test_what_a_note_merely_contains_is_no_note(one: str, other: str) -> None:
    longer = f"{one}, {other}"
    assert not has_note(told(write_note("Ada", MOMENT, longer)), one + "!")
    assert has_note(told(write_note("Ada", MOMENT, longer)), other) is (other == longer)


@pytest.mark.parametrize(
    ("notes", "text", "is_there"),
    [
        ([], "x", False),
        (["call back"], "call back", True),
        (["do not call back"], "call back", False),
        (["call back later"], "call back", False),
        (['{"note": "engaged, call back, or write"}'], "call back", False),
        (["{}"], "{}", True),
        (["[1]", "x"], "[1], x", True),
        (['["', "call back", '"]'], "call back", True),
        (["a", "call back", "b"], "call back", True),
        (["", ""], "call back", False),
        (["{broken", "call back"], "call back", True),
        (['{"note": "call back"}'], "call back", True),
        (['{"note": "call back", "author": ["x"]}', "{broken"], "call back", True),
        (["{broken", '{"note": "call back"}'], "call back", True),
        (['{"note": "call back'], "call back", False),
        (['{"other": "call back"}'], "call back", False),
        (['{"note": {"note": "call back"}}'], "call back", False),
        (['[{"note": "call back"}, [{"note": "deep"}]]'], "deep", True),
        (["null", "5", '"x"'], "5", True),
        (["[" * 100_000], "call back", False),
        (["[1, " * 5_000], "call back", False),
        (['{"note": "call\nback"}'], "call\nback", True),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_stored_note_may_be_anything(notes: list[str], text: str, is_there: bool) -> None:
    """In the reference one that is a list ends the run, and one that is no JSON brings a second note at each run."""
    assert has_note(told(*notes), text) is is_there


@pytest.mark.parametrize("text", ["", "null", "[", "not told as usual", '{"note": "x"}'])
def test_what_the_api_tells_may_be_of_any_form(text: str) -> None:
    assert not has_note(text, "call back")


def test_a_note_as_it_is_may_be_taken_for_the_end_of_another_only_if_it_may_be_ours() -> None:
    """Nobody can tell them apart; what we may have added is not stored a second time, what we have not is no end."""
    assert has_note(told("engaged, call back"), "call back")
    assert not has_note(told("engaged, call back"), "call back", may_be_ours=False)


@given(
    st.lists(awkward.map(lambda text: write_note("Ada", MOMENT, text)), max_size=3),
    comments,
    st.lists(awkward.map(lambda text: write_note("Ada", MOMENT, text)), max_size=3),
)
def test_a_note_as_it_is_is_found_between_ours_in_any_case(before: list[str], text: str, after: list[str]) -> None:
    assert has_note(told(*before, text, *after), text, may_be_ours=False)


def test_the_reference_sample_tells_of_its_note(reference_data: Path) -> None:
    told = json.loads((reference_data / "residents" / "help_request.json").read_bytes())["CaseNotes"]
    text = (
        "CEV: Dec 2020 Tier 4 NSSS Submitted on:  2020-04-30T22:46:43Z. Do you want supermarket deliveries? No. "
        "Do you have someone to go shopping for you? No. Do you need someone to contact you about local support? Yes."
    )
    assert has_note(told, text)
    assert not has_note(told, text.replace("Yes", "No"))
