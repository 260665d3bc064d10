from __future__ import annotations

from typing import Any

import orjson
import pytest

from pipelines.domains.mobile.events.verification import verify
from pipelines.domains.mobile.landed import VerificationError
from pipelines_tests.domains.mobile.events.submissions import ABSENT, IDENTIFIER, changed

TARGETS = {("AL2_AL4_WD7", "E07000098"), ("AB13_AB14", None), ("UNKNOWN", "UNKNOWN")}


def body(
    path: str = "uuid", value: Any = IDENTIFIER, place: tuple[str, str | None] = ("AL2_AL4_WD7", "E07000098")
) -> bytes:
    whole = changed(path, value)
    if isinstance(whole.get("metadata"), dict) and not path.startswith("metadata"):
        whole["metadata"] |= {"postalDistrict": place[0], "localAuthority": place[1]}
    return orjson.dumps({"uuid": IDENTIFIER} | whole)


@pytest.mark.parametrize("place", sorted(TARGETS, key=str), ids=str)
def test_what_the_mapping_answers_passes(place: tuple[str, str | None]) -> None:
    verify(body(place=place), TARGETS, 1)


@pytest.mark.parametrize(
    "place", [("AL2", "E07000098"), ("AL2_AL4_WD7", None), ("AB13_AB14", "E07000098"), ("UNKNOWN", None)], ids=str
)
def test_a_place_that_the_mapping_never_answers_is_found(place: tuple[str, str | None]) -> None:
    with pytest.raises(VerificationError, match="a place that the mapping never answers"):
        verify(body(place=place), TARGETS, 1)


def test_a_lost_or_added_event_is_found() -> None:
    with pytest.raises(VerificationError, match="1 events are there, 2 were accepted"):
        verify(body(), TARGETS, 2)


@pytest.mark.parametrize(
    "path",
    ["owner", "metadata.owner", "events.0.owner", "events.0.payload.owner", "events.0.payload.scanInstances.0.owner"],
)
def test_a_key_that_the_contract_does_not_name_is_found(path: str) -> None:
    with pytest.raises(VerificationError, match="other keys than those of the contract"):
        verify(body(path, "Q7-canary"), TARGETS, 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("uuid", "x"),
        ("uuid", IDENTIFIER.upper().replace("0", "A")),
        ("uuid", None),
        ("metadata", None),
        ("metadata.deviceModel", ABSENT),
        ("events", None),
        ("events.0", 5),
        ("events.0.version", 9),
        ("events.0.payload.scanInstances", None),
        ("events.0.payload.scanInstances.0", 5),
        ("events.0.payload.date", "yesterday"),
        ("events.0.payload.riskScore", None),
    ],
)
def test_what_is_not_of_the_contract_is_found_without_repeating_it(path: str, value: Any) -> None:
    with pytest.raises(VerificationError) as found:
        verify(body(path, value), TARGETS, 1)
    assert "yesterday" not in str(found.value)
    assert found.value.__cause__ is None


def test_what_is_no_json_is_found() -> None:
    with pytest.raises(VerificationError, match="not of the contract's form"):
        verify(b"{", TARGETS, 1)
