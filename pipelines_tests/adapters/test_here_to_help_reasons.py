"""A reason says what kind of refusal it was, and nothing of whom it was about."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
