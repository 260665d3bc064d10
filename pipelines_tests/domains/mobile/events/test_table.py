from __future__ import annotations

import orjson
import pyarrow as pa

from pipelines.domains.mobile.events.contract import SCHEMA
from pipelines.domains.mobile.events.table import to_batches
from pipelines_tests.domains.mobile.events.submissions import EVENTS, IDENTIFIER, METADATA, WINDOW


def body(*events: object, authority: str | None = "E07000098") -> bytes:
    metadata = METADATA | {"postalDistrict": "AL2_AL4_WD7", "localAuthority": authority}
    return orjson.dumps({"metadata": metadata, "events": events, "uuid": IDENTIFIER})


def test_each_event_is_a_row_with_what_is_common_to_its_submission() -> None:
    (batch,) = to_batches([body(*EVENTS)])
    assert batch.schema == SCHEMA
    rows = batch.to_pylist()
    assert [(row["type"], row["version"]) for row in rows] == [(one["type"], one["version"]) for one in EVENTS]
    assert rows[1] == {
        "type": "exposureWindow",
        "version": 2,
        "riskscore": 150.0,
        "riskcalculationversion": 2,
        "infectiousness": "high",
        "isconsideredrisky": True,
        "scaninstances": [
            {"secondssincelastscan": 201, "minimumattenuation": 97, "typicalattenuation": 0},
            {"secondssincelastscan": 2, "minimumattenuation": 1, "typicalattenuation": 3},
        ],
        "date": "2020-08-24T21:59:00Z",
        "operatingsystemversion": "iPhone OS 13.5.1 (17F80)",
        "localauthority": "E07000098",
        "latestapplicationversion": "3.0",
        "devicemodel": "iPhone11,2",
        "postaldistrict": "AL2_AL4_WD7",
        "uuid": IDENTIFIER,
    }


def test_what_a_version_does_not_have_is_null() -> None:
    (batch,) = to_batches([body(EVENTS[0], authority=None)])
    (row,) = batch.to_pylist()
    assert row["isconsideredrisky"] is None
    assert row["localauthority"] is None


def test_a_whole_risk_score_is_a_number_like_any_other() -> None:
    """As integers too large for a double's digits are."""
    for score in (150, 0, -3, (1 << 62) + 1):
        (batch,) = to_batches([body(EVENTS[0] | {"payload": WINDOW | {"riskScore": score}})])
        assert batch["riskscore"].to_pylist() == [float(score)]


def test_rows_come_in_batches_of_a_bounded_size_and_in_order() -> None:
    bodies = (body(*[one | {"version": 1 + number % 2} for one in EVENTS[:2]]) for number in range(5))
    batches = list(to_batches(bodies, rows=4))
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
    assert pa.Table.from_batches(batches)["version"].to_pylist() == [1, 1, 2, 2, 1, 1, 2, 2, 1, 1]


def test_no_events_give_no_batch() -> None:
    assert list(to_batches([])) == []
    assert list(to_batches([body()])) == []
