"""The sample submissions of the sandbox, whose maker does not know the platform's contract, against the filter."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from pipelines.domains.mobile.events.contract import PAYLOADS
from pipelines.domains.mobile.events.filter import Submission, filter_submission
from pipelines.domains.mobile.events.verification import verify
from pipelines.domains.mobile.faults import Fault
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.sandbox.contents import EVENTS
from pipelines.sandbox.faults import BadKind
from pipelines.sandbox.uploads import submissions
from pipelines_tests.domains.mobile.events.submissions import IDENTIFIER

MAPPING = PrivacyMapping.parse(
    b'"Postcode_District_LAD_ID","LAD20CD","Merged_Postcode_District"\n'
    b'"AL2_E07000098","E07000098","AL2_AL4_WD7"\n'
    b'"AB13_","-","AB13_AB14"\n'
)
PAIRS = [(entry.district, entry.authority) for entry in MAPPING.entries]
HOUR = datetime(2026, 7, 2, 3, tzinfo=UTC)


def test_every_good_submission_leaves_and_is_verified() -> None:
    kinds: set[tuple[str, int]] = set()
    for record in submissions(3, 1_000, PAIRS, HOUR, bad_share=0):
        made = filter_submission(record.raw, MAPPING, IDENTIFIER)
        assert isinstance(made, Submission), record.raw
        sent, left = orjson.loads(record.raw), orjson.loads(made.body)
        verify(made.body, MAPPING.targets, len(sent["events"]))
        kinds |= {(event["type"], event["version"]) for event in left["events"]}
        for before, after in zip(sent["events"], left["events"], strict=True):
            known = {name for name in after["payload"] if name != "scanInstances"}
            assert {name: before["payload"][name] for name in known} == {n: after["payload"][n] for n in known}
    assert kinds == set(PAYLOADS)


@pytest.mark.parametrize("kind", EVENTS.kinds)
def test_every_bad_submission_is_told_as_a_fault(kind: BadKind) -> None:
    records = [one for one in submissions(5, 40 * len(EVENTS.kinds), PAIRS, HOUR, bad_share=1) if one.bad is kind]
    assert len(records) == 40
    taken = [one.raw for one in records if not isinstance(filter_submission(one.raw, MAPPING, IDENTIFIER), Fault)]
    assert taken == []


def test_no_planted_text_leaves() -> None:
    canaries = [f"ZZ9Q-canary-{number}" for number in range(10)]
    planted = [one for one in submissions(1, 100, PAIRS, HOUR, canaries=canaries) if one.canary]
    assert {one.canary for one in planted} == set(canaries)
    for record in planted:
        assert record.canary is not None
        assert record.canary.encode() in record.raw
        made = filter_submission(record.raw, MAPPING, IDENTIFIER)
        assert isinstance(made, Fault) == (record.bad is not None)
        assert record.canary not in (str(made) if isinstance(made, Fault) else made.body.decode())
