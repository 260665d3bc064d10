from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.replies import (
    BadReply,
    Case,
    HelpRequest,
    read_case_id,
    read_cases,
    read_created,
    read_refusal,
    read_request,
)

KNOWN = frozenset({"NhsNumber", "HelpNeeded"})


@pytest.mark.parametrize(("body", "made"), [(b'{"Id":22}', 22), (b'{"Id": "1"}', 1), (b' {"Id":22,"More":[]} ', 22)])
def test_a_created_request_is_told_by_its_id(body: bytes, made: int) -> None:
    """Golden example 11: the id may be told as a text."""
    assert read_created(body) == made


@pytest.mark.parametrize(("body", "made"), [(b"22", 22), (b" 22\n", 22)])
def test_a_case_is_told_by_nothing_but_its_id(body: bytes, made: int) -> None:
    """Golden example 11."""
    assert read_case_id(body) == made


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"-1", b"2.0", b'"22"', b"22 23", b"9" * 5000, b"\xff"])
def test_anything_else_is_no_case(body: bytes) -> None:
    with pytest.raises(BadReply):
        read_case_id(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"22", b"[]", b'{"Id":null}', b'{"Id":"x"}', b'{"Id":1.5}', b"\xff"])
def test_anything_else_is_no_request(body: bytes) -> None:
    for read in (read_created, read_request):
        with pytest.raises(BadReply):
            read(body)


@given(st.binary(max_size=40) | st.text('{}[]":,IdResident123 null', max_size=40).map(str.encode))
def test_any_answer_is_read_or_refused(body: bytes) -> None:
    for read in (read_created, read_request, read_cases, read_case_id):
        with suppress(BadReply):
            read(body)


def test_a_refused_answer_is_not_repeated() -> None:
    """Neither in the error nor in the one that led to it, which a traceback would show."""
    with pytest.raises(BadReply) as bad:
        read_created(b'{"Id":"Flintstone"}')
    assert "Flintstone" not in str(bad.value)
    assert bad.value.__cause__ is bad.value.__context__ is None


def test_the_reference_sample_of_a_request_is_read(reference_data: Path) -> None:
    request = read_request((reference_data / "residents" / "help_request.json").read_bytes())
    assert (request.id, request.resident, request.postcode) == (50, 1162, "YF2 9MI")
    assert request.metadata == {"nsss_id": "a00c886c-6994-45ce-92f0-dc64fe8f631c"}
    assert "YF2" not in repr(request)


def test_the_reference_sample_of_a_residents_requests_is_read(reference_data: Path) -> None:
    body = (reference_data / "residents" / "resident_help_requests.json").read_bytes()
    assert read_cases(body) == (Case(2, "Shielding"),)
    assert read_cases(b"[]") == ()


@pytest.mark.parametrize(
    ("told", "metadata"),
    [
        (b'"{\\"nsss_id\\": \\"1\\"}"', {"nsss_id": "1"}),
        (b'{"nsss_id": "1"}', {"nsss_id": "1"}),
        (b"null", {}),
        (b'"null"', {}),
        (b'"[1]"', {}),
        (b'"no json"', {}),
        (b'""', {}),
    ],
)
def test_metadata_is_told_as_a_text_and_may_be_none(told: bytes, metadata: dict[str, str]) -> None:
    body = b'{"Id": 1, "ResidentId": 2, "CaseNotes": null, "Postcode": null, "Metadata": ' + told + b"}"
    assert read_request(body) == HelpRequest(1, 2, "[]", metadata, "")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b"Record not created. System.InvalidOperationException: for Fred Flintstone\n   at Some.Code(String name)",
            "InvalidOperationException",
        ),
        (
            (
                b"Record not created. Microsoft.EntityFrameworkCore.DbUpdateException: x ---> "
                b"Npgsql.PostgresException (0x80004005): 22001: value too long for Fred"
            ),
            "DbUpdateException, PostgresException, SQLSTATE 22001",
        ),
        (
            b'{"title":"One or more","errors":{"$.NhsNumber":["Fred could not be converted"],"Fred":["?"]}}',
            "NhsNumber",
        ),
        (b'{"errors":{"helpNeeded":[1], "HelpNeeded":[2]}}', "HelpNeeded"),
        (b'{"errors":"Fred"}', ""),
        (b"Fred Flintstone, E95HX: 22/02/1963", ""),
        (b"FredException", ""),
        (b"\xff\xfe", ""),
        (b"", ""),
    ],
)
def test_a_refusal_is_told_without_anybodys_data(body: bytes, words: str) -> None:
    assert read_refusal(body, KNOWN) == words
