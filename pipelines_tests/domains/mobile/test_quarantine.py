"""Rejected records as they are written and read back."""

from __future__ import annotations

import traceback

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.lines import HEAD_LENGTH
from pipelines.domains.mobile.faults import Reason
from pipelines.domains.mobile.quarantine import DamagedQuarantine, Reject, read_rejects, write_reject

REJECT = Reject(3, "postalDistrict", Reason.WRONG_TYPE, b'{"postalDistrict":"ZZ9Q"}', 25)
LINE = write_reject(REJECT)


@given(st.lists(st.binary(max_size=50)), st.integers(1, 40))
def test_whatever_a_record_holds_comes_back_byte_for_byte(raws: list[bytes], size: int) -> None:
    rejects = [Reject(number, "", "not JSON", raw, len(raw)) for number, raw in enumerate(raws, 1)]
    written = b"".join(map(write_reject, rejects))
    chunks = [written[at : at + size] for at in range(0, len(written), size)]
    assert list(read_rejects(chunks)) == rejects


def test_text_stands_as_text_and_other_bytes_in_base64() -> None:
    assert orjson.loads(LINE)["record"] == '{"postalDistrict":"ZZ9Q"}'
    assert "record" not in orjson.loads(write_reject(Reject(1, "", Reason.NOT_UTF8, b"\xff\xfe", 2)))


def test_a_head_is_known_as_such_once_it_is_read_back() -> None:
    head = Reject(1, "", Reason.TOO_LONG, b"x" * HEAD_LENGTH, HEAD_LENGTH + 1)
    read = list(read_rejects([LINE, write_reject(head)]))
    assert [one.is_whole for one in read] == [True, False]


def test_records_are_read_as_they_are_asked_for() -> None:
    def chunks() -> list[bytes]:
        raise AssertionError("read too early")

    def lazily() -> object:
        yield LINE + LINE
        yield chunks()

    assert next(read_rejects(lazily())) == REJECT  # type: ignore[arg-type]  # the second one is never reached


@pytest.mark.parametrize(
    "line",
    [
        LINE[:-20],
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe",
        b'{"line":1}',
        LINE.replace(b'"line":3', b'"line":"ZZ9Q"'),
        LINE.replace(b'"record":', b'"recorded":'),
        LINE.replace(b'"length":25', b'"length":null'),
        b'{"line":1,"field":null,"reason":"missing","length":3,"record_base64":"ZZ9Q#"}',
        b'{"line":1,"field":null,"reason":"missing","length":3,"record":{"ZZ9Q":1}}',
    ],
)
def test_a_damaged_line_is_named_by_its_number_and_none_of_its_values_is_repeated(line: bytes) -> None:
    rejects = read_rejects([LINE, line])
    assert next(rejects) == REJECT
    with pytest.raises(DamagedQuarantine) as raised:
        next(rejects)
    told = "".join(traceback.format_exception(raised.value))
    assert "line 2 " in told
    assert "ZZ9Q" not in told
