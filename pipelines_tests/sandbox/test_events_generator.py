"""The sample events, against a strict reading of the events' contract that is independent of the platform's own."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.objects import open_objects
from pipelines.sandbox.contents import EVENTS
from pipelines.sandbox.faults import BadKind
from pipelines.sandbox.landing import land_samples
from pipelines.sandbox.uploads import Record, UploadFile, event_uploads, land, submissions
from pipelines_tests.sandbox.strictness import read_moment, read_strictly

HOUR = datetime(2026, 7, 2, 3, tzinfo=UTC)
PAIRS = [("AL1", "E07000240"), ("AL2", "E07000098"), ("B99", "E08000025"), ("AB13", None), ("YO62", None)]
CANARIES = ("ZZ9Q", "ZZ8Q", "canary-of-a-key", "canary-as-a-number", "canary-in-broken-json", "ZZ7Q")

METADATA = {"operatingSystemVersion", "latestApplicationVersion", "deviceModel", "postalDistrict"}
SCAN = {"minimumAttenuation", "secondsSinceLastScan", "typicalAttenuation"}
VERSIONS = [
    ("exposureWindow", 1),
    ("exposureWindow", 2),
    ("exposureWindowPositiveTest", 1),
    ("exposureWindowPositiveTest", 2),
    ("exposureWindowPositiveTest", 3),
]


def keys_of(kind: str, version: int) -> set[str]:
    positive = kind == "exposureWindowPositiveTest"
    return (
        {"date", "infectiousness", "scanInstances", "riskScore", "riskCalculationVersion"}
        | ({"testType"} if positive else set())
        | ({"requiresConfirmatoryTest"} if positive and version >= 2 else set())
        | ({"isConsideredRisky"} if version == 2 + positive else set())
    )


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def is_scan(value: Any) -> bool:
    return isinstance(value, dict) and all(is_whole(value.get(name)) for name in SCAN)


RULES: Mapping[str, Callable[[Any], bool]] = {
    "date": lambda value: isinstance(value, str) and read_moment(value) is not None,
    "infectiousness": lambda value: value in ("high", "none", "standard"),
    "scanInstances": lambda value: isinstance(value, list) and all(map(is_scan, value)),
    "riskScore": is_number,
    "riskCalculationVersion": is_whole,
    "testType": lambda value: value in ("LAB_RESULT", "RAPID_RESULT", "unknown"),
    "requiresConfirmatoryTest": lambda value: isinstance(value, bool),
    "isConsideredRisky": lambda value: isinstance(value, bool),
}


def acceptable(raw: bytes) -> bool:
    """Whether a strict reader takes a submission."""
    try:
        submission = read_strictly(raw)
    except ValueError:
        return False
    try:
        metadata, events = submission["metadata"], submission["events"]
        texts = [metadata[name] for name in METADATA] + [metadata.get("localAuthority", "")]
    except (KeyError, TypeError):
        return False
    return all(isinstance(text, str) for text in texts) and isinstance(events, list) and all(map(is_event, events))


def is_event(event: Any) -> bool:
    try:
        kind, version, payload = event["type"], event["version"], event["payload"]
        if isinstance(version, bool) or (kind, version) not in VERSIONS:
            return False
        return all(RULES[name](payload[name]) for name in keys_of(kind, version))
    except (KeyError, TypeError):
        return False


def good(count: int, seed: int = 1) -> list[dict[str, Any]]:
    return [orjson.loads(record.raw) for record in submissions(seed, count, PAIRS, HOUR, bad_share=0)]


def events_of(sent: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (event for submission in sent for event in submission["events"])


def test_the_same_seed_gives_the_same_bytes() -> None:
    def build(seed: int) -> list[tuple[str, bytes]]:
        files = event_uploads(seed, HOUR, 3, 100, PAIRS, bad_share=0.3, canaries=("ZZ9Q",))
        return [(file.key, b"".join(file.chunks())) for file in files]

    assert build(7) == build(7)
    assert not set(build(7)) & set(build(8))


def test_a_strict_reader_accepts_every_submission_that_is_called_good() -> None:
    refused = [record.raw for record in submissions(3, 2_000, PAIRS, HOUR, bad_share=0) if not acceptable(record.raw)]
    assert refused == []


@pytest.mark.parametrize("kind", EVENTS.kinds)
def test_a_strict_reader_refuses_every_submission_that_is_called_bad(kind: BadKind) -> None:
    records = [one for one in submissions(5, 60 * len(EVENTS.kinds), PAIRS, HOUR, bad_share=1) if one.bad is kind]
    assert len(records) == 60
    assert [record.raw for record in records if acceptable(record.raw)] == []


@given(count=st.integers(0, 200), share=st.floats(0, 1), seed=st.integers(0, 2**64))
def test_the_share_of_bad_submissions_is_exact_and_kinds_take_turns(count: int, share: float, seed: int) -> None:
    kinds = Counter(record.bad for record in submissions(seed, count, PAIRS, HOUR, share) if record.bad)
    assert kinds.total() == round(count * share)
    assert max(kinds.values(), default=0) - min((kinds[kind] for kind in EVENTS.kinds), default=0) <= 1


def test_every_type_and_version_is_sent_and_its_payload_has_every_key() -> None:
    sent = good(2_000)
    assert {(event["type"], event["version"]) for event in events_of(sent)} == set(VERSIONS)
    assert all(event["payload"].keys() >= keys_of(event["type"], event["version"]) for event in events_of(sent))


def test_every_known_value_is_sent_and_scores_are_whole_or_not() -> None:
    payloads = [event["payload"] for event in events_of(good(2_000))]
    assert {payload["infectiousness"] for payload in payloads} == {"high", "none", "standard"}
    assert {payload.get("testType") for payload in payloads} == {"LAB_RESULT", "RAPID_RESULT", "unknown", None}
    assert {payload.get("isConsideredRisky") for payload in payloads} == {True, False, None}
    assert {payload.get("requiresConfirmatoryTest") for payload in payloads} == {True, False, None}
    assert {payload["riskCalculationVersion"] for payload in payloads} == {2}
    assert {type(payload["riskScore"]) for payload in payloads} == {int, float}
    assert {len(payload["scanInstances"]) for payload in payloads} == set(range(1, 9))


def test_encounters_are_of_the_two_weeks_before_their_arrival() -> None:
    moments = [read_moment(event["payload"]["date"]) for event in events_of(good(2_000))]
    assert all(moment and HOUR - timedelta(days=14) < moment <= HOUR for moment in moments)
    assert len(set(moments)) > 1_000


def test_most_submissions_have_one_event_and_none_has_two_types() -> None:
    sent = good(3_000)
    sizes = Counter(len(submission["events"]) for submission in sent)
    assert 2_500 < sizes[1] < 2_900
    assert set(sizes) == set(range(13))
    assert max(len({event["type"] for event in submission["events"]}) for submission in sent) == 1


def test_keys_that_no_contract_knows_stand_in_every_part_now_and_then() -> None:
    sent = good(2_000)
    events = list(events_of(sent))
    payloads = [event["payload"] for event in events]
    unknown = [
        [part.keys() - {"metadata", "events", "uuid"} for part in sent],
        [part["metadata"].keys() - METADATA - {"localAuthority"} for part in sent],
        [part.keys() - {"type", "version", "payload"} for part in events],
        [part["payload"].keys() - keys_of(part["type"], part["version"]) for part in events],
        [scan.keys() - SCAN for payload in payloads for scan in payload["scanInstances"]],
    ]
    shares = [sum(map(bool, parts)) / len(parts) for parts in unknown]
    assert all(0.01 < share < 0.06 for share in shares), shares
    sent_identifiers = [UUID(part["uuid"]) for part in sent if "uuid" in part]
    assert 20 < len(sent_identifiers) < 120


def test_the_authority_is_sometimes_absent_and_some_places_are_odd() -> None:
    places = Counter((one["metadata"]["postalDistrict"], one["metadata"].get("localAuthority")) for one in good(3_000))
    assert set(PAIRS) <= set(places)
    assert {("", ""), ("", None)} <= set(places)


def test_each_submission_is_a_file_named_by_a_moment_of_its_hour() -> None:
    files = list(event_uploads(1, HOUR, 48, 500, PAIRS))
    assert len({file.key for file in files}) == len(files) == 500
    hours = Counter[datetime]()
    for file in files:
        found = re.fullmatch(r"mobile/events/(\d{4}/\d\d/\d\d/\d\d)/(\d{13})_([0-9a-f-]{36})\.json", file.key)
        assert found, file.key
        hour = datetime.strptime(found[1], "%Y/%m/%d/%H").replace(tzinfo=UTC)
        assert hour <= datetime.fromtimestamp(int(found[2]) / 1_000, UTC) < hour + timedelta(hours=1)
        assert str(UUID(found[3])) == found[3]
        assert file.feed == "mobile/events"
        hours[hour] += 1
    assert set(hours) == {HOUR + timedelta(hours=hour) for hour in range(48)}
    assert sum(count for hour, count in hours.items() if hour.hour < 7) > 250


def test_one_in_a_hundred_is_bad_and_of_twenty_at_least_one() -> None:
    def bad(count: int, share: float = 0.01) -> int:
        return sum(len(file.bad) for file in event_uploads(1, HOUR, 48, count, PAIRS, share))

    assert [bad(count) for count in (500, 100, 49, 20, 19, 0)] == [5, 1, 1, 1, 0, 0]
    assert bad(500, share=0) == 0


def test_landed_files_hold_what_their_labels_say(tmp_path: Path) -> None:
    landed = land(event_uploads(2, HOUR, 4, 300, PAIRS, bad_share=0.3), open_objects(tmp_path.as_uri()))
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        file.key for file in landed
    }
    for file in landed:
        assert (file.count, file.good) in {(1, 1), (1, 0)}
        assert [line for line, _ in file.bad] == [1] * (1 - file.good)
        assert acceptable((tmp_path / file.key).read_bytes()) == bool(file.good), file.bad


def planted(files: list[UploadFile]) -> dict[str, Record]:
    return {record.canary: record for file in files for record in file.records() if record.canary}


def test_each_canary_is_planted_once_in_its_place() -> None:
    files = list(event_uploads(1, HOUR, 5, 200, PAIRS, canaries=CANARIES))
    found = planted(files)
    assert set(found) == set(CANARIES)
    landed = b"\n".join(chunk for file in files for chunk in file.chunks())
    assert [landed.count(canary.encode()) for canary in CANARIES] == [1] * len(CANARIES)
    assert orjson.loads(found["ZZ9Q"].raw)["metadata"]["postalDistrict"] == "ZZ9Q"
    assert orjson.loads(found["ZZ8Q"].raw)["metadata"]["deviceOwner"] == "ZZ8Q"
    payload = orjson.loads(found["canary-of-a-key"].raw)["events"][0]["payload"]
    assert [name for name, value in payload.items() if value == "canary-of-a-key"] == ["contactName"]
    assert [found[canary].bad for canary in CANARIES] == [
        None,
        None,
        None,
        BadKind.TEXT_FOR_NUMBER,
        BadKind.TRUNCATED,
        None,
    ]
    assert [acceptable(found[canary].raw) for canary in CANARIES] == [True, True, True, False, False, True]
    assert sum(len(file.bad) for file in files) == 2 + 2


def test_a_planted_text_finds_an_event_in_every_submission() -> None:
    """Few submissions have no event: in so many some of them are those where a text is to be planted."""
    for seed in range(300):
        records = list(submissions(seed, 4, PAIRS, HOUR, canaries=CANARIES[:4]))
        assert {record.canary for record in records} == set(CANARIES[:4])
        assert [acceptable(one.raw) for one in records if one.bad is None] == [True] * 3


def test_more_canaries_than_submissions_are_refused() -> None:
    with pytest.raises(ValueError, match="canaries"):
        submissions(1, 2, PAIRS, HOUR, canaries=CANARIES)


def test_samples_of_both_feeds_land_with_every_canary_in_each(tmp_path: Path) -> None:
    now = HOUR + timedelta(minutes=40)
    landed = land_samples(tmp_path.as_uri(), PAIRS, now, hours=5, packages=100, events=50, canaries=CANARIES)
    by_feed = {feed: [file for file in landed if file.feed == feed] for feed in ("mobile/packages", "mobile/events")}
    assert [sum(file.count for file in files) for files in by_feed.values()] == [100, 50]
    for feed, files in by_feed.items():
        assert set(planted(files)) == set(CANARIES)
        assert all(file.key.startswith(f"{feed}/2026/07/") for file in files)
        assert {file.hour for file in files} == {HOUR - timedelta(hours=age) for age in range(5)}
    assert {file.key for file in landed} == {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }


def test_samples_of_one_feed_alone_have_the_canaries_as_well(tmp_path: Path) -> None:
    landed = land_samples(tmp_path.as_uri(), PAIRS, HOUR, hours=2, packages=0, events=10, canaries=CANARIES)
    assert {file.feed for file in landed} == {"mobile/events"}
    assert set(planted(landed)) == set(CANARIES)
    with pytest.raises(ValueError, match="canaries"):
        land_samples(tmp_path.as_uri(), PAIRS, HOUR, packages=0, canaries=CANARIES)
