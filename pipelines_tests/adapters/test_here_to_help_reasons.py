"""A reason says what kind of refusal it was, and nothing of whom it was about."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.here_to_help import REMOVED, redact
from pipelines.adapters.here_to_help.reasons import read_reason

SENT = ("FirstName", "NhsNumber", "NumberOfChildrenUnder18")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"Record not created. System.NullReferenceException: Object\n   at A.B(C)", "NullReferenceException"),
        (b"Record not created. Npgsql.PostgresException (0x80004005): 22001", "PostgresException"),
        (b"Record not created. Traceback\nValueError: HelpNeeded is null", "ValueError"),
        (b'{"errors": {"$.NhsNumber": ["could not be converted"]}}', "not of the right type: NhsNumber"),
        (
            b'{"errors": {"$.NumberOfChildrenUnder18": [], "$.FirstName": [], "$.Smith": []}}',
            "not of the right type: FirstName, NumberOfChildrenUnder18",
        ),
        (b'{"errors": {"$.Smith": ["Smith"], "Smith": []}}', None),
        (b'{"errors": ["$.FirstName"]}', None),
        (b'["$.FirstName"]', None),
        (b'{"message":"Forbidden"}', None),
        (b"Record not created. Smith, 111 222 3333", None),
        (b"\xff\xfe", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_reason_is_a_kind(body: bytes | None, reason: str | None) -> None:
    assert read_reason(body, SENT) == reason


@given(st.binary() | st.text().map(str.encode) | st.dictionaries(st.text(), st.text()).map(json.dumps).map(str.encode))
def test_no_body_is_an_error_and_every_reason_is_one_short_line(body: bytes) -> None:
    reason = read_reason(body, SENT)
    assert reason is None or re.fullmatch(r"[ -~]{1,200}", reason)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("refused Ada BYRON", ["ada", "Byron"], f"refused {REMOVED} {REMOVED}"),
        ("refused adabyron@x.org", ["Byron"], f"refused ada{REMOVED}@x.org"),
        ("refused Byron", ["Byron-King"], f"refused {REMOVED}"),
        ("value null", ["Al", "u"], "value null"),
        ("refused Al", ["Al"], f"refused {REMOVED}"),
        ("number 111 222 3333.", ["1112223333"], f"number {REMOVED}."),
        ("number 1112223333", [1112223333], f"number {REMOVED}"),
        ("phone (0734) 421-1233", ["+447344211233"], f"phone ({REMOVED}"),
        ("born 09/03/41", ["9", "3", "41"], f"born {REMOVED}/{REMOVED}/{REMOVED}"),
        ("line 12 of 9", ["9"], f"line 12 of {REMOVED}"),
        ("at 45 Cave Stone Rd", ["45 Cave Stone Road"], f"at {REMOVED} {REMOVED} {REMOVED} Rd"),
        ("at 45 Cave Stone Road", ["45 Cave Stone Road"], f"at {REMOVED}"),
        (r"refused \u00c9lodie", ["Élodie"], f"refused {REMOVED}"),
        ("some number 20210217", [], f"some number {REMOVED}"),
        ("True or None or NaN", [True, None, {"a": 1}], "True or None or NaN"),
        ("abcd*e", ["abcd*"], f"{REMOVED}e"),
        ("nothing", ["", "  ", "\t"], "nothing"),
        ("", ["Ada"], ""),
    ],
)
def test_a_rows_own_values_are_taken_out(text: str, values: list[object], expected: str) -> None:
    assert redact(text, values) == expected


VALUES = st.text(st.characters(categories=["L", "N", "Zs", "Pd"], max_codepoint=0x24F), min_size=1)


@given(st.lists(VALUES, max_size=6), st.data())
def test_no_value_stays(values: list[str], data: st.DataObject) -> None:
    """Wherever it stands alone, in any case, between any of the others."""
    told = data.draw(st.permutations(values))
    redacted = redact(f"refused: {'; '.join(told)}; at 7", values)
    alone = {word.lower() for word in re.split(r"[\s;:]+", redacted)}
    assert not {value.strip().lower() for value in values if value.strip()} & alone - {"refused", "at"} - {"7"}


@given(st.integers(10**6, 10**14), st.lists(st.sampled_from([" ", "-", "", ".", " / "]), min_size=14, max_size=14))
def test_no_number_stays_however_it_is_grouped(number: int, separators: list[str]) -> None:
    grouped = "".join(figure + separator for figure, separator in zip(str(number), separators, strict=False))
    assert not re.search(r"\d", redact(f"refused {grouped}", [str(number)]))
