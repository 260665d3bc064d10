from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.mobile.events.filter import Submission, filter_submission, submission_uuid
from pipelines.domains.mobile.faults import Fault
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines_tests.domains.mobile.events.submissions import (
    ABSENT,
    AUTHORITY,
    DISTRICT,
    EVENTS,
    IDENTIFIER,
    MERGED,
    METADATA,
    changed,
    submission,
)

MAPPING = PrivacyMapping.parse(
    b'"Postcode_District_LAD_ID","LAD20CD","Merged_Postcode_District"\n'
    b'"AL2_E07000098","E07000098","AL2_AL4_WD7"\n'
    b'"AB13_","-","AB13_AB14"\n'
)


def filtered(whole: dict[str, Any]) -> Submission:
    made = filter_submission(orjson.dumps(whole), MAPPING, IDENTIFIER)
    assert isinstance(made, Submission)
    return made


def test_a_submission_leaves_as_the_contract_says_with_its_place_mapped_and_our_identifier() -> None:
    made = filtered(submission(*EVENTS))
    assert orjson.loads(made.body) == {
        "metadata": METADATA | {"postalDistrict": MERGED, "localAuthority": AUTHORITY},
        "events": EVENTS,
        "uuid": IDENTIFIER,
    }
    assert (made.events, made.unknown, made.dropped) == (5, False, 0)


@pytest.mark.parametrize(
    ("district", "authority", "place", "unknown"),
    [
        ("AB13", ABSENT, ("AB13_AB14", None), False),
        ("AB13", "Houston", ("AB13_AB14", None), False),
        ("a1", ABSENT, ("UNKNOWN", "UNKNOWN"), True),
        (MERGED, AUTHORITY, ("UNKNOWN", "UNKNOWN"), True),
    ],
)
def test_the_authority_always_stands_there_and_is_null_for_a_district_alone(
    district: str, authority: Any, place: tuple[str, str | None], unknown: bool
) -> None:
    whole = changed("metadata.localAuthority", authority)
    whole["metadata"]["postalDistrict"] = district
    made = filtered(whole)
    metadata = orjson.loads(made.body)["metadata"]
    assert (metadata["postalDistrict"], metadata["localAuthority"]) == place
    assert made.unknown is unknown


def test_what_the_contract_does_not_name_is_dropped_and_counted_at_every_depth() -> None:
    """The reference passes a device's owner on to the other side if an app sends one."""
    whole = submission(EVENTS[-1])
    expected = filtered(whole).body
    extra = {"owner": "Q7-canary", "nested": {"deep": ["Q7-canary"]}}
    scans = [scan | extra for scan in EVENTS[-1]["payload"]["scanInstances"]]
    event = EVENTS[-1] | {"payload": EVENTS[-1]["payload"] | extra | {"scanInstances": scans}} | extra
    made = filtered({"metadata": METADATA | extra, "events": [event], "uuid": "Q7-canary"} | extra)
    assert made.body == expected
    assert made.dropped == 2 + 2 + 2 + 2 * 2 + 3


def test_a_key_of_another_version_is_dropped() -> None:
    """What version 1 does not have is not sent as version 1."""
    event = EVENTS[0] | {"payload": EVENTS[-1]["payload"]}
    made = filtered(submission(event))
    assert orjson.loads(made.body)["events"] == EVENTS[:1]
    assert made.dropped == 3


def test_a_submission_without_events_leaves_as_the_reference_lets_it() -> None:
    made = filtered({"metadata": METADATA, "events": []})
    assert orjson.loads(made.body)["events"] == []
    assert made.events == 0


def test_a_fault_is_told_instead() -> None:
    assert isinstance(filter_submission(b"{}", MAPPING, IDENTIFIER), Fault)


def test_the_identifier_follows_from_the_landed_file_alone() -> None:
    """One that followed from the content could be looked up by whoever guesses the content."""
    known = submission_uuid("mobile/events/2026/03/01/12/a.json", "etag 5", 0)
    assert known == submission_uuid("mobile/events/2026/03/01/12/a.json", "etag 5", 0)
    assert str(uuid.UUID(known)) == known
    others = [("b.json", "etag 5", 0), ("a.json", "etag 6", 0), ("a.json", "etag 5", 1)]
    assert len({submission_uuid(*other) for other in others} | {known}) == 4


texts = st.text(max_size=8)
junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 53), 1 << 53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(
    district=st.sampled_from(["AL2", "AB13", "ZZ9Q", "", "AL2_AL4_WD7"]) | texts,
    authority=st.sampled_from(["E07000098", "", "Houston"]) | texts,
    extras=st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name not in METADATA), junk, max_size=4),
)
def test_nothing_but_a_target_of_the_mapping_ever_leaves(district: str, authority: str, extras: dict[str, Any]) -> None:
    whole = submission(EVENTS[1])
    whole["metadata"] = extras | METADATA | {"postalDistrict": district, "localAuthority": authority}
    made = filtered(whole)
    metadata = orjson.loads(made.body)["metadata"]
    assert (metadata["postalDistrict"], metadata["localAuthority"]) in MAPPING.targets
    assert metadata.keys() == METADATA.keys()
    assert made.dropped == len(extras)


@given(value=junk)
def test_no_value_whatever_breaks_the_filter(value: Any) -> None:
    for path in (
        "metadata",
        "events",
        "events.0",
        "events.0.payload",
        "events.0.payload.scanInstances",
        "events.0.type",
    ):
        made = filter_submission(orjson.dumps(changed(path, value)), MAPPING, IDENTIFIER)
        assert isinstance(made, Fault | Submission)
    assert DISTRICT.encode() + b'"' not in filtered(submission()).body
