from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.lines import BrokenStream, Line, LongLine
from pipelines.domains.mobile.faults import Reason
from pipelines.domains.mobile.packages.columns import COLUMNS, LIVE_COLUMNS, SCHEMA, Kind, Place, Presence
from pipelines.domains.mobile.packages.filter import PAYMENT_METRICS, Batch, PackageFilter

JUDGED_AT = datetime(2020, 2, 1, tzinfo=UTC)
METRICS = [column for column in LIVE_COLUMNS if column.place is Place.METRICS]
ZERO = {column.name for column in METRICS if column.presence is Presence.ZERO}


class Mapping:
    """A few true answers of the reference's mapping."""

    answers: ClassVar[dict[tuple[str, str], tuple[str, str | None]]] = {
        ("AL1", "E07000240"): ("AL1", "E07000240"),
        ("AL2", "E07000098"): ("AL2_AL4_WD7", "E07000098"),
        ("AB13", "UNKNOWN"): ("AB13_AB14", None),
        ("YO62", "UNKNOWN"): ("YO60_YO62", None),
        ("", ""): ("NOT SET", None),
    }

    def lookup(self, district: str, authority: str | None) -> tuple[str, str | None]:
        exact = self.answers.get((district, "UNKNOWN" if authority is None else authority))
        return exact or self.answers.get((district, "UNKNOWN")) or ("UNKNOWN", "UNKNOWN")


def make_package(**metadata: object) -> dict[str, Any]:
    return {
        "analyticsWindow": {"startDate": "2020-01-27T23:00:00Z", "endDate": "2020-01-28T22:59:00Z"},
        "metadata": {
            "postalDistrict": "AL2",
            "deviceModel": "",
            "operatingSystemVersion": "",
            "latestApplicationVersion": "",
            **metadata,
        },
        "metrics": {},
        "includesMultipleApplicationVersions": False,
    }


def make_lines(packages: Iterable[object]) -> list[Line]:
    return [
        Line(number, package if isinstance(package, bytes) else json.dumps(package).encode())
        for number, package in enumerate(packages, 1)
    ]


def run(packages: Iterable[object], judged_at: datetime = JUDGED_AT) -> tuple[Batch, PackageFilter]:
    chosen = PackageFilter(Mapping(), judged_at)
    (batch,) = chosen.batches(make_lines(packages))
    assert batch.table.schema.equals(SCHEMA)
    batch.table.validate(full=True)
    return batch, chosen


def read_row(package: object, judged_at: datetime = JUDGED_AT) -> dict[str, Any]:
    """The one row of an accepted package, without its nulls."""
    batch, _ = run([package], judged_at)
    assert batch.rejects == ()
    (row,) = batch.table.to_pylist()
    return {name: value for name, value in row.items() if value is not None}


def read_fault(package: object, judged_at: datetime = JUDGED_AT) -> tuple[str, str]:
    """The fault of a package that stands between two good ones, which go on."""
    good = make_package(localAuthority="E07000098")
    batch, chosen = run([good, package, good], judged_at)
    assert batch.table.num_rows == 2
    (reject,) = batch.rejects
    raw = package if isinstance(package, bytes) else json.dumps(package).encode()
    assert (reject.line, reject.raw, reject.length) == (2, raw, len(raw))
    assert (chosen.tally.read, chosen.tally.written, chosen.tally.rejected) == (3, 2, {reject.reason: 1})
    return reject.field, reject.reason


def test_a_mapped_pair_and_empty_metrics_give_the_record_of_the_reference() -> None:
    assert read_row(make_package(localAuthority="E07000098")) == {
        "startdate": "2020-01-27T23:00:00Z",
        "enddate": "2020-01-28T22:59:00Z",
        "postaldistrict": "AL2_AL4_WD7",
        "localauthority": "E07000098",
        "devicemodel": "",
        "operatingsystemversion": "",
        "latestapplicationversion": "",
        "includesmultipleapplicationversions": False,
        **dict.fromkeys(ZERO, 0),
    }


def test_every_text_goes_to_its_own_column() -> None:
    row = read_row(make_package(deviceModel="d", operatingSystemVersion="o", latestApplicationVersion="v"))
    assert (row["devicemodel"], row["operatingsystemversion"], row["latestapplicationversion"]) == ("d", "o", "v")


@pytest.mark.parametrize(
    ("metadata", "district", "authority"),
    [
        ({"postalDistrict": "AB13"}, "AB13_AB14", None),
        ({"postalDistrict": "YO62", "localAuthority": "E07000152"}, "YO60_YO62", None),
        ({"postalDistrict": "YO62", "localAuthority": "Houston"}, "YO60_YO62", None),
        ({"postalDistrict": "", "localAuthority": ""}, "NOT SET", None),
        ({"postalDistrict": ""}, "UNKNOWN", "UNKNOWN"),
        ({"postalDistrict": "F4KEP0STC0DE", "localAuthority": "E06000051"}, "UNKNOWN", "UNKNOWN"),
        ({"postalDistrict": "F4KEP0STC0DE"}, "UNKNOWN", "UNKNOWN"),
        ({"postalDistrict": "al2", "localAuthority": "E07000098"}, "UNKNOWN", "UNKNOWN"),
        ({"postalDistrict": " AL2", "localAuthority": "E07000098"}, "UNKNOWN", "UNKNOWN"),
    ],
)
def test_places_are_mapped_as_they_are_written(metadata: dict[str, str], district: str, authority: str | None) -> None:
    batch, chosen = run([make_package(**metadata)])
    (row,) = batch.table.to_pylist()
    assert (row["postaldistrict"], row["localauthority"]) == (district, authority)
    assert chosen.tally.unknown == (district == "UNKNOWN")


def test_every_live_metric_keeps_its_own_number_and_retired_ones_vanish() -> None:
    package = make_package()
    package["metrics"] = {column.source: at for at, column in enumerate(METRICS, 1)}
    package["metrics"] |= {column.source: "anything" for column in COLUMNS if column.presence is Presence.DEAD}
    row = read_row(package)
    assert {column.name: row.get(column.name) for column in METRICS} == {
        column.name: at for at, column in enumerate(METRICS, 1)
    }
    assert not {column.name for column in COLUMNS if column.presence is Presence.DEAD} & row.keys()


@pytest.mark.parametrize(
    ("judged_at", "kept"),
    [
        ("2022-04-01T00:01+01:00", True),
        ("2022-04-06T23:59+01:00", True),
        ("2022-04-07T00:00+01:00", False),
        ("2022-04-07T00:01+01:00", False),
        ("2022-04-07T08:00+01:00", False),
        ("2022-04-14T00:01+01:00", False),
    ],
)
def test_payment_metrics_are_kept_until_they_ended_in_london(judged_at: str, *, kept: bool) -> None:
    package = make_package()
    package["metrics"] = dict.fromkeys(PAYMENT_METRICS, 7) | {"startedIsolation": 7}
    row = read_row(package, datetime.fromisoformat(judged_at))
    assert row["startedisolation"] == 7
    assert [name.lower() in row for name in PAYMENT_METRICS] == [kept] * 4


def test_payment_metrics_are_checked_though_they_are_not_kept() -> None:
    package = make_package()
    package["metrics"] = {"receivedActiveIpcToken": "1"}
    later = datetime(2023, 1, 1, tzinfo=UTC)
    assert read_fault(package, later) == ("receivedActiveIpcToken", Reason.WRONG_TYPE)


@pytest.mark.parametrize(
    ("start", "end", "accepted"),
    [
        ("2021-02-02T00:00:01Z", "2021-02-02T00:00:00Z", False),
        ("2021-01-01T00:00:00Z", "2021-02-02T00:00:01Z", False),
        ("2020-01-01T00:00:00Z", "2021-01-31T00:00:00Z", True),
        ("2021-01-31T00:00:00Z", "2020-01-01T00:00:00Z", True),
        ("2020-01-01T00:00:00Z", "2021-01-31T00:00:00.000000001Z", False),
        ("2020-01-01T00:00:00Z", "2021-01-31T00:00:01Z", False),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", True),
    ],
)
def test_a_window_may_lie_at_most_365_days_ahead(start: str, end: str, *, accepted: bool) -> None:
    """2020 is a leap year: the limit is the last day of January, not the first of February."""
    package = make_package()
    package["analyticsWindow"] = {"startDate": start, "endDate": end}
    if accepted:
        assert read_row(package)["enddate"] == end
    else:
        assert read_fault(package) == ("analyticsWindow", Reason.IN_FUTURE)


def test_the_future_is_judged_in_any_zone_and_never_without_one() -> None:
    package = make_package()
    package["analyticsWindow"]["endDate"] = "2021-01-31T00:00:00Z"
    read_row(package, JUDGED_AT.astimezone(timezone(timedelta(hours=5))))
    with pytest.raises(ValueError, match="time zone"):
        PackageFilter(Mapping(), datetime(2020, 2, 1))  # noqa: DTZ001 - the point of the test


def test_instants_are_stored_in_their_printed_form() -> None:
    package = make_package()
    package["analyticsWindow"] = {"startDate": "2020-01-27t23:00:00.000z", "endDate": "2020-01-27T23:00:00.5Z"}
    row = read_row(package)
    assert (row["startdate"], row["enddate"]) == ("2020-01-27T23:00:00Z", "2020-01-27T23:00:00.500Z")


def test_absent_ticks_become_zero_and_are_counted_among_the_accepted_only() -> None:
    without, bad, full = make_package(), make_package(deviceModel=5), make_package()
    full["metrics"] = dict.fromkeys((column.source for column in METRICS), 3)
    batch, chosen = run([without, bad, full])
    assert batch.table["completedonboarding"].to_pylist() == [0, 3]
    assert batch.table["startedisolation"].to_pylist() == [None, 3]
    assert chosen.tally.zero_filled == dict.fromkeys(ZERO, 1)


def test_null_is_accepted_where_a_metric_may_be_null() -> None:
    package = make_package()
    package["metrics"] = {"launchedTestOrdering": None, "startedIsolation": 2}
    row = read_row(package)
    assert "launchedtestordering" not in row
    assert row["startedisolation"] == 2


def test_unknown_keys_are_ignored_wherever_they_stand() -> None:
    package = make_package(localAuthority="E07000098", deviceId="1234:5678")
    expected = read_row(make_package(localAuthority="E07000098"))
    package["extra"] = {"nested": [{"metrics": {"completedOnboarding": 9}}]}
    package["metrics"]["brandNewMetric"] = "7"
    package["analyticsWindow"]["note"] = 'a \\ b "quoted": c'
    assert read_row(package) == expected


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("completedOnboarding", 2**31 - 1),
        ("completedOnboarding", -(2**31)),
        ("startedIsolation", -(2**31)),
        ("cumulativeDownloadBytes", 2**31),
        ("cumulativeDownloadBytes", 2**63 - 1),
        ("cumulativeDownloadBytes", -(2**63)),
    ],
)
def test_a_number_at_the_edge_of_its_column_is_kept(metric: str, value: int) -> None:
    package = make_package()
    package["metrics"][metric] = value
    assert read_row(package)[metric.lower()] == value


@pytest.mark.parametrize(
    ("place", "key", "value", "reason"),
    [
        ("metrics", "totalBackgroundTasks", None, Reason.NULL),
        ("metrics", "totalBackgroundTasks", "5", Reason.WRONG_TYPE),
        ("metrics", "startedIsolation", "5", Reason.WRONG_TYPE),
        ("metrics", "startedIsolation", True, Reason.WRONG_TYPE),
        ("metrics", "startedIsolation", [1], Reason.WRONG_TYPE),
        ("metrics", "startedIsolation", {}, Reason.WRONG_TYPE),
        ("metrics", "startedIsolation", 1.7, Reason.NOT_WHOLE),
        ("metrics", "startedIsolation", 2.0, Reason.NOT_WHOLE),
        ("metrics", "startedIsolation", -0.0, Reason.NOT_WHOLE),
        ("metrics", "cumulativeWifiUploadBytes", 1e3, Reason.NOT_WHOLE),
        ("metrics", "startedIsolation", 2**31, Reason.OUT_OF_RANGE),
        ("metrics", "completedOnboarding", -(2**31) - 1, Reason.OUT_OF_RANGE),
        ("metrics", "cumulativeWifiUploadBytes", 2**63, Reason.OUT_OF_RANGE),
        ("metrics", "cumulativeWifiUploadBytes", 2**64, Reason.OUT_OF_RANGE),
        ("metrics", "cumulativeWifiUploadBytes", -(2**63) - 1, Reason.OUT_OF_RANGE),
        ("metrics", "startedIsolation", 10**300, Reason.OUT_OF_RANGE),
        ("metadata", "postalDistrict", None, Reason.NULL),
        ("metadata", "postalDistrict", 5, Reason.WRONG_TYPE),
        ("metadata", "localAuthority", None, Reason.NULL),
        ("metadata", "localAuthority", ["E07000098"], Reason.WRONG_TYPE),
        ("metadata", "deviceModel", 5, Reason.WRONG_TYPE),
        ("metadata", "operatingSystemVersion", 29, Reason.WRONG_TYPE),
        ("metadata", "latestApplicationVersion", 3.0, Reason.WRONG_TYPE),
        ("analyticsWindow", "startDate", "2020-06-2001:00:00Z", Reason.BAD_DATE),
        ("analyticsWindow", "endDate", "2020-06-20T22:00:00", Reason.BAD_DATE),
        ("analyticsWindow", "endDate", "2019-02-29T22:00:00Z", Reason.BAD_DATE),
        ("analyticsWindow", "endDate", 1_580_000_000, Reason.WRONG_TYPE),
        ("analyticsWindow", "endDate", None, Reason.NULL),
        ("", "includesMultipleApplicationVersions", None, Reason.NULL),
        ("", "includesMultipleApplicationVersions", 0, Reason.WRONG_TYPE),
        ("", "includesMultipleApplicationVersions", "false", Reason.WRONG_TYPE),
        ("", "metrics", None, Reason.NULL),
        ("", "metadata", "text", Reason.WRONG_TYPE),
    ],
)
def test_a_bad_value_rejects_its_record_alone(place: str, key: str, value: object, reason: Reason) -> None:
    package = make_package()
    (package[place] if place else package)[key] = value
    assert read_fault(package) == (key, reason)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("", "analyticsWindow"),
        ("", "metadata"),
        ("", "metrics"),
        ("", "includesMultipleApplicationVersions"),
        ("analyticsWindow", "startDate"),
        ("analyticsWindow", "endDate"),
        ("metadata", "postalDistrict"),
        ("metadata", "deviceModel"),
        ("metadata", "operatingSystemVersion"),
        ("metadata", "latestApplicationVersion"),
    ],
)
def test_a_required_value_may_not_be_absent(place: str, key: str) -> None:
    package = make_package()
    del (package[place] if place else package)[key]
    assert read_fault(package) == (key, Reason.MISSING)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text[:-1], ("", Reason.NOT_JSON)),
        (lambda text: text + " {}", ("", Reason.NOT_JSON)),
        (lambda text: text.replace("false", "NaN"), ("", Reason.NOT_JSON)),
        (lambda text: text.replace('"AL2"', '"\\udc00"'), ("", Reason.NOT_JSON)),
        (lambda text: f"[{text}]", ("", Reason.NOT_AN_OBJECT)),
        (lambda text: text.replace('"metrics"', '"metrics": {}, "metrics"'), ("metrics", Reason.DUPLICATE_KEY)),
        (
            lambda text: text.replace('"AL2"', '"AL2", "postalDistrict": "AL1"'),
            ("postalDistrict", Reason.DUPLICATE_KEY),
        ),
    ],
)
def test_a_record_that_is_not_strict_json_is_rejected(change: Any, fault: tuple[str, Reason]) -> None:
    assert read_fault(change(json.dumps(make_package())).encode()) == fault


def test_text_that_is_not_utf8_is_rejected() -> None:
    assert read_fault(json.dumps(make_package()).encode().replace(b"AL2", b"\xe9")) == ("", Reason.NOT_UTF8)


def test_a_line_that_was_too_long_is_rejected_with_its_head_and_full_length() -> None:
    chosen = PackageFilter(Mapping(), JUDGED_AT)
    (batch,) = chosen.batches([LongLine(7, 5_000_000, b"head")])
    (reject,) = batch.rejects
    assert (reject.line, reject.field, reject.reason, reject.raw, reject.length) == (
        *(7, "", Reason.TOO_LONG),
        *(b"head", 5_000_000),
    )
    assert batch.table.num_rows == 0
    assert batch.table.schema.equals(SCHEMA)


def test_no_lines_give_no_batches() -> None:
    assert list(PackageFilter(Mapping(), JUDGED_AT).batches([])) == []


def test_a_broken_stream_is_reported_after_all_that_came_before_it() -> None:
    def lines() -> Iterable[Line]:
        yield from make_lines([make_package(), b"{"])
        raise BrokenStream("the gzip stream is cut short")

    chosen = PackageFilter(Mapping(), JUDGED_AT)
    batches = chosen.batches(lines())
    batch = next(batches)
    assert (batch.table.num_rows, len(batch.rejects)) == (1, 1)
    with pytest.raises(BrokenStream):
        next(batches)


def make_mixture() -> list[Line]:
    packages: list[object] = []
    for at in range(40):
        package = make_package(deviceModel=f"device {at}", localAuthority="E07000098")
        package["metrics"] = {column.source: at * 10 + n for n, column in enumerate(METRICS) if (n + at) % 3}
        packages += [package, b"{"] if at % 7 == 0 else [package]
        if at % 5 == 0:
            packages.append(make_package(deviceModel=at))
    return make_lines(packages)


@pytest.mark.parametrize(("batch_rows", "batch_bytes"), [(1, 1 << 20), (3, 1 << 20), (20_000, 1), (20_000, 4_000)])
def test_where_batches_end_changes_neither_rows_nor_rejects_nor_counts(batch_rows: int, batch_bytes: int) -> None:
    whole = PackageFilter(Mapping(), JUDGED_AT)
    (expected,) = whole.batches(make_mixture())
    cut = PackageFilter(Mapping(), JUDGED_AT, batch_rows, batch_bytes)
    batches = list(cut.batches(make_mixture()))
    assert len(batches) > 4
    assert max(batch.table.num_rows + len(batch.rejects) for batch in batches) <= batch_rows
    assert pa.Table.from_batches([batch.table for batch in batches]).equals(pa.Table.from_batches([expected.table]))
    assert [reject for batch in batches for reject in batch.rejects] == list(expected.rejects)
    assert cut.tally == whole.tally
    assert expected.table["devicemodel"].to_pylist() == [f"device {at}" for at in range(40)]


def test_the_raw_record_is_not_in_the_printed_form_of_a_reject() -> None:
    batch, _ = run([b'{"postalDistrict":"ZZ9Q"'])
    assert "ZZ9Q" not in repr(batch.rejects)


def is_acceptable(package: Any) -> bool:
    """The rules again, straight from the contract, for values that JSON can hold and dates that are right or not."""
    try:
        window, metadata, metrics = package["analyticsWindow"], package["metadata"], package["metrics"]
        texts = [metadata[key] for key in make_package()["metadata"]] + [metadata.get("localAuthority", "")]
        dates = [window["startDate"], window["endDate"]]
        flag = package["includesMultipleApplicationVersions"]
        known = [(column, metrics[column.source]) for column in METRICS if column.source in metrics]
    except (KeyError, TypeError, AttributeError):
        return False
    limits = {Kind.INT32: range(-(2**31), 2**31), Kind.INT64: range(-(2**63), 2**63)}
    return (
        isinstance(metrics, dict)
        and isinstance(flag, bool)
        and all(isinstance(text, str) for text in texts)
        and all(date in ("2020-01-27T23:00:00Z", "2020-01-28T22:59:00Z") for date in dates)
        and all(
            (type(value) is int and value in limits[column.kind])
            or (value is None and column.presence is Presence.NULLABLE)
            for column, value in known
        )
    )


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.sampled_from(
        [0, 1, 2**31, -(2**31) - 1, 2**63, -(2**63) - 1, 2.0, -1.5, 1e30, "", "5", "a:b", "\\", "é", "x" * 300]
    )
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)
places = st.sampled_from(["", "", "analyticsWindow", "metadata", "metrics", "metrics", "metrics"])
some_keys = st.sampled_from([column.source for column in COLUMNS] + ["analyticsWindow", "metadata", "metrics", "new"])
changes = st.lists(st.tuples(places, some_keys, anything | st.just(KeyError)), max_size=6)


@given(mutations=st.lists(changes, min_size=1, max_size=6))
def test_any_mutation_is_accepted_with_its_types_or_rejected_as_the_rules_say(mutations: list[list[Any]]) -> None:
    packages = []
    for mutation in mutations:
        package = copy.deepcopy(make_package(localAuthority="E07000098"))
        for place, key, value in mutation:
            part = package.get(place, package)
            if not isinstance(part, dict):
                continue
            if value is KeyError:
                part.pop(key, None)
            else:
                part[key] = value
        packages.append(package)
    batch, chosen = run(packages)
    good = [at for at, package in enumerate(packages, 1) if is_acceptable(package)]
    rejected = [reject.line for reject in batch.rejects]
    assert rejected == [at for at in range(1, len(packages) + 1) if at not in good]
    assert (chosen.tally.read, chosen.tally.written) == (len(packages), len(good))
    for row, at in zip(batch.table.to_pylist(), good, strict=True):
        metrics = packages[at - 1]["metrics"]
        assert all(
            row[column.name] == (metrics.get(column.source, 0) if column.name in ZERO else metrics.get(column.source))
            for column in METRICS
        )


@given(data=st.binary(max_size=80), at=st.integers(0, 300), length=st.integers(0, 30))
def test_any_bytes_are_a_row_or_a_reject_and_never_an_error(data: bytes, at: int, length: int) -> None:
    whole = json.dumps(make_package()).encode()
    batch, _ = run([data, whole[:at] + data + whole[at + length :]])
    assert batch.table.num_rows + len(batch.rejects) == 2
