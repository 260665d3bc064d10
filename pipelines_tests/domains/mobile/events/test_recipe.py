"""Landed events through the whole of the filter: what becomes of each file, and what the hour's table then holds."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.periods import hour_key
from pipelines.core.work import Reason as Why
from pipelines.core.work import State
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.events.contract import SCHEMA
from pipelines.domains.mobile.events.filter import submission_uuid
from pipelines.domains.mobile.events.hourly import NotIntactError, make_hour
from pipelines.domains.mobile.events.recipe import HEAD_LENGTH, EventRecipe
from pipelines.domains.mobile.faults import Reason
from pipelines_tests.domains.mobile.events.submissions import ABSENT, EVENTS, changed, submission
from pipelines_tests.domains.mobile.stages import HOUR, LATER, NOW, OTHER, PAIRS, Stage

ARRIVED = int((HOUR + timedelta(minutes=3)).timestamp() * 1000)
NAME = f"{ARRIVED}_0dea3234.json"
KEY = hour_key(HOUR)
DISTRICT, AUTHORITY = next(pair for pair in PAIRS if pair[1])
CANARY = "Q7-canary"
LIMIT = 16 << 10


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage.open(tmp_path, EventRecipe(LIMIT))
    yield stage
    stage.ledger.close()


def good(*events: dict[str, Any]) -> bytes:
    return orjson.dumps(submission(*events, postalDistrict=DISTRICT, localAuthority=AUTHORITY))


def test_a_submission_becomes_one_verified_object_under_the_name_it_is_exported_as(stage: Stage) -> None:
    stage.land(NAME, good(*EVENTS))
    stage.run()
    item = stage.item(NAME)
    (release,) = stage.released()
    identifier = uuid.UUID(release.name.partition("_")[2].removesuffix(".json"))
    assert release.name == f"{ARRIVED}_{identifier}.json"
    assert item.detail["output"] == f"mobile/events/date=2026-03-01/hour=12/{release.name}"
    body = stage.lake.get(item.detail["output"])
    assert orjson.loads(body)["uuid"] == submission_uuid(item.name, item.version, 0)
    assert len(orjson.loads(body)["events"]) == item.detail["events"] == 5
    assert release.detail["content_type"] == "application/json"
    assert (release.queue, release.parent, release.state) == ("aae/events", item.id, State.PENDING)


def test_a_name_without_a_moment_of_arrival_is_exported_as_of_the_start_of_its_hour(stage: Stage) -> None:
    stage.land("x.json", good())
    stage.run()
    (release,) = stage.released()
    assert release.name.startswith(f"{int(HOUR.timestamp() * 1000)}_")


def test_names_that_persons_chose_do_not_leave(stage: Stage) -> None:
    stage.land(f"{ARRIVED}_{CANARY}.json", good())
    stage.land(f"{CANARY}.json", good())
    stage.run()
    assert len({one.name for one in stage.released()}) == 2
    assert not any(CANARY in one.name or CANARY in one.detail["key"] for one in stage.released())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", ("", Reason.NOT_JSON)),
        (orjson.dumps(changed("events.0.payload.riskScore", CANARY)), ("riskScore", Reason.WRONG_TYPE)),
        (orjson.dumps(changed("events.0.type", CANARY)), ("type", Reason.UNKNOWN_TYPE)),
        (orjson.dumps(changed("metadata.postalDistrict", ABSENT)), ("postalDistrict", Reason.MISSING)),
        (good()[:-1] + b"\xff}", ("", Reason.NOT_UTF8)),
        (good().replace(b"{", b"{" + b" " * LIMIT, 1), ("", Reason.TOO_LONG)),
    ],
)
def test_a_bad_submission_goes_to_quarantine_with_its_reason_and_stops_nothing(
    stage: Stage, content: bytes, fault: tuple[str, Reason]
) -> None:
    stage.land("bad.json", content)
    stage.land(NAME, good())
    stage.run()
    assert [stage.item(name).state for name in ("bad.json", NAME)] == [State.SETTLED] * 2
    (reject,) = stage.rejects("bad.json")
    assert (reject["field"] or "", reject["reason"]) == fault
    assert reject["length"] == len(content)
    detail = stage.item("bad.json").detail
    assert (detail["read"], detail["written"], detail["rejected"]) == (1, 0, {str(fault[1]): 1})
    assert len(stage.released()) == 1
    assert CANARY not in str(detail)


def test_of_a_submission_that_is_too_long_only_its_head_is_kept(tmp_path: Path) -> None:
    stage = Stage.open(tmp_path, EventRecipe(2 * HEAD_LENGTH))
    content = b"[" + b"1," * HEAD_LENGTH + b"1]"
    stage.land("huge.json", content)
    stage.run()
    (reject,) = stage.rejects("huge.json")
    assert (len(reject["record"]), reject["length"]) == (HEAD_LENGTH, len(content))
    stage.ledger.close()


def test_a_submission_of_exactly_the_longest_length_is_read(stage: Stage) -> None:
    body = good()
    stage.land(NAME, body + b" " * (LIMIT - len(body)))
    stage.land("over.json", body + b" " * (LIMIT + 1 - len(body)))
    stage.run()
    assert stage.item(NAME).detail["written"] == 1
    assert stage.item("over.json").detail["rejected"] == {"too long": 1}


def test_doing_it_again_gives_the_same_bytes_and_a_rewritten_file_another_identifier(stage: Stage) -> None:
    stage.land(NAME, good())
    stage.run()
    before = stage.lake.get(stage.item(NAME).detail["output"])
    stage.ledger.reopen([stage.item(NAME).id], NOW, Why.NOT_INTACT)
    stage.work(LATER)
    assert stage.lake.get(stage.item(NAME).detail["output"]) == before
    stage.land(NAME, good(EVENTS[1]))
    stage.run(LATER)
    after = orjson.loads(stage.lake.get(stage.item(NAME).detail["output"]))
    assert after["uuid"] != orjson.loads(before)["uuid"]
    assert {one.name for one in stage.released()} == {stage.released()[0].name}


def test_the_table_of_an_hour_holds_every_event_of_its_settled_submissions(stage: Stage) -> None:
    for number, events in enumerate((EVENTS, EVENTS[:1], [])):
        whole = submission(postalDistrict=DISTRICT, localAuthority=AUTHORITY) | {"events": list(events)}
        stage.land(f"{ARRIVED + number}_a.json", orjson.dumps(whole))
    stage.land("bad.json", b"{}")
    stage.run()
    facts = make_hour(stage.lake, stage.ledger, KEY)
    table = pq.read_table(stage.root / "lake" / facts["output"], partitioning=None)
    assert facts["output"] == "mobile/events_table/date=2026-03-01/hour=12/events_table.parquet"
    assert table.schema.equals(SCHEMA)
    assert (facts["rows"], facts["files"], table.num_rows) == (6, 3, 6)
    assert facts["bytes"] == (stage.root / "lake" / facts["output"]).stat().st_size
    assert table["uuid"].value_counts().field("counts").to_pylist() == [5, 1]
    assert make_hour(stage.lake, stage.ledger, KEY) == facts


def test_the_table_of_an_hour_without_events_is_there_and_empty(stage: Stage) -> None:
    facts = make_hour(stage.lake, stage.ledger, KEY)
    assert pq.read_table(stage.root / "lake" / facts["output"], partitioning=None).num_rows == 0


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [Path.unlink, _truncate])
def test_a_submission_that_is_not_intact_stops_the_table_and_leaves_it_as_it_was(
    stage: Stage, damage: Callable[[Path], None]
) -> None:
    stage.land(NAME, good())
    stage.run()
    before = make_hour(stage.lake, stage.ledger, KEY)
    stage.land("later.json", good())
    stage.run()
    damage(stage.root / "lake" / stage.item(NAME).detail["output"])
    with pytest.raises(NotIntactError):
        make_hour(stage.lake, stage.ledger, KEY)
    assert pq.read_metadata(stage.root / "lake" / before["output"]).num_rows == before["rows"]


def test_every_settled_or_dead_file_asks_for_its_hours_table_once(stage: Stage) -> None:
    for number in range(3):
        stage.land(f"{ARRIVED + number}_a.json", good())
    stage.run()
    requests = list(stage.ledger.items("mobile/events_table"))
    assert [(one.name, one.partition, one.state) for one in requests] == [(KEY, KEY, State.PENDING)]


def test_a_file_that_comes_while_the_table_is_made_asks_for_it_again(stage: Stage) -> None:
    """The run that holds the request may have looked already."""
    stage.land(NAME, good())
    stage.run()
    stage.ledger.claim("mobile/events_table", owner="run", limit=1, now=utc_now(), lease=timedelta(seconds=90))
    stage.land("later.json", good())
    stage.run()
    states = [one.state for one in stage.ledger.items("mobile/events_table")]
    assert sorted(states) == [State.CLAIMED, State.PENDING]


def test_what_waits_is_made_again_under_a_new_mapping_and_what_left_keeps_its_own(stage: Stage) -> None:
    stage.land(NAME, good())
    stage.run()
    stage.deliver()
    stage.land("waits.json", good())
    stage.run()
    other = stage.under(OTHER)
    other.work(LATER)
    assert stage.item(NAME).detail["mapping"] == stage.mapping.sha256
    assert stage.item("waits.json").detail["mapping"] == OTHER.sha256


def test_events_and_packages_never_share_a_name_or_a_queue() -> None:
    names = {feed.queue for feed in feeds.FEEDS.values()} | {feed.exports for feed in feeds.FEEDS.values()}
    assert len(names) == 4
