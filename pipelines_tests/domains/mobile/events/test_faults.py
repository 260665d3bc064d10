from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from pipelines.domains.mobile.events.faults import parse_submission
from pipelines.domains.mobile.faults import Fault, Reason
from pipelines_tests.domains.mobile.events.submissions import ABSENT, EVENTS, METADATA, changed, submission

SCANS = "events.0.payload.scanInstances"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: f"{event['type']}-{event['version']}")
def test_every_type_and_version_is_accepted(event: dict[str, Any]) -> None:
    assert parse_submission(orjson.dumps(submission(event))) == submission(event)


@pytest.mark.parametrize(
    "whole",
    [
        {"metadata": METADATA, "events": []},
        submission(*EVENTS),
        changed("metadata.localAuthority", ABSENT),
        changed("metadata.localAuthority", ""),
        changed("metadata.postalDistrict", ""),
        changed("metadata.ownerName", "x"),
        changed("events.0.payload.owner", {"a": [1]}),
        changed(f"{SCANS}", []),
        changed(f"{SCANS}.0.extra", None),
        changed("events.0.payload.riskScore", 150),
        changed("events.0.payload.riskScore", -0.5),
        changed("events.0.payload.riskCalculationVersion", 1),
        changed("events.0.payload.date", "2020-08-24T21:59:00.123z"),
        changed("uuid", 5),
    ],
)
def test_what_the_contract_allows_is_accepted(whole: dict[str, Any]) -> None:
    assert not isinstance(parse_submission(orjson.dumps(whole)), Fault)


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        ("metadata", ABSENT, "metadata", Reason.MISSING),
        ("metadata", None, "metadata", Reason.NULL),
        ("metadata", "x", "metadata", Reason.WRONG_TYPE),
        *((f"metadata.{name}", ABSENT, name, Reason.MISSING) for name in METADATA if name != "localAuthority"),
        *((f"metadata.{name}", None, name, Reason.NULL) for name in METADATA),
        *((f"metadata.{name}", 5, name, Reason.WRONG_TYPE) for name in METADATA),
        ("events", ABSENT, "events", Reason.MISSING),
        ("events", None, "events", Reason.NULL),
        ("events", {}, "events", Reason.WRONG_TYPE),
        ("events.0", "x", "events", Reason.NOT_AN_OBJECT),
        ("events.0.type", ABSENT, "type", Reason.MISSING),
        ("events.0.version", ABSENT, "version", Reason.MISSING),
        ("events.0.payload", ABSENT, "payload", Reason.MISSING),
        ("events.0.payload", None, "payload", Reason.NULL),
        ("events.0.payload", [], "payload", Reason.WRONG_TYPE),
        ("events.0.type", "exposure_window", "type", Reason.UNKNOWN_TYPE),
        ("events.0.type", ["exposureWindow"], "type", Reason.UNKNOWN_TYPE),
        ("events.0.version", 4, "type", Reason.UNKNOWN_TYPE),
        ("events.0.version", "3", "type", Reason.UNKNOWN_TYPE),
        ("events.0.version", 3.0, "type", Reason.UNKNOWN_TYPE),
        ("events.0.version", True, "type", Reason.UNKNOWN_TYPE),
        ("events.0.version", None, "type", Reason.UNKNOWN_TYPE),
        *((f"events.0.payload.{name}", ABSENT, name, Reason.MISSING) for name in EVENTS[-1]["payload"]),
        *((f"events.0.payload.{name}", None, name, Reason.NULL) for name in EVENTS[-1]["payload"]),
        *((f"events.0.payload.{name}", {}, name, Reason.WRONG_TYPE) for name in EVENTS[-1]["payload"]),
        ("events.0.payload.date", "2020-08-24", "date", Reason.BAD_DATE),
        ("events.0.payload.infectiousness", "High", "infectiousness", Reason.UNKNOWN_VALUE),
        ("events.0.payload.testType", "SELF", "testType", Reason.UNKNOWN_VALUE),
        ("events.0.payload.riskScore", "1.2", "riskScore", Reason.WRONG_TYPE),
        ("events.0.payload.riskScore", True, "riskScore", Reason.WRONG_TYPE),
        ("events.0.payload.isConsideredRisky", 1, "isConsideredRisky", Reason.WRONG_TYPE),
        ("events.0.payload.riskCalculationVersion", 2.0, "riskCalculationVersion", Reason.NOT_WHOLE),
        ("events.0.payload.riskCalculationVersion", 1 << 31, "riskCalculationVersion", Reason.OUT_OF_RANGE),
        (f"{SCANS}.1", 5, "scanInstances", Reason.NOT_AN_OBJECT),
        (f"{SCANS}.1.typicalAttenuation", ABSENT, "typicalAttenuation", Reason.MISSING),
        (f"{SCANS}.1.typicalAttenuation", None, "typicalAttenuation", Reason.NULL),
        (f"{SCANS}.1.typicalAttenuation", "7", "typicalAttenuation", Reason.WRONG_TYPE),
        (f"{SCANS}.1.typicalAttenuation", -(1 << 31) - 1, "typicalAttenuation", Reason.OUT_OF_RANGE),
    ],
)
def test_a_fault_names_its_key_and_kind(path: str, value: Any, field: str, reason: Reason) -> None:
    assert parse_submission(orjson.dumps(changed(path, value))) == Fault(field, reason)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.NOT_JSON),
        (b"{", Reason.NOT_JSON),
        (b'{"metadata":\xff}', Reason.NOT_UTF8),
        (orjson.dumps(submission()) + b"{}", Reason.NOT_JSON),
        (orjson.dumps([submission()]), Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (json.dumps(changed("events.0.payload.riskScore", float("nan"))).encode(), Reason.NOT_JSON),
        (b"[" * 5_000 + b"]" * 5_000, Reason.NOT_JSON),
    ],
)
def test_what_is_no_strict_json_object_is_a_fault_of_the_whole(data: bytes, reason: Reason) -> None:
    assert parse_submission(data) == Fault("", reason)


@pytest.mark.parametrize(
    ("anchor", "second", "field"),
    [
        (b'"postalDistrict":', b'"postalDistrict":"ZZ9Q",', "postalDistrict"),
        (b'"riskScore":', b'"riskScore":1,', "riskScore"),
        (b'"typicalAttenuation":', b'"typicalAttenuation":1,', "typicalAttenuation"),
        (b'"type":', b'"a secret":1,"a secret":1,', ""),
    ],
)
def test_duplicate_keys_are_a_fault_that_repeats_no_key_of_the_sender(anchor: bytes, second: bytes, field: str) -> None:
    data = orjson.dumps(submission()).replace(anchor, second + anchor, 1)
    assert parse_submission(data) == Fault(field, Reason.DUPLICATE_KEY)


def test_a_byte_order_mark_and_white_space_around_are_no_fault() -> None:
    data = b"\xef\xbb\xbf \n" + orjson.dumps(submission()) + b"\r\n"
    assert parse_submission(data) == submission()


def test_a_whole_number_beyond_any_double_is_no_risk_score() -> None:
    data = orjson.dumps(submission()).replace(b'"riskScore":150.0', b'"riskScore":1' + b"0" * 400)
    assert isinstance(parse_submission(data), Fault)
