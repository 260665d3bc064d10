"""Landed files that are not as they should be, from landing to lake, quarantine and release."""

from __future__ import annotations

import base64
import gzip
import os
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.adapters.objects import ObjectInfo, ObjectsUnavailable
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Reason, State
from pipelines.domains.mobile import accepted
from pipelines.domains.mobile.landed import Content
from pipelines.domains.mobile.mapping import Place, PrivacyMapping
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines_tests.domains.mobile.stages import (
    EVERYTHING,
    LATER,
    LEASE,
    MAPPING,
    NOW,
    OTHER,
    RECIPE,
    Stage,
    lines,
    mapping_of,
    packed,
    text,
)

GOOD = lines(40)
MARKED = b"ZZ9Q"
"""A district that no mapping knows, so that wherever it shows it leaked."""


def spoil(record: bytes, name: str, value: bytes) -> bytes:
    """The record with another value of a key, as raw text."""
    before, found, after = record.partition(b'"%b":' % name.encode())
    assert found
    ends = [at for at in (after.find(b","), after.find(b"}")) if at >= 0]
    return before + found + value + after[min(ends) :]


# Streams


def test_of_a_truncated_gzip_the_good_lines_go_on_and_the_file_is_marked_broken(stage: Stage) -> None:
    whole = packed(GOOD)
    stage.land("a.jsonl.gz", whole[: len(whole) // 2])
    stage.run()
    item = stage.item("a.jsonl.gz")
    assert item.state is State.SETTLED
    assert item.detail["broken"] is True
    assert 0 < item.detail["written"] == stage.table("a.jsonl.gz").num_rows < len(GOOD)
    assert item.detail["rejected"] == {}, "the torn last line is the file's fault, not a record's"
    assert len(stage.released()) == 1


def test_of_a_gzip_with_damage_inside_what_stands_before_it_goes_on(stage: Stage) -> None:
    stage.land("a.json.gz", packed(GOOD[:10]) + b"no gzip at all")
    stage.run()
    assert stage.item("a.json.gz").detail["broken"] is True
    assert stage.table("a.json.gz").num_rows == 10


def test_what_is_called_gzip_and_is_none_settles_as_broken_with_no_output(stage: Stage) -> None:
    stage.land("a.json.gz", text(GOOD))
    stage.run()
    item = stage.item("a.json.gz")
    assert (item.state, item.detail["broken"], item.detail["output"]) == (State.SETTLED, True, None)
    assert stage.released() == []


@pytest.mark.parametrize("content", [b"", b"\n\n \r\n"])
def test_an_empty_file_settles_with_no_output_and_nothing_released(stage: Stage, content: bytes) -> None:
    stage.land("a.json", content)
    stage.land("b.json.gz", gzip.compress(content))
    stage.run()
    for name in ("a.json", "b.json.gz"):
        item = stage.item(name)
        assert (item.state, item.detail["read"], item.detail["output"]) == (State.SETTLED, 0, None)
        assert not stage.output(name).exists()
        assert not stage.quarantine(name).exists()
    assert stage.released() == []


def test_a_byte_order_mark_costs_no_record(stage: Stage) -> None:
    stage.land("a.json", b"\xef\xbb\xbf" + text(GOOD))
    stage.run()
    assert stage.item("a.json").detail["written"] == len(GOOD)


def test_a_line_of_100_megabytes_leaves_its_head_in_quarantine_and_takes_no_memory_of_its_size(stage: Stage) -> None:
    path = stage.land("a.json", text(GOOD[:1]))
    with path.open("ab") as file:
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + GOOD[1])
    tracemalloc.start()
    stage.run()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert stage.item("a.json").detail["written"] == 2
    (reject,) = stage.rejects("a.json")
    assert (reject["line"], reject["reason"], reject["length"]) == (2, "too long", 100 << 20)
    assert len(reject["record"]) == 64 << 10
    assert peak < 30 << 20


# Records


REJECTED: Mapping[str, tuple[Callable[[bytes], bytes], str | None, str]] = {
    "not UTF-8": (lambda record: record.replace(b'"deviceModel":"', b'"deviceModel":"\xe9'), None, "not UTF-8"),
    "duplicate key": (
        lambda record: record.replace(b'"metadata":{', b'"metadata":{"deviceModel":"",'),
        "deviceModel",
        "duplicate key",
    ),
    "NaN": (lambda record: spoil(record, "totalBackgroundTasks", b"NaN"), None, "not JSON"),
    "beyond 64 bits": (
        lambda record: spoil(record, "cumulativeDownloadBytes", b"%d" % 2**70),
        "cumulativeDownloadBytes",
        "out of range",
    ),
    "null metadata": (lambda record: spoil(record, "deviceModel", b"null"), "deviceModel", "null"),
    "no object": (lambda record: b"[" + record + b"]", None, "not an object"),
    "cut": (lambda record: record[:100], None, "not JSON"),
}


@pytest.mark.parametrize("kind", REJECTED)
def test_a_bad_record_goes_to_quarantine_with_its_line_field_reason_and_text(stage: Stage, kind: str) -> None:
    change, field, reason = REJECTED[kind]
    bad = change(GOOD[2])
    stage.land("a.json", text([*GOOD[:2], bad, *GOOD[3:]]))
    stage.run()
    (reject,) = stage.rejects("a.json")
    raw = base64.b64decode(reject["record_base64"]) if "record_base64" in reject else reject["record"].encode()
    assert (reject["line"], reject["field"], reject["reason"], raw) == (3, field, reason, bad)
    assert stage.item("a.json").detail["rejected"] == {reason: 1}
    assert stage.table("a.json").num_rows == len(GOOD) - 1


def test_a_file_without_one_good_record_has_a_quarantine_and_nothing_else(stage: Stage) -> None:
    stage.land("a.json", b"{}\n[]\n")
    stage.run()
    item = stage.item("a.json")
    assert (item.state, item.detail["output"], len(stage.rejects("a.json"))) == (State.SETTLED, None, 2)
    assert not stage.output("a.json").exists()
    assert stage.released() == []


def test_an_unknown_district_is_published_as_unknown_and_counted(stage: Stage) -> None:
    stage.land("a.json", text([spoil(GOOD[0], "postalDistrict", b'"%b"' % MARKED), *GOOD[1:]]))
    stage.run()
    assert stage.table("a.json")["postaldistrict"][0].as_py() == "UNKNOWN"
    assert stage.item("a.json").detail["unknown"] == stage.table("a.json")["postaldistrict"].to_pylist().count(
        "UNKNOWN"
    )


def test_nothing_raw_stands_in_lake_or_ledger(stage: Stage) -> None:
    """Neither a raw district, nor a key that no contract knows, nor anything of a rejected record."""
    record = spoil(GOOD[0], "postalDistrict", b'"%b"' % MARKED)
    unknown_key = record.replace(b'"metadata":{', b'"metadata":{"%b":"%b",' % (MARKED, MARKED))
    twice = record.replace(b'"metadata":{', b'"metadata":{"%b":1,"%b":1,' % (MARKED, MARKED))
    stage.land("a.json", text([record, unknown_key, twice, record[:-30], spoil(record, "deviceModel", b"1")]))
    stage.run()
    assert stage.item("a.json").detail["written"] == 2
    assert stage.quarantine("a.json").read_bytes().count(MARKED) >= 3
    stored = [*stage.root.glob("lake/**/*"), *stage.root.glob("ledger.db*")]
    assert [path for path in stored if path.is_file() and MARKED in path.read_bytes()] == []
    assert stage.output("a.json") in stored


# What keeps a file from being filtered at all


def test_a_file_that_is_gone_is_dead_with_that_reason_and_the_others_go_on(stage: Stage) -> None:
    gone = stage.land("a.json", text(GOOD))
    stage.land("b.json", text(GOOD))
    stage.take_in()
    gone.unlink()
    stage.work()
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.DEAD, Reason.GONE)
    assert stage.item("b.json").state is State.SETTLED


class Rewritten(FileObjects):
    """A landing in which each file is rewritten, in place, after its first chunk was read."""

    content = b""

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        for chunk in super().stream(key, etag=etag):
            yield chunk
            path = self._path(key)
            path.write_bytes(self.content)
            os.utime(path, ns=(0, NOW_NS))


NOW_NS = int(NOW.timestamp() * 1e9)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("a.json", text(GOOD), text(GOOD[:3])),
        ("a.json.gz", packed(GOOD), packed(GOOD[:3])),
        ("a.json.gz", b"no gzip at all", packed(GOOD[:3])),
    ],
)
def test_a_file_that_is_rewritten_while_it_is_read_makes_way_for_its_next_version(
    stage: Stage, name: str, first: bytes, second: bytes
) -> None:
    """Half of one version and half of another look like damage, too: only the end of the stream can tell."""
    stage.land(name, first)
    stage.take_in()
    landing = Rewritten(stage.landing.url, stage.root / "landing")
    landing.content = second
    replace(stage, landing=landing).work()
    assert (stage.item(name).state, stage.item(name).reason) == (State.SUPERSEDED, Reason.CHANGED)
    assert not stage.output(name).exists()
    assert stage.released() == []
    stage.run()
    assert [one.state for one in stage.items(name)] == [State.SUPERSEDED, State.SETTLED]
    assert stage.table(name).num_rows == 3
    assert len(stage.released()) == 1


class Unreachable(FileObjects):
    def head(self, key: str) -> ObjectInfo:
        raise ObjectsUnavailable(key)

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        raise ObjectsUnavailable(key)


def test_a_store_that_cannot_be_read_is_asked_again_for_as_long_as_that_lasts(stage: Stage) -> None:
    """The store is out of order, not the file: an outage, however long, must not cost a file."""
    stage.land("a.json", text(GOOD))
    stage.take_in()
    away = replace(stage, landing=Unreachable(stage.landing.url, stage.root), policy=RetryPolicy(attempts=2))
    away.work()
    item = stage.item("a.json")
    assert (item.state, item.reason, item.attempts) == (State.PENDING, Reason.UNREADABLE, 0)
    assert item.due_at > NOW
    assert away.work() == [], "it is not due yet"
    pauses = [item.due_at - NOW]
    for _ in range(4):
        before = stage.item("a.json").due_at
        away.work(before)
        pauses.append(stage.item("a.json").due_at - before)
    assert pauses == [away.policy.pause(number, 0.0) for number in range(1, 6)]
    item = stage.item("a.json")
    assert (item.state, item.reason, item.attempts) == (State.PENDING, Reason.UNREADABLE, 0)
    stage.work(item.due_at)
    assert stage.item("a.json").state is State.SETTLED


class Broken(PackageRecipe):
    """A recipe with an error of our own."""

    def make(self, *_: object) -> Content:
        raise ZeroDivisionError


@pytest.mark.parametrize("fault", ["a run that died", "an error of our own"])
def test_after_an_outage_a_file_has_all_its_attempts_left_and_no_more(stage: Stage, fault: str) -> None:
    stage.land("a.json", text(GOOD))
    stage.take_in()
    policy = RetryPolicy(attempts=2)
    away = replace(stage, landing=Unreachable(stage.landing.url, stage.root), policy=policy)
    now = NOW
    for _ in range(3):
        away.work(now)
        now = stage.item("a.json").due_at
    reason = Reason.CRASHED if fault == "a run that died" else Reason.INTERNAL
    for number in range(2):
        if reason is Reason.CRASHED:
            claimed = stage.ledger.claim(
                stage.feed.queue, owner="dead", limit=1, now=now, lease=LEASE, span=EVERYTHING, crash_counts=True
            )
            assert len(claimed) == 1
            now += 2 * LEASE
        else:
            replace(stage, policy=policy, recipe=Broken(RECIPE.record_bytes)).work(now)
            now = max(now, stage.item("a.json").due_at)
            assert stage.item("a.json").state is (State.DEAD if number else State.PENDING)
    replace(stage, policy=policy).work(now)
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.DEAD, reason)


def test_a_lake_that_cannot_be_read_costs_no_file_whose_raw_is_gone_either(stage: Stage) -> None:
    """Whether what was made of it is intact can't be told: that is no error of the file."""
    path = stage.land("a.json", text(GOOD))
    stage.run()
    path.unlink()
    stage.ledger.reopen([stage.item("a.json").id], LATER, Reason.NOT_INTACT)
    away = replace(stage, lake=Unstreamed(stage.lake.url, stage.root / "lake"), policy=RetryPolicy(attempts=2))
    for _ in range(4):
        away.work(max(LATER, stage.item("a.json").due_at))
        item = stage.item("a.json")
        assert (item.state, item.reason) == (State.PENDING, Reason.UNREADABLE)
    stage.work(item.due_at)
    assert stage.item("a.json").state is State.SETTLED


class Unstreamed(FileObjects):
    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        raise ObjectsUnavailable(key)


class Leaking(PrivacyMapping):
    """A mapping that gives back what it was asked."""

    def lookup(self, district: str, authority: str | None) -> Place:
        return district, authority


def test_what_does_not_pass_its_verification_is_neither_published_nor_released(stage: Stage) -> None:
    stage.land("a.json", text([spoil(GOOD[0], "postalDistrict", b'"%b"' % MARKED)]))
    replace(stage, mapping=Leaking(MAPPING.entries, MAPPING.sha256)).run()
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.PENDING, Reason.UNVERIFIED)
    assert not stage.output("a.json").exists()
    assert stage.released() == []


# Versions of one file


def test_a_file_rewritten_after_it_was_filtered_is_filtered_anew_in_the_same_place(stage: Stage) -> None:
    stage.land("a.json", text([*GOOD, b"{}"]))
    stage.run()
    assert stage.quarantine("a.json").exists()
    stage.land("a.json", text(GOOD[:7]))
    stage.run()
    assert [one.state for one in stage.items("a.json")] == [State.SUPERSEDED, State.SETTLED]
    assert stage.table("a.json").num_rows == 7
    assert not stage.quarantine("a.json").exists(), "the older version's rejects are not those of the newer one"
    assert [one.state for one in stage.released()] == [State.SUPERSEDED, State.PENDING]
    assert stage.released()[-1].version == stage.item("a.json").detail["sha256"]


def test_a_file_rewritten_to_nothing_leaves_no_output_and_takes_its_waiting_release_back(stage: Stage) -> None:
    stage.land("a.json", text(GOOD))
    stage.run()
    stage.land("a.json", b"")
    stage.run()
    assert not stage.output("a.json").exists()
    assert stage.released(State.PENDING) == []


def set_back(path: Path, content: bytes, modified: int) -> None:
    """One version again to the letter, as a store that hashes contents sees it: the etag is the one of before."""
    path.write_bytes(content)
    os.utime(path, ns=(modified, modified))


@pytest.mark.parametrize("delivered", [False, True])
def test_a_version_put_back_is_filtered_again_and_released_if_it_is_not_what_was_delivered_last(
    stage: Stage, delivered: bool
) -> None:
    first, second = text(GOOD), text(GOOD[:7])
    path = stage.land("a.json", first)
    modified = path.stat().st_mtime_ns
    stage.run()
    sha256 = stage.item("a.json").detail["sha256"]
    if delivered:
        stage.deliver()
    set_back(path, second, modified + 1)
    stage.run()
    assert stage.table("a.json").num_rows == 7
    set_back(path, first, modified)
    stage.run(LATER)
    back, other = stage.items("a.json")
    assert (back.state, other.state) == (State.SETTLED, State.SUPERSEDED)
    assert stage.table("a.json").num_rows == len(GOOD)
    (waiting,) = stage.released(State.PENDING)
    assert (waiting.version, waiting.parent, waiting.uncertain) == (sha256, back.id, delivered)


def test_a_version_put_back_keeps_the_mapping_under_which_it_was_delivered(stage: Stage) -> None:
    path = stage.land("a.json", text(GOOD))
    modified = path.stat().st_mtime_ns
    stage.run()
    stage.deliver()
    set_back(path, text(GOOD[:7]), modified + 1)
    stage.run()
    set_back(path, text(GOOD), modified)
    stage.under(OTHER).run(LATER)
    assert stage.items("a.json")[0].state is State.SETTLED
    assert mapping_of(stage.output("a.json")) == MAPPING.sha256


def test_a_version_put_back_and_gone_again_is_dead_as_gone(stage: Stage) -> None:
    path = stage.land("a.json", text(GOOD))
    modified = path.stat().st_mtime_ns
    stage.run()
    set_back(path, text(GOOD[:7]), modified + 1)
    stage.run()
    set_back(path, text(GOOD), modified)
    stage.take_in(LATER)
    path.unlink()
    stage.work(LATER)
    back = stage.items("a.json")[0]
    assert (back.state, back.reason) == (State.DEAD, Reason.GONE)


def test_a_lost_version_of_the_mapping_is_not_mistaken_for_a_lost_landed_file(stage: Stage) -> None:
    stage.land("a.json", text(GOOD))
    stage.run()
    stage.deliver()
    later = stage.under(OTHER)
    stage.output("a.json").unlink()
    stage.lake.delete(f"{accepted.FOLDER}/{MAPPING.sha256}.csv")
    stage.ledger.reopen([stage.item("a.json").id], LATER, Reason.NOT_INTACT)
    later.work(LATER)
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.PENDING, Reason.INTERNAL)
