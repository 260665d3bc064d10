from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.mobile.faults import Fault
from pipelines.domains.mobile.packages.columns import COLUMNS, Kind, Place
from pipelines.domains.mobile.packages.faults import find_fault, parse_package
from pipelines.domains.mobile.packages.records import ABSENT, NARROW, WIDE, convert_package, read_record

METRICS = [column for column in COLUMNS if column.place is Place.METRICS]


def make_package(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "analyticsWindow": {"startDate": "2020-01-27T23:00:00Z", "endDate": "2020-01-28T22:59:00Z"},
        "metadata": {
            "operatingSystemVersion": "o",
            "latestApplicationVersion": "v",
            "deviceModel": "d",
            "postalDistrict": "p",
            "localAuthority": "a",
        },
        "metrics": metrics,
        "includesMultipleApplicationVersions": True,
    }


def write(value: object, *, spaced: bool = True) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=None if spaced else (",", ":")).encode()


def test_every_metric_is_read_into_its_own_place() -> None:
    record = read_record(write(make_package({column.source: at for at, column in enumerate(METRICS)})))
    assert record is not None
    wide, narrow = record.split_metrics()
    assert dict(zip((*WIDE, *NARROW), wide + narrow, strict=True)) == {column: at for at, column in enumerate(METRICS)}


def test_absent_metrics_are_told_from_zeros() -> None:
    record = read_record(write(make_package({WIDE[0].source: 0, NARROW[0].source: 0})))
    assert record is not None
    assert record.split_metrics() == ((0, *[None] * (len(WIDE) - 1)), (0, *[ABSENT] * (len(NARROW) - 1)))


good_numbers = st.fixed_dictionaries(
    {},
    optional={
        column.source: st.integers(-(2**31), 2**31 - 1)
        if column.kind is Kind.INT32
        else st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-(2**63), 2**63 - 1])
        for column in METRICS[::3]
    },
)
odd_values: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 1.5, 2.0, "5", ABSENT, 2**63, 2**64, -(2**63) - 1, [], {}, {"a": 1}, "é:é"]
)
odd_keys = st.sampled_from([METRICS[0].source, "startedIsolation", "totalBackgroundTasks", "checkedIn", "new", "é"])
texts = st.text(st.sampled_from('a:é"\\\n'), max_size=5)


@given(
    metrics=good_numbers,
    odd=st.dictionaries(odd_keys, odd_values, max_size=2),
    place=st.sampled_from(["metrics", "metadata", "analyticsWindow", ""]),
    authority=texts | st.none(),
    extra=st.sampled_from(["", '"metrics":{},', ' "x": "a:b",', '"":0,', '"metadata":1,']),
    spaced=st.booleans(),
)
def test_what_is_read_at_once_is_what_the_slow_way_takes(
    metrics: dict[str, Any], odd: dict[str, Any], place: str, authority: str | None, extra: str, *, spaced: bool
) -> None:
    """The two ways may differ in nothing but in what the quick one leaves to the slow one."""
    package = make_package(metrics)
    package["metadata"]["localAuthority"] = authority
    (package[place] if place else package).update(odd)
    data = b"{" + extra.encode() + write(package, spaced=spaced)[1:]
    record, slow = read_record(data), parse_package(data)
    if not isinstance(slow, Fault):
        assert (convert_package(slow) is None) == (find_fault(slow) is not None)
    if record is not None:
        assert not isinstance(slow, Fault)
        assert record.metadata.local_authority == authority
        made = convert_package(slow)
        assert made is not None
        (wide, numbers), (made_wide, made_narrow) = record.split_metrics(), made.split_metrics()
        dead = {at for at, column in enumerate(NARROW) if made_narrow[at] == ABSENT and column.source in metrics | odd}
        narrow = tuple(ABSENT if at in dead else value for at, value in enumerate(numbers))
        assert (record.analytics_window, record.metadata, wide, narrow) == (
            *(made.analytics_window, made.metadata),
            *(made_wide, made_narrow),
        )


@pytest.mark.parametrize("text", ["", "a:b", 'q"', "\\", "/", "\b\f\n\r\t", "\0\x1f\x7f", "é", "\u2028", "\U0001f600"])
def test_no_text_is_shorter_than_what_a_record_is_held_against(text: str) -> None:
    """Were one shorter, the bytes that it saves could hold another key."""
    package = make_package({column.source: -at for at, column in enumerate(METRICS)})
    package["metadata"]["deviceModel"] = text
    shortest = write(package, spaced=False)
    record = read_record(shortest)
    assert record is not None
    assert record.metadata.device_model == text
    assert read_record(shortest.replace(b'"metadata":{', b'"metadata":{"":0,')) is None


def test_a_key_that_stands_twice_is_noticed_without_spaces_too() -> None:
    twice = write(make_package({}), spaced=False).replace(b'"metrics":{}', b'"metrics":{"checkedIn":10,"checkedIn":1}')
    assert read_record(twice) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"p"', b'"\\u0070"'),
        lambda text: text.replace(b'"p"', b'"p:q"'),
        lambda text: text.replace(b'"p"', b'"\xe9"'),
        lambda text: text.replace(b'"p"', b'"\xed\xa0\x80"'),
        lambda text: text.replace(b'"p"', b'"a\tb"'),
        lambda text: text.replace(b'"a"', b"null"),
        lambda text: text.replace(b'"metrics": {}', b'"metrics": {"new": 1}'),
        lambda text: text.replace(b'"metrics": {}', b'"metrics": {"totalBackgroundTasks": 1.0}'),
        lambda text: text.replace(b'"metrics": {}', b'"metrics": {"totalBackgroundTasks": 01}'),
        lambda text: text.replace(b'"metrics": {}', b'"metrics": {"totalBackgroundTasks": null}'),
        lambda text: text.replace(b'"metrics": {}', b'"metrics": {"launchedTestOrdering": null}'),
        lambda text: text.replace(
            b'"metrics": {}', b'"metrics": {"totalBackgroundTasks": 1, "totalBackgroundTasks": 1}'
        ),
        lambda text: text + b"{}",
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b"\0" + text,
        lambda text: text.replace(b"true", b"NaN"),
        lambda _: b"[" * 100_000,
    ],
)
def test_whatever_is_odd_is_left_to_the_slow_way(change: Any) -> None:
    usual = write(make_package({}))
    assert read_record(usual) is not None
    assert read_record(change(usual)) is None
