"""Runs over landed files: run again, run twice at once, run with another mapping, run over what breaks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import IO

import pytest

from pipelines.adapters.ledger import Span
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.adapters.ledger.working import Shift
from pipelines.adapters.objects import ObjectInfo
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.periods import hour_key
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Reason, State
from pipelines.domains.mobile.feeds import PACKAGES, source_name
from pipelines.domains.mobile.landed import Content, reopen_damaged
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines_tests.domains.mobile.stages import (
    EVERYTHING,
    HOUR,
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
    sha256,
    text,
)

CONTENT = text(lines(20))


def rebuild(stage: Stage) -> tuple[int, int]:
    """What a run over chosen partitions does: look whether outputs are intact, then work."""
    counts = reopen_damaged(stage.filtering(LATER), EVERYTHING)
    stage.work(LATER)
    return counts


def damage(stage: Stage, name: str, how: str) -> None:
    if how == "missing":
        stage.output(name).unlink()
    else:
        stage.output(name).write_bytes(stage.output(name).read_bytes()[:-1] + b"?")


# Run again


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("how", ["missing", "altered"])
def test_an_output_that_is_not_intact_is_rebuilt_with_the_same_bytes_and_released_once(
    stage: Stage, how: str, delivered: bool
) -> None:
    stage.land("a.json", CONTENT)
    stage.run()
    before = sha256(stage.output("a.json"))
    if delivered:
        stage.deliver()
    damage(stage, "a.json", how)
    assert rebuild(stage) == (0, 1)
    assert sha256(stage.output("a.json")) == before
    (release,) = stage.released()
    assert (release.state, release.version) == (State.SETTLED if delivered else State.PENDING, before)


def test_what_is_intact_is_kept_and_not_worked_on(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.land("b.json", b"{}\n")
    stage.run()
    before = stage.lake.head(stage.item("a.json").detail["output"])
    assert rebuild(stage) == (2, 0)
    assert stage.lake.head(before.key) == before


def test_a_rebuilt_output_keeps_the_mapping_that_it_was_delivered_with(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.run()
    before = sha256(stage.output("a.json"))
    stage.deliver()
    damage(stage, "a.json", "missing")
    rebuild(stage.under(OTHER))
    assert sha256(stage.output("a.json")) == before
    assert stage.item("a.json").detail["mapping"] == MAPPING.sha256
    assert [one.state for one in stage.released()] == [State.SETTLED]


def test_an_output_outlives_its_landed_file(stage: Stage) -> None:
    path = stage.land("a.json", CONTENT)
    stage.run()
    path.unlink()
    assert rebuild(stage) == (1, 0)
    assert stage.item("a.json").state is State.SETTLED
    assert len(stage.released(State.PENDING)) == 1


def test_an_output_lost_with_its_landed_file_is_dead_with_that_reason_and_the_others_go_on(stage: Stage) -> None:
    for name in ("a.json", "b.json", "c.json"):
        stage.land(name, CONTENT + name.encode())
    stage.run()
    stage.path("a.json").unlink()
    damage(stage, "a.json", "altered")
    damage(stage, "c.json", "missing")
    assert rebuild(stage) == (1, 2)
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.DEAD, Reason.OUTPUT_LOST)
    assert {stage.item(name).state for name in ("b.json", "c.json")} == {State.SETTLED}
    assert {one.parent for one in stage.released(State.PENDING)} == {stage.item("b.json").id, stage.item("c.json").id}


def test_only_the_partitions_asked_for_are_looked_at(stage: Stage) -> None:
    earlier = HOUR - timedelta(hours=1)
    stage.land("a.json", CONTENT, earlier)
    stage.land("b.json", CONTENT)
    stage.take_in()
    span = Span(hour_key(earlier), hour_key(earlier))
    assert [source_name(item.name) for item in stage.work(span=span)] == ["a.json"]
    assert reopen_damaged(stage.filtering(), span) == (1, 0)
    assert stage.item("b.json").state is State.PENDING


def test_one_content_gives_one_output_whatever_way_it_came(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.land("b.jsonl.gz", packed(lines(20)))
    stage.run()
    assert sha256(stage.output("a.json")) == sha256(stage.output("b.jsonl.gz"))


def test_a_rebuild_that_differs_from_what_was_delivered_says_so_and_releases_nothing(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.run()
    stage.deliver()
    damage(stage, "a.json", "missing")
    rebuild(replace(stage, recipe=replace(RECIPE, feed=replace(PACKAGES, code_version="next"))))
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.SETTLED, Reason.REBUILT_DIFFERENTLY)
    assert [one.state for one in stage.released()] == [State.SETTLED]


# Another mapping


def test_what_did_not_leave_is_made_again_with_a_new_mapping(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.run()
    before = sha256(stage.output("a.json"))
    assert len(stage.under(OTHER).work(LATER)) == 1
    assert mapping_of(stage.output("a.json")) == OTHER.sha256
    old, new = stage.released()
    assert (old.state, old.version) == (State.SUPERSEDED, before)
    assert (new.state, new.version) == (State.PENDING, sha256(stage.output("a.json")))


@pytest.mark.parametrize("state", [State.SETTLED, State.CLAIMED, State.PENDING])
def test_what_may_have_left_keeps_its_mapping(stage: Stage, state: State) -> None:
    """Delivered, on its way, or tried with an outcome that nobody knows."""
    stage.land("a.json", CONTENT)
    stage.run()
    before = sha256(stage.output("a.json"))
    stage.deliver(state)
    assert stage.under(OTHER).work(LATER) == []
    assert sha256(stage.output("a.json")) == before
    assert [(one.state, one.version) for one in stage.released()] == [(state, before)]


def test_what_was_claimed_and_put_back_untried_may_be_made_again(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.run()
    stage.deliver(State.PENDING, attempted=False)
    assert len(stage.under(OTHER).work(LATER)) == 1


def test_a_change_of_mapping_leaves_what_has_no_landed_file_any_more_as_it_is(stage: Stage) -> None:
    path = stage.land("a.json", CONTENT)
    stage.run()
    before = sha256(stage.output("a.json"))
    path.unlink()
    later = stage.under(OTHER)
    assert len(later.work(LATER)) == 1
    assert sha256(stage.output("a.json")) == before
    assert stage.item("a.json").detail["mapping"] == MAPPING.sha256
    assert [(one.state, one.version) for one in stage.released()] == [(State.PENDING, before)]
    assert later.under(OTHER).work(LATER) == [], "it is looked at once for each version, not at each run"


def test_a_mapping_that_comes_back_brings_back_the_release_that_was_withdrawn(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.run()
    before = sha256(stage.output("a.json"))
    stage.under(OTHER).work(LATER)
    stage.under(MAPPING).work(LATER)
    (waiting,) = stage.released(State.PENDING)
    assert (waiting.version, sha256(stage.output("a.json"))) == (before, before)


# Two runs at once, and runs that die


class Watched(SqlLedger):
    """A ledger that tells when a lease could not be renewed."""

    lost = threading.Event()

    def renew(self, held: Iterable[Item], now: datetime, lease: timedelta) -> set[int]:
        wanted = list(held)
        alive = super().renew(wanted, now, lease)
        if len(alive) < len(wanted):
            self.lost.set()
        return alive


class Stalled(FileObjects):
    """A landing that stalls at the end of a file until another run has taken it over."""

    other: Stage

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        yield from super().stream(key, etag=etag)
        assert len(self.other.work(LATER)) == 1
        assert Watched.lost.wait(30)


class Counted(FileObjects):
    """A lake that remembers what was written to it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.lake.url, stage.root / "lake")
        self.written: list[str] = []

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        self.written.append(key)
        return super().put_file(key, source)


def test_a_file_whose_lease_is_lost_is_neither_published_nor_recorded(stage: Stage) -> None:
    stage.land("a.json", CONTENT + b"{}")
    stage.take_in()
    Watched.lost.clear()
    landing = Stalled(stage.landing.url, stage.root / "landing")
    landing.other = stage
    lake = Counted(stage)
    ledger = Watched.on_sqlite(f"sqlite:///{stage.root / 'ledger.db'}")
    stalled = replace(stage, landing=landing, lake=lake, ledger=ledger)
    assert stalled.work(lease=timedelta(seconds=1.5)) == []
    ledger.close()
    assert lake.written == []
    item = stage.item("a.json")
    assert (item.state, item.fence) == (State.SETTLED, 2)
    assert len(stage.released()) == 1


def test_a_short_lease_is_still_long_enough_to_publish(stage: Stage) -> None:
    """A fixed margin would have a run filter the same file for ever."""
    stage.land("a.json", CONTENT)
    stage.take_in()
    assert len(stage.work(lease=timedelta(seconds=3))) == 1
    assert stage.item("a.json").state is State.SETTLED


def test_a_file_whose_runs_die_is_given_up_after_the_last_attempt(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.land("b.json", CONTENT)
    stage.take_in()
    few = replace(stage, policy=RetryPolicy(attempts=3))
    now = NOW
    for _ in range(3):  # each claims and dies
        (held,) = stage.ledger.claim(
            PACKAGES.queue, owner="dead", limit=1, now=now, lease=LEASE, span=EVERYTHING, crash_counts=True
        )
        assert source_name(held.name) == "a.json"
        now += 2 * LEASE
    few.work(now)
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.DEAD, Reason.CRASHED)
    assert stage.item("b.json").state is State.SETTLED


@dataclass(frozen=True, kw_only=True)
class Hooked(PackageRecipe):
    """A recipe that calls something once it has made and verified an output."""

    after: Callable[[Item], object]

    def make(
        self, item: Item, mapping: PrivacyMapping, chunks: Iterator[bytes], output: IO[bytes], rejected: IO[bytes]
    ) -> Content:
        content = super().make(item, mapping, chunks, output, rejected)
        self.after(item)
        return content


def test_an_error_of_our_own_stops_no_other_file_and_tells_no_value(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("a.json", "b.json", "c.json")
    for name in names:
        stage.land(name, CONTENT)
    stage.take_in()

    def fail_once(item: Item) -> None:
        if source_name(item.name) == "b.json":
            raise KeyError("QA1 of a record")

    with caplog.at_level(logging.DEBUG):
        replace(stage, recipe=Hooked(RECIPE.record_bytes, after=fail_once)).work()
    assert [stage.item(name).state for name in names] == [State.SETTLED, State.PENDING, State.SETTLED]
    failed = stage.item("b.json")
    assert (failed.reason, failed.attempts) == (Reason.INTERNAL, 1)
    assert failed.due_at > NOW
    assert "KeyError" in caplog.text
    assert "b.json" in caplog.text
    assert "QA1" not in caplog.text


def test_an_error_of_our_own_that_stays_is_given_up(stage: Stage) -> None:
    def fail(_: Item) -> None:
        raise ZeroDivisionError

    stage.land("a.json", CONTENT)
    stage.take_in()
    few = replace(stage, policy=RetryPolicy(attempts=2), recipe=Hooked(RECIPE.record_bytes, after=fail))
    few.work()
    few.work(stage.item("a.json").due_at)
    assert (stage.item("a.json").state, stage.item("a.json").reason) == (State.DEAD, Reason.INTERNAL)


def test_a_run_that_is_out_of_time_leaves_the_rest_for_the_next(stage: Stage) -> None:
    stage.land("a.json", CONTENT)
    stage.take_in()
    assert list(stage.work_through(stage.filtering(), Shift("run", LEASE, seconds=0))) == []
    assert stage.item("a.json").state is State.PENDING


def test_a_file_rewritten_after_its_delivery_keeps_the_mapping_that_it_was_delivered_with(stage: Stage) -> None:
    """Its versions share records: released under two mappings, they could be told apart where the mappings differ."""
    records = lines()
    stage.land("a.jsonl", text(records))
    stage.run()
    stage.deliver()
    stage = stage.under(OTHER)
    stage.land("a.jsonl", text([*records, *lines(seed=2)]))
    stage.land("b.jsonl", text(lines(seed=3)))
    stage.run(LATER)
    assert mapping_of(stage.output("a.jsonl")) == MAPPING.sha256
    assert mapping_of(stage.output("b.jsonl")) == OTHER.sha256
    assert len(stage.released(State.PENDING)) == 2
    stage.ledger.reopen_outdated(PACKAGES.queue, stage.filtering().made_with, LATER)
    assert stage.work(LATER) == []  # it is not made again and again


def test_what_waits_cannot_leave_while_its_file_is_made_again(stage: Stage) -> None:
    """Else one record could leave under the mapping before, and once more under the one now in force."""
    stage.land("a.jsonl", text(lines()))
    stage.run()
    stage = stage.under(OTHER)
    stage.land("a.jsonl", text(lines(seed=2)))
    stage.take_in(LATER)
    taken: list[Item] = []
    deliver = Hooked(RECIPE.record_bytes, after=lambda _: taken.extend(stage.deliver()))
    replace(stage, recipe=deliver).work(LATER)
    assert taken == []
    assert [mapping_of(stage.output("a.jsonl"))] == [OTHER.sha256]
    assert len(stage.released(State.PENDING)) == 1
