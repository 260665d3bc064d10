"""The whole flow, as a user has it: uploads land, sensors notice, runs filter and deliver, everything is recorded."""

import gzip
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import State
from pipelines.domains.mobile import files
from pipelines.domains.mobile.feeds import FEEDS
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.environment import Environment
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.addresses import sandbox_running
from pipelines.sandbox.landing import land_samples
from pipelines.sandbox.uploads import UploadFile
from pipelines.settle import FAILED, REMAINS, SETTLED, recorded_partitions, settle, verdict

CANARIES = [f"ZZ9Q-canary-{number}" for number in range(12)]
"""Texts that stand where personal values may: districts no mapping knows, unknown keys, inside broken records."""


@pytest.fixture
def sandbox(environment: Environment) -> Iterator[Aae]:
    with sandbox_running(environment.sandbox, utc_now()) as aae:
        yield aae


@pytest.fixture
def ledger(environment: Environment) -> Iterator[Ledger]:
    with closing(open_ledger(environment.ledger)) as opened:
        yield opened


def land(environment: Environment, packages: int = 400, hours: int = 6, events: int = 0) -> list[UploadFile]:
    mapping = PrivacyMapping.parse(files.read_mapping("").raw)
    pairs = [(entry.district, entry.authority) for entry in mapping.entries]
    return land_samples(
        environment.landing, pairs, utc_now(), hours=hours, packages=packages, events=events, canaries=CANARIES
    )


def test_what_lands_is_filtered_and_delivered_and_every_record_is_accounted_for(
    environment: Environment, sandbox: Aae, ledger: Ledger
) -> None:
    landed = land(environment, events=60)
    assert all(ran.success for ran in settle(environment))
    assert verdict(ledger)[1] == SETTLED
    outputs = [file for file in landed if file.good]
    for feed in FEEDS.values():
        filtered = list(ledger.items(feed.queue))
        assert {item.state for item in filtered} == {State.SETTLED}
        by_name = {item.name: item.detail for item in filtered}
        of_feed = [file for file in landed if file.feed == feed.queue]
        assert set(by_name) == {file.key for file in of_feed}
        for file in of_feed:
            assert by_name[file.key]["written"] == file.good, file.key
            assert sum(by_name[file.key]["rejected"].values()) == len(file.bad), file.key
        hours = {item.partition for item in filtered}
        assert recorded_partitions(environment, feed.queue) == len(hours)
        assert recorded_partitions(environment, feed.exports) == len(
            {item.partition for item in ledger.items(feed.exports)}
        )
    delivered = Counter(one.name for one in sandbox.received() if one.kept)
    assert len(delivered) == len(outputs)
    assert set(delivered.values()) == {1}


def test_the_table_and_the_receipts_hold_all_that_was_done(
    environment: Environment, sandbox: Aae, ledger: Ledger
) -> None:
    landed = land(environment, packages=100, hours=3, events=40)
    list(settle(environment))
    lake = environment.home / "lake"
    rows = [
        row for path in (lake / "mobile/events_table").rglob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    assert len(rows) == sum(item.detail["events"] for item in ledger.items("mobile/events")) > 0
    receipts = [row for path in (lake / "aae/receipts").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    told = {row["name"]: row for row in receipts if row["name"]}
    assert set(told) == {one.name for one in sandbox.received()}
    assert {row["sha256"] for row in told.values()} == {one.sha256 for one in sandbox.received()}
    assert {row["state"] for row in told.values()} == {"settled"}
    assert {row["landed_key"] for row in receipts} == {file.key for file in landed}


def test_aae_has_the_very_bytes_of_the_lake_with_type_and_key(
    environment: Environment, sandbox: Aae, ledger: Ledger
) -> None:
    land(environment, packages=50, hours=2, events=20)
    list(settle(environment))
    lake = Path(environment.home / "lake")
    for queue, content_type, query in (
        ("aae/packages", "application/octet-stream", {}),
        ("aae/events", "application/json", {"feedName": "Epidemiological"}),
    ):
        sent = list(ledger.items(queue))
        assert sent
        names = {item.detail["name"] for item in sent}
        for item in sent:
            assert (sandbox.folder / "objects" / item.detail["name"]).read_bytes() == (
                lake / item.detail["key"]
            ).read_bytes()
        received = [one for one in sandbox.received() if one.name in names]
        assert {one.content_type for one in received} == {content_type}
        assert [one.query for one in received] == [query] * len(sent)


def test_nothing_planted_is_found_outside_landing(environment: Environment, sandbox: Aae) -> None:
    """Districts that no mapping knows, values of unknown keys, broken records: all of it stays where it landed."""
    land(environment, events=60)
    sandbox.behave(Behaviour(status=500, times=3))  # failures write reasons, too
    list(settle(environment))
    landing = environment.home / "landing"
    searched = 0
    for path in environment.home.rglob("*"):
        if path.is_file() and not path.is_relative_to(landing):
            searched += 1
            for text in contents(path):
                assert not [canary for canary in CANARIES if canary.encode() in text], path
                assert b"ZZ9Q" not in text, path
            assert "ZZ9Q" not in str(path)
    assert searched > 50
    landed = b"".join(text for path in landing.rglob("*") if path.is_file() for text in contents(path))
    assert [canary for canary in CANARIES if canary.encode() not in landed] == []  # they were there to be found


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what it unpacks to."""
    raw = path.read_bytes()
    yield raw
    if raw.startswith(b"PAR1"):
        file = pq.ParquetFile(path)
        yield str(file.schema_arrow.metadata).encode()
        yield orjson.dumps(file.read().to_pylist(), default=str)
    if raw.startswith(b"\x1f\x8b"):
        yield gzip.decompress(raw)


def test_settling_again_finds_nothing_to_do(environment: Environment, sandbox: Aae) -> None:
    land(environment, packages=50, hours=2)
    assert list(settle(environment))
    received = len(sandbox.received())
    assert list(settle(environment)) == []
    assert len(sandbox.received()) == received


def test_what_waits_and_what_is_dead_shows_in_the_verdict(
    environment: Environment, sandbox: Aae, ledger: Ledger
) -> None:
    land(environment, packages=50, hours=2)
    sandbox.behave(Behaviour(status=429, retry_after="3600"))
    list(settle(environment))
    assert verdict(ledger)[1] == REMAINS
    sandbox.behave(Behaviour(status=400))
    assert {item.reason for item in ledger.items("aae/packages")} >= {"asked to wait"}


def test_a_refused_object_is_a_dead_letter_and_the_run_says_so(
    environment: Environment, sandbox: Aae, ledger: Ledger
) -> None:
    landed = [file for file in land(environment, packages=50, hours=2) if file.good]
    refused = landed[0].key.rsplit("/", 1)[-1]
    sandbox.behave(Behaviour(status=400, names=f"*{refused}*"))
    ran = list(settle(environment))
    assert [one.success for one in ran if one.job == "aae_deliver_packages"] == [False]
    rows, status = verdict(ledger)
    assert status == FAILED
    assert ["aae/packages", "dead", "refused", "1"] in [row[:4] for row in rows]
    assert len({one.name for one in sandbox.received() if one.kept}) == len(landed) - 1


def test_a_switched_off_feed_keeps_its_backlog(environment: Environment, sandbox: Aae, ledger: Ledger) -> None:
    off = Environment(home=environment.home, uploads_quiet_seconds=0, aae_packages_enabled=False)
    land(off, packages=50, hours=2)
    list(settle(off))
    assert list(settle(off)) == []  # what is due but held is waited for by nobody
    assert sandbox.received() == []
    waiting = [row for row in verdict(ledger)[0] if row[0] == "aae/packages"]
    assert {row[1] for row in waiting} == {"pending"}
    list(settle(environment))
    assert verdict(ledger)[1] == SETTLED


def test_files_that_come_later_into_an_hour_that_looked_done_are_taken_each_time(
    environment: Environment, sandbox: Aae, ledger: Ledger
) -> None:
    (first, *_) = land(environment, packages=50, hours=1)
    list(settle(environment))
    for name in ("second.jsonl", "third.jsonl"):
        source = environment.home / "landing" / first.key
        source.with_name(name).write_bytes(b"".join(record.raw + b"\n" for record in first.records()))
        assert all(ran.success for ran in settle(environment))
    delivered = {one.name for one in sandbox.received() if one.kept}
    assert {name for name in delivered if "second" in name or "third" in name} != set()
    assert verdict(ledger)[1] == SETTLED
    assert len(list(ledger.items("mobile/packages", states=[State.SETTLED]))) == len(delivered) + sum(
        item.detail["output"] is None for item in ledger.items("mobile/packages")
    )
