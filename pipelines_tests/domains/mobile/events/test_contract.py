from __future__ import annotations

import json
from pathlib import Path

from pipelines.domains.mobile.events.contract import PAYLOADS, SCHEMA

RELEASED = """type string
version int32
riskscore double
riskcalculationversion int32
infectiousness string
isconsideredrisky bool
scaninstances list<item: struct<secondssincelastscan: int32, minimumattenuation: int32, typicalattenuation: int32>>
date string
operatingsystemversion string
localauthority string
latestapplicationversion string
devicemodel string
postaldistrict string
uuid string""".splitlines()


def test_released_columns_keep_their_place_name_and_type() -> None:
    """Readers rely on it. A new column is appended to the table, and to this list once it is released."""
    today = [f"{field.name} {field.type}" for field in SCHEMA]
    assert today[: len(RELEASED)] == RELEASED


def test_columns_are_those_of_the_reference_in_its_order(reference_data: Path) -> None:
    reference = json.loads((reference_data / "mobile" / "glue_fields.json").read_text())["mobile_events_analytics"]
    assert SCHEMA.names == [name.lower() for name in reference]
    scans = [
        part.partition(":")[0].lower() for part in reference["scanInstances"][len("array<struct<") : -2].split(",")
    ]
    assert [field.name for field in SCHEMA.field("scaninstances").type.value_type] == scans


def test_every_type_and_version_holds_what_the_one_before_it_does() -> None:
    names = {kind: {key.name for key in keys} for kind, keys in PAYLOADS.items()}
    assert sorted(names) == [
        ("exposureWindow", 1),
        ("exposureWindow", 2),
        ("exposureWindowPositiveTest", 1),
        ("exposureWindowPositiveTest", 2),
        ("exposureWindowPositiveTest", 3),
    ]
    for (kind, version), keys in names.items():
        assert keys >= names.get((kind, version - 1), set())
    assert names["exposureWindow", 2] - names["exposureWindow", 1] == {"isConsideredRisky"}
    assert names["exposureWindowPositiveTest", 3] - names["exposureWindow", 2] == {
        "testType",
        "requiresConfirmatoryTest",
    }
