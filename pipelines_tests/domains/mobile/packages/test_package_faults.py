from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.mobile.faults import Fault, Reason, find_duplicate_key
from pipelines.domains.mobile.packages.faults import parse_package

EMPTY_PARTS = '"analyticsWindow":{"startDate":"1970-01-01T00:00:00Z","endDate":"1970-01-01T00:00:00Z"},"metadata":{}'


class Pairs(list[tuple[str, Any]]):
    """An object as the pairs that are written, duplicates and all."""


keys = st.sampled_from(["a", "b", "metrics", "a:b", 'q"', "\\", "{", "é", "\U0001f600", ""])
texts = st.sampled_from(["", "x", "a:b", '":', '{"a":1,"a":2}', "\\", "}", "12:30", "é"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=4).map(Pairs),
    max_leaves=12,
)


def write(value: object, style: tuple[bool, str, str]) -> str:
    escaped, comma, colon = style
    if isinstance(value, Pairs):
        members = (f"{json.dumps(key, ensure_ascii=escaped)}{colon}{write(one, style)}" for key, one in value)
        return "{" + comma.join(members) + "}"
    if isinstance(value, list):
        return "[" + comma.join(write(one, style) for one in value) + "]"
    return json.dumps(value, ensure_ascii=escaped)


def has_duplicates(value: object) -> bool:
    if isinstance(value, Pairs):
        names = [key for key, _ in value]
        return len(set(names)) < len(names) or any(has_duplicates(one) for _, one in value)
    return isinstance(value, list) and any(map(has_duplicates, value))


styles = st.tuples(st.booleans(), st.sampled_from([",", " ,\t"]), st.sampled_from([":", " : ", "\t:"]))


@given(value=values, style=styles)
def test_duplicate_keys_are_found_at_any_depth_and_nothing_else_is(value: object, style: tuple[bool, str, str]) -> None:
    """Held against the standard parser, which hands over every pair that it reads."""
    text = write(value, style)

    def build(pairs: list[tuple[str, object]]) -> object:
        seen.append(len({key for key, _ in pairs}) < len(pairs))
        return None

    seen: list[bool] = []
    json.loads(text, object_pairs_hook=build)
    assert (find_duplicate_key(text.encode()) is not None) == any(seen) == has_duplicates(value)


@given(extra=st.lists(st.tuples(keys, values), max_size=3), metrics=st.lists(st.tuples(keys, values)), style=styles)
def test_the_quick_test_for_duplicates_agrees_with_the_slow_one(
    extra: list[tuple[str, Any]], metrics: list[tuple[str, Any]], style: tuple[bool, str, str]
) -> None:
    instant = "1970-01-01T00:00:00Z"
    package = Pairs(
        [
            ("analyticsWindow", Pairs([("startDate", instant), ("endDate", instant)])),
            ("metadata", Pairs(extra)),
            *extra,
            ("metrics", Pairs(metrics)),
        ]
    )
    found = parse_package(write(package, style).encode())
    assert isinstance(found, Fault) == has_duplicates(package)
    assert not isinstance(found, Fault) or found.reason is Reason.DUPLICATE_KEY


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ('"metrics":{"totalBackgroundTasks":1,"totalBackgroundTasks":1}', "totalBackgroundTasks"),
        ('"metrics":{"totalBackgroundTasks":1,"total\\u0042ackgroundTasks":2}', "totalBackgroundTasks"),
        ('"metrics":{},"metrics":{}', "metrics"),
        ('"metrics":{"checkedIn":1,"checkedIn":1}', "checkedIn"),
        ('"metrics":{},"new":[{"deep":{"N12 7XY":1,"N12 7XY":1}}]', ""),
        ('"metrics":{},"note":"20:00","N12 7XY":1,"N12 7XY":1', ""),
    ],
)
def test_a_duplicate_is_named_if_it_is_ours_and_never_if_the_sender_made_it_up(members: str, field: str) -> None:
    data = f"{{{EMPTY_PARTS},{members}}}".encode()
    assert parse_package(data) == Fault(field, Reason.DUPLICATE_KEY)


def test_the_depth_of_a_duplicate_knows_no_limit_but_the_parser_s() -> None:
    deep = '{"a":' * 900 + '{"b":1,"b":1}' + "}" * 900
    assert parse_package(f'{{{EMPTY_PARTS},"metrics":{{}},"x":{deep}}}'.encode()) == Fault("", Reason.DUPLICATE_KEY)
    deeper = "[" * 100_000 + "]" * 100_000
    assert parse_package(f'{{{EMPTY_PARTS},"metrics":{{}},"x":{deeper}}}'.encode()) == Fault("", Reason.NOT_JSON)


def test_duplicates_can_t_hide_behind_colons_that_are_written_as_escapes() -> None:
    """Four colons less in the window and four duplicates: the count of colons is that of a record without any."""
    window = EMPTY_PARTS.replace("00:00:00", "00\\u003a00\\u003a00")
    four = '"totalBackgroundTasks":1,' * 4
    data = f'{{{window},"metrics":{{{four}"totalBackgroundTasks":1}}}}'.encode()
    assert parse_package(data) == Fault("totalBackgroundTasks", Reason.DUPLICATE_KEY)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"{", Fault("", Reason.NOT_JSON)),
        (b'{"a":1} 2', Fault("", Reason.NOT_JSON)),
        (b'{"a":NaN}', Fault("", Reason.NOT_JSON)),
        (b'{"a":-Infinity}', Fault("", Reason.NOT_JSON)),
        (b'{"a":1e999}', Fault("", Reason.NOT_JSON)),
        (b'{"a":01}', Fault("", Reason.NOT_JSON)),
        (b"{'a':1}", Fault("", Reason.NOT_JSON)),
        (b'{"a":1,}', Fault("", Reason.NOT_JSON)),
        (b'{"a":"\\ud800"}', Fault("", Reason.NOT_JSON)),
        (b'{"a":"\xff"}', Fault("", Reason.NOT_UTF8)),
        (b'{"a":"\xed\xa0\x80"}', Fault("", Reason.NOT_UTF8)),
        (b"[]", Fault("", Reason.NOT_AN_OBJECT)),
        (b"null", Fault("", Reason.NOT_AN_OBJECT)),
        (b'"text"', Fault("", Reason.NOT_AN_OBJECT)),
        (b"{}", Fault("analyticsWindow", Reason.MISSING)),
        (b'{"analyticsWindow":null,"metadata":{},"metrics":{}}', Fault("analyticsWindow", Reason.NULL)),
        (b'{"analyticsWindow":{},"metadata":[],"metrics":{}}', Fault("metadata", Reason.WRONG_TYPE)),
        (b'{"analyticsWindow":{},"metadata":{},"metrics":1}', Fault("metrics", Reason.WRONG_TYPE)),
    ],
)
def test_a_record_that_is_no_package_says_why(data: bytes, fault: Fault) -> None:
    assert parse_package(data) == fault
