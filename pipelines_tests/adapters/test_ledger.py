"""What every form of the ledger does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from pipelines.adapters.ledger import Ledger, Span, TakenIn, open_ledger
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import Backlog, Reason, Standing, State
from pipelines_tests.adapters.ledgers import (
    EXPORTS,
    FORMS,
    HOUR,
    LEASE,
    MINUTE,
    NOW,
    QUEUE,
    claim,
    end,
    new,
    release,
    settle_first,
    states,
)

# Taking in


def test_what_is_known_is_not_taken_in_again(ledger: Ledger) -> None:
    assert ledger.take_in([new(), new("b.json")], NOW) == TakenIn({HOUR: 2}, 0, 20)
    before = list(ledger.items(QUEUE))
    assert ledger.take_in([new("b.json"), new()], NOW + MINUTE) == TakenIn({}, 0, 0)
    assert list(ledger.items(QUEUE)) == before


def test_an_item_is_stored_as_it_came(ledger: Ledger) -> None:
    there = replace(
        new(size=2**40, destination="https://there", cause="tick"), detail={"key": "k", "n": [1, None, "ü"]}
    )
    ledger.take_in([there], NOW)
    (item,) = ledger.items(QUEUE)
    assert (item.size, item.destination, item.cause, item.detail) == (2**40, "https://there", "tick", there.detail)
    assert (item.state, item.attempts, item.due_at, item.seen_at) == (State.PENDING, 0, NOW, NOW)
    assert item.due_at.utcoffset() == timedelta(0)


def test_five_thousand_at_once_are_all_taken_in_once(ledger: Ledger) -> None:
    many = [new(f"{number:05}.json") for number in range(5000)]
    assert ledger.take_in([*many, *many[:700]], NOW).new == {HOUR: 5000}
    assert ledger.take_in(many, NOW) == TakenIn({}, 0, 0)
    names = [item.name for item in ledger.items(QUEUE)]
    assert names == [one.name for one in many]


def test_nothing_to_take_in_changes_nothing(ledger: Ledger) -> None:
    assert ledger.take_in([], NOW) == TakenIn({}, 0, 0)


@pytest.mark.parametrize("undone", [State.PENDING, State.ASIDE, State.DEAD])
def test_a_newer_version_supersedes_an_undone_one(ledger: Ledger, undone: State) -> None:
    """The bytes that it waits for are no longer there."""
    ledger.take_in([new(state=State.ASIDE if undone is State.ASIDE else State.PENDING)], NOW)
    if undone is State.DEAD:
        ledger.settle([end(item, State.DEAD) for item in claim(ledger)], NOW)
    ledger.take_in([new(version="2")], NOW + MINUTE)
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.PENDING}


def test_of_two_versions_in_one_batch_the_last_counts(ledger: Ledger) -> None:
    """Two messages about one key may come together; both versions in hand at once would be sent in any order."""
    ledger.take_in([new(version="1"), new("b.json"), new(version="2")], NOW)
    assert [(item.name, item.version) for item in claim(ledger)] == [("a.json", "2"), ("b.json", "1")]


def test_the_same_name_elsewhere_is_another_thing(ledger: Ledger) -> None:
    ledger.take_in([new(), new(version="2", destination="https://there"), new(version="3", queue=EXPORTS)], NOW)
    assert set(states(ledger).values()) == {State.PENDING}
    assert set(states(ledger, EXPORTS).values()) == {State.PENDING}


def test_a_version_that_is_put_back_is_work_again(ledger: Ledger) -> None:
    """A, then B, then A: whatever became of B, the bytes that lie there now are A's."""
    ledger.take_in([new(version="A")], NOW)
    settle_first(ledger)
    ledger.take_in([new(version="B")], NOW + MINUTE)
    assert ledger.take_in([new(version="A")], NOW + 2 * MINUTE).new == {HOUR: 1}
    assert states(ledger) == {"a.json A": State.PENDING, "a.json B": State.SUPERSEDED}
    settle_first(ledger, now=NOW + 2 * MINUTE)
    assert ledger.take_in([new(version="A")], NOW + 3 * MINUTE).new == {}


def test_versions_seen_in_the_same_instant_still_have_an_order(ledger: Ledger) -> None:
    """Clocks of several machines differ: the order of the ledger's own transactions decides, not a time."""
    for version in "ABA":
        ledger.take_in([new(version=version)], NOW)
    assert states(ledger) == {"a.json A": State.PENDING, "a.json B": State.SUPERSEDED}
    ledger.take_in([new(version="B")], NOW - MINUTE)
    assert states(ledger) == {"a.json A": State.SUPERSEDED, "a.json B": State.PENDING}


def test_a_version_put_back_while_a_run_works_on_it_needs_no_second_run(ledger: Ledger) -> None:
    ledger.take_in([new(version="A")], NOW)
    (held,) = claim(ledger)
    ledger.take_in([new(version="B")], NOW)
    ledger.take_in([new(version="A")], NOW)
    assert states(ledger) == {"a.json A": State.CLAIMED, "a.json B": State.SUPERSEDED}
    ledger.settle([end(held, State.PENDING)], NOW)
    assert [item.version for item in claim(ledger)] == ["A"]


@pytest.mark.parametrize(("reason", "back"), [(Reason.GONE, True), (Reason.REFUSED, False), (Reason.UNVERIFIED, False)])
def test_only_a_file_that_was_gone_comes_back_by_being_seen(ledger: Ledger, reason: Reason, back: bool) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.DEAD, reason=reason) for item in claim(ledger)], NOW)
    ledger.take_in([new()], NOW + MINUTE)
    (item,) = ledger.items(QUEUE)
    assert item.state is (State.PENDING if back else State.DEAD)
    assert item.attempts == (0 if back else 1)


def test_what_was_set_aside_is_work_once_its_time_has_come(ledger: Ledger) -> None:
    aside = new(state=State.ASIDE, reason=Reason.OUT_OF_RANGE)
    assert ledger.take_in([aside], NOW) == TakenIn({}, 1, 0)
    assert ledger.take_in([aside], NOW) == TakenIn({}, 0, 0)
    assert claim(ledger) == []
    assert ledger.take_in([new()], NOW + MINUTE) == TakenIn({HOUR: 1}, 0, 10)
    assert [item.reason for item in claim(ledger, now=NOW + MINUTE)] == [None]


@pytest.mark.parametrize("state", [State.PENDING, State.SETTLED, State.DEAD, State.SUPERSEDED])
def test_work_that_exists_is_never_set_aside(ledger: Ledger, state: State) -> None:
    """A first day moved forward says nothing about what was taken in before."""
    ledger.take_in([new()], NOW)
    if state is not State.PENDING:
        ledger.settle([end(item, state, reason=Reason.GONE) for item in claim(ledger)], NOW)
    assert ledger.take_in([new(state=State.ASIDE)], NOW) == TakenIn({}, 0, 0)
    assert states(ledger) == {"a.json 1": state}


def test_a_moment_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(Exception, match="time zone"):
        ledger.take_in([new()], NOW.replace(tzinfo=None))
    assert list(ledger.items(QUEUE)) == []


def test_a_batch_with_a_fault_is_not_taken_in_at_all(ledger: Ledger) -> None:
    many = [new(f"{number}.json") for number in range(600)]
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        ledger.take_in([*many, new("child.json", parent=999_999)], NOW)
    assert list(ledger.items(QUEUE)) == []


# Claiming


def test_the_oldest_due_are_claimed_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in (2, 0, 1):
        ledger.take_in([new(f"{number}.json")], NOW + number * MINUTE)
    later = NOW + 5 * MINUTE
    assert [item.name for item in claim(ledger, now=later, limit=2)] == ["0.json", "1.json"]
    assert [item.name for item in claim(ledger, now=later, limit=2)] == ["2.json"]
    assert claim(ledger, now=later) == []


def test_what_is_not_due_yet_is_not_claimed(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.PENDING, due_at=NOW + MINUTE) for item in claim(ledger)], NOW)
    assert claim(ledger, now=NOW + MINUTE - timedelta(microseconds=1)) == []
    assert ledger.backlog(NOW) == []
    assert ledger.next_due(QUEUE) == NOW + MINUTE
    assert len(claim(ledger, now=NOW + MINUTE)) == 1


def test_a_claim_keeps_to_its_queue_destination_and_span(ledger: Ledger) -> None:
    hours = [f"2026-03-01-0{hour}:00" for hour in range(5)]
    ledger.take_in([new(f"{hour}.json", partition=hour) for hour in hours], NOW)
    ledger.take_in([new("there.json", destination="https://there"), new("b.json", queue="other")], NOW)
    within = claim(ledger, span=Span(hours[1], hours[3]))
    assert [item.partition for item in within] == hours[1:4]
    assert [item.name for item in claim(ledger, destination="https://there")] == ["there.json"]
    assert [item.partition for item in claim(ledger)] == [hours[0], hours[4]]


def test_a_claim_says_who_holds_it_and_until_when(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (item,) = claim(ledger)
    assert (item.state, item.owner, item.lease_until, item.fence) == (State.CLAIMED, "run", NOW + LEASE, 1)
    assert not item.uncertain
    assert [*ledger.items(QUEUE)] == [item]


@pytest.mark.parametrize("crash_counts", [True, False])
def test_a_lease_that_ran_out_is_taken_over_as_uncertain(ledger: Ledger, crash_counts: bool) -> None:
    """The run that held it may have sent it before it ended without a word."""
    ledger.take_in([new()], NOW)
    (lost,) = claim(ledger)
    assert claim(ledger, now=NOW + LEASE) == []
    assert ledger.next_due(QUEUE) == NOW + LEASE
    later = NOW + LEASE + timedelta(microseconds=1)
    assert [one.items for one in ledger.backlog(later)] == [1]
    (taken,) = claim(ledger, now=later, crash_counts=crash_counts)
    assert (taken.uncertain, taken.attempts, taken.fence) == (True, int(crash_counts), lost.fence + 1)


def test_a_renewed_lease_is_not_taken_over(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    held = claim(ledger)
    ledger.settle([end(held[0])], NOW)
    assert ledger.renew(held, NOW + LEASE, LEASE) == {held[1].id}
    assert claim(ledger, now=NOW + 2 * LEASE) == []
    (taken,) = claim(ledger, now=NOW + 3 * LEASE)
    assert ledger.renew(held, NOW + 3 * LEASE, LEASE) == set()
    assert taken.id == held[1].id


def test_two_versions_of_one_name_are_never_in_hand_together(ledger: Ledger) -> None:
    """Nor does the waiting one make anybody start a run."""
    ledger.take_in([new()], NOW)
    (older,) = claim(ledger)
    ledger.take_in([new(version="2")], NOW)
    assert claim(ledger) == []
    assert ledger.backlog(NOW) == []
    assert ledger.next_due(QUEUE) == NOW + LEASE
    ledger.settle([end(older)], NOW)
    assert [item.version for item in claim(ledger)] == ["2"]


def test_an_older_version_whose_run_died_is_not_done_after_the_newer(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (older,) = claim(ledger)
    ledger.take_in([new(version="2")], NOW)
    later = NOW + 2 * LEASE
    assert sum(one.items for one in ledger.backlog(later)) == 1
    assert [item.version for item in claim(ledger, now=later)] == ["2"]
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.CLAIMED}
    assert ledger.settle([end(older)], later) == set()


@pytest.mark.parametrize("state", [State.PENDING, State.DEAD])
def test_an_older_version_that_failed_makes_way_for_the_newer(ledger: Ledger, state: State) -> None:
    ledger.take_in([new()], NOW)
    (older,) = claim(ledger)
    ledger.take_in([new(version="2")], NOW)
    assert ledger.settle([end(older, state, due_at=NOW)], NOW) == {older.id}
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.PENDING}


def test_backlog_counts_due_work_by_queue_destination_and_partition(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json"), new("c.json", partition="2026-03-01-10:00")], NOW)
    ledger.take_in([release(destination="https://there"), release("x", "b.parquet")], NOW + MINUTE)
    assert sorted(ledger.backlog(NOW + MINUTE), key=str) == sorted(
        [
            Backlog(QUEUE, "", HOUR, 2, NOW),
            Backlog(QUEUE, "", "2026-03-01-10:00", 1, NOW),
            Backlog(EXPORTS, "", HOUR, 1, NOW + MINUTE),
            Backlog(EXPORTS, "https://there", HOUR, 1, NOW + MINUTE),
        ],
        key=str,
    )
    assert {one.queue for one in ledger.backlog(NOW)} == {QUEUE}


def test_a_queue_without_open_work_is_never_due(ledger: Ledger) -> None:
    assert ledger.next_due(QUEUE) is None
    ledger.take_in([new()], NOW)
    assert ledger.next_due(QUEUE) == NOW
    settle_first(ledger)
    assert ledger.next_due(QUEUE) is None


# Settling


def test_an_outcome_is_recorded(ledger: Ledger) -> None:
    ledger.take_in([new(detail={"etag": "e"}), new("b.json", detail={"etag": "f"})], NOW)
    first, second = claim(ledger)
    failed = end(second, State.PENDING, due_at=NOW + MINUTE, status=503, reason=Reason.SERVER_ERROR, uncertain=True)
    done = end(first, status=201, made_with="m1", detail={"rows": 3})
    assert ledger.settle([done, failed], NOW) == {first.id, second.id}
    one, other = ledger.items(QUEUE)
    assert (one.state, one.status, one.made_with, one.detail) == (State.SETTLED, 201, "m1", {"rows": 3})
    assert (one.settled_at, one.lease_until, one.attempts) == (NOW, None, 1)
    assert (other.state, other.status, other.reason, other.due_at) == (
        State.PENDING,
        503,
        Reason.SERVER_ERROR,
        NOW + MINUTE,
    )
    assert (other.detail, other.attempts, other.uncertain, other.settled_at) == ({"etag": "f"}, 1, True, None)


def test_an_item_put_back_untried_loses_no_attempt(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    ledger.settle([end(item, State.PENDING, attempted=False) for item in claim(ledger)], NOW)
    (item,) = claim(ledger)
    assert (item.attempts, item.due_at, item.uncertain) == (0, NOW, False)


def test_what_may_have_been_sent_once_stays_so(ledger: Ledger) -> None:
    """A later attempt that certainly failed says nothing about the earlier one."""
    ledger.take_in([new()], NOW)
    for uncertain in (True, False):
        ledger.settle([end(item, State.PENDING, uncertain=uncertain) for item in claim(ledger)], NOW)
    assert [item.uncertain for item in ledger.items(QUEUE)] == [True]


def test_a_stale_fence_settles_nothing_and_releases_nothing(ledger: Ledger) -> None:
    ledger.take_in([new(), new("b.json")], NOW)
    stale, _ = claim(ledger)
    later = NOW + 2 * LEASE
    fresh, _ = claim(ledger, now=later)
    assert ledger.settle([end(stale, made_with="old", releases=(release(),))], later) == set()
    assert list(ledger.items(EXPORTS)) == []
    assert ledger.settle([end(fresh, made_with="new", releases=(release(),))], later) == {fresh.id}
    assert ledger.settle([end(fresh, State.DEAD)], later) == set()
    assert next((item.state, item.made_with) for item in ledger.items(QUEUE)) == (State.SETTLED, "new")


def test_stale_and_live_outcomes_of_a_group_are_told_apart(ledger: Ledger) -> None:
    ledger.take_in([new(f"{number:04}.json") for number in range(1200)], NOW)
    stale = claim(ledger, limit=600)
    later = NOW + 2 * LEASE
    live = claim(ledger, now=later, limit=1200)
    outcomes = [end(one) for one in stale[:300]] + [end(one) for one in live[300:]]
    assert ledger.settle(outcomes, later) == {one.id for one in live[300:]}
    counts = {one.state: one.items for one in ledger.standings(QUEUE)}
    assert counts == {State.CLAIMED: 300, State.SETTLED: 900}


def test_releases_are_recorded_with_their_outcome_or_not_at_all(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    (item,) = claim(ledger)
    nameless = release(name=cast("str", None))
    with pytest.raises(Exception, match=r"(?i)not null"):
        ledger.settle([end(item, releases=(release(), nameless))], NOW)
    assert states(ledger) == {"a.json 1": State.CLAIMED}
    assert list(ledger.items(EXPORTS)) == []
    ledger.settle([end(item, releases=(release(),))], NOW)
    (released,) = ledger.items(EXPORTS)
    assert (released.queue, released.state, released.parent) == (EXPORTS, State.PENDING, item.id)


@pytest.mark.parametrize(
    ("became", "again"),
    [
        (State.SETTLED, State.SETTLED),
        (State.DEAD, State.DEAD),
        (State.SUPERSEDED, State.PENDING),
        (State.PENDING, State.PENDING),
    ],
)
def test_the_same_bytes_released_again(ledger: Ledger, became: State, again: State) -> None:
    """Delivered stays delivered, given up stays given up; only what was withdrawn or waits is sent."""
    ledger.take_in([new()], NOW)
    made = settle_first(ledger, release())
    ledger.settle([end(item, became) for item in claim(ledger, EXPORTS)], NOW)
    ledger.reopen([made.id], NOW, Reason.INTERNAL)
    settle_first(ledger, release())
    assert states(ledger, EXPORTS) == {"a.parquet sha": again}


def test_new_bytes_supersede_a_release_that_waits(ledger: Ledger) -> None:
    ledger.take_in([new()], NOW)
    settle_first(ledger, release("one"))
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger, release("two"))
    assert states(ledger) == {"a.json 1": State.SUPERSEDED, "a.json 2": State.SETTLED}
    assert states(ledger, EXPORTS) == {"a.parquet one": State.SUPERSEDED, "a.parquet two": State.PENDING}


def test_an_output_that_was_replaced_is_not_delivered(ledger: Ledger) -> None:
    """The newer version gave no output: the bytes that the older one released are no longer stored."""
    ledger.take_in([new()], NOW)
    settle_first(ledger, release())
    ledger.take_in([new(version="2")], NOW)
    settle_first(ledger)
    assert states(ledger, EXPORTS) == {"a.parquet sha": State.SUPERSEDED}


def test_a_delivered_older_version_stays_delivered(ledger: Ledger) -> None:
    """A delivery makes no output, so the next one of that name takes nothing's place."""
    for version in ("one", "two"):
        ledger.take_in([release(version)], NOW)
        ledger.settle([end(item) for item in claim(ledger, EXPORTS)], NOW)
    assert set(states(ledger, EXPORTS).values()) == {State.SETTLED}


# Reading


def test_items_come_in_order_of_partition_and_name_over_many_pages(ledger: Ledger) -> None:
    hours = [f"2026-03-01-0{hour}:00" for hour in range(3)]
    many = [new(f"{number % 7}-{number}.json", partition=hours[number % 3]) for number in range(1501)]
    ledger.take_in(many, NOW)
    expected = sorted((one.partition, one.name) for one in many)
    assert [(item.partition, item.name) for item in ledger.items(QUEUE)] == expected
    within = [item.partition for item in ledger.items(QUEUE, Span(hours[1], hours[1]))]
    assert within == [hours[1]] * 500  # exactly a page, so that an empty one follows


def test_items_can_be_picked_by_state(ledger: Ledger) -> None:
    ledger.take_in([new("a"), new("b"), new("c")], NOW)
    first, second, _ = claim(ledger)
    ledger.settle([end(first), end(second, State.DEAD)], NOW)
    assert [item.name for item in ledger.items(QUEUE, states=[State.SETTLED, State.CLAIMED])] == ["a", "c"]
    assert list(ledger.items(QUEUE, states=[])) == []


def test_reading_goes_on_while_items_are_settled(ledger: Ledger) -> None:
    ledger.take_in([new(f"{number:04}") for number in range(1100)], NOW)
    read = []
    for item in ledger.items(QUEUE):
        read.append(item.name)
        if len(read) == 3:
            ledger.settle([end(one) for one in claim(ledger, limit=1100)], NOW)
    assert len(read) == len(set(read)) == 1100


def test_standings_count_items_and_bytes_by_state_and_reason(ledger: Ledger) -> None:
    ledger.take_in([new("a", size=1), new("b", size=2)], NOW)
    ledger.take_in([new("c", size=4), new("d", partition="2026-03-02-00:00", size=8)], NOW + MINUTE)
    first, second, *_ = claim(ledger, limit=2)
    ledger.settle([end(one, State.DEAD, reason=Reason.REFUSED) for one in (first, second)], NOW)
    assert sorted(ledger.standings(QUEUE), key=str) == [
        Standing(State.DEAD, Reason.REFUSED, 2, 3, NOW),
        Standing(State.PENDING, None, 2, 12, NOW + MINUTE),
    ]
    assert ledger.standings(QUEUE, Span(HOUR, HOUR))[-1].items == 1
    assert ledger.standings("nothing") == []


def test_what_is_unsettled_is_all_but_what_is_done_or_replaced(ledger: Ledger) -> None:
    ledger.take_in([new(name) for name in "abcde"], NOW)
    ledger.take_in([new("f", state=State.ASIDE, reason=Reason.UNKNOWN_KIND), new("g", destination="there")], NOW)
    done, dead, replaced, _ = claim(ledger, limit=4)
    ledger.settle([end(done), end(dead, State.DEAD), end(replaced, State.SUPERSEDED)], NOW)
    everything = {one.state for one in ledger.standings(QUEUE)}
    assert everything == set(State)
    unsettled = ledger.standings(QUEUE, unsettled=True)
    assert {one.state: one.items for one in unsettled} == {
        State.ASIDE: 1,
        State.CLAIMED: 1,
        State.DEAD: 1,
        State.PENDING: 2,
    }
    assert [one.items for one in ledger.standings(QUEUE, destination="there", unsettled=True)] == [1]
    assert ledger.standings(QUEUE, Span("2027", "2028"), unsettled=True) == []


def test_the_queues_are_those_that_hold_anything(ledger: Ledger) -> None:
    assert ledger.queues() == []
    ledger.take_in([new(f"{number}.json") for number in range(300)], NOW)
    ledger.take_in([release(), new(queue="z", state=State.ASIDE), new(queue="a")], NOW)
    assert ledger.queues() == ["a", EXPORTS, QUEUE, "z"]


@pytest.mark.parametrize("text", ["%", "_", "\\", "/", "100%_a"])
def test_a_search_takes_every_character_literally(ledger: Ledger, text: str) -> None:
    ledger.take_in([new("plain.json"), new(f"x{text}y.json")], NOW)
    assert [item.name for item in ledger.search(text)] == [f"x{text}y.json"]


def test_a_search_shows_what_came_of_a_file_and_where_from(ledger: Ledger) -> None:
    ledger.take_in([new("landed.json"), new("other.json")], NOW)
    first, _ = claim(ledger)
    ledger.settle([end(first, releases=(release(name="export.parquet"), release(name="second.parquet")))], NOW)
    family = ["landed.json", "export.parquet", "second.parquet"]
    assert [item.name for item in ledger.search("landed")] == family
    assert [item.name for item in ledger.search("EXPORT")] == family
    assert ledger.search("nowhere") == []


def test_a_search_finds_the_latest_first_when_there_are_too_many(ledger: Ledger) -> None:
    ledger.take_in([new(f"{number}.json") for number in range(9)], NOW)
    assert [item.name for item in ledger.search("json", limit=2)] == ["7.json", "8.json"]


# Marks and circuits


def test_a_mark_is_the_last_one_kept(ledger: Ledger) -> None:
    assert ledger.mark("mobile recent") is None
    for mark in (Mark(NOW, "key/of/a.file"), Mark(NOW + MINUTE, None), Mark()):
        ledger.set_mark("mobile recent", mark)
        assert ledger.mark("mobile recent") == mark
    assert ledger.mark("other") is None


def test_a_circuit_is_the_last_one_kept(ledger: Ledger) -> None:
    assert ledger.circuit("aae") == Circuit()
    opened = Circuit(7, NOW, NOW + MINUTE, 3, Reason.TLS, objects=4, last=2**40)
    for circuit in (opened, Circuit(1, reason=Reason.TIMEOUT, objects=1, last=9), Circuit()):
        ledger.set_circuit("aae", circuit)
        assert ledger.circuit("aae") == circuit


# Opening


def test_what_was_recorded_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    for url in (form(tmp_path) for form in FORMS.values()):
        first = open_ledger(url)
        first.take_in([new()], NOW)
        first.close()
        second = open_ledger(url)
        assert states(second) == {"a.json 1": State.PENDING}
        second.close()


def test_an_unknown_scheme_names_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="sqlite://"):
        open_ledger("mongo://somewhere")
