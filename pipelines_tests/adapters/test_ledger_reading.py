"""What the ledger tells: items in order, counts, what belongs together."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.adapters.ledger import Ledger, Span
from pipelines.core.work import NewItem, Reason, Standing, State
from pipelines_tests.adapters.ledgers import EXPORTS, HOUR, MINUTE, NOW, QUEUE, claim, end, new, release


def test_items_come_in_order_of_partition_and_name_over_many_pages(ledger: Ledger) -> None:
    hours = [f"2026-03-01-0{hour}:00" for hour in range(3)]
    many = [new(f"{number % 7}-{number}.json", partition=hours[number % 3]) for number in range(1501)]
    ledger.take_in(many, NOW)
    expected = sorted((one.partition, one.name) for one in many)
    assert [(item.partition, item.name) for item in ledger.items(QUEUE)] == expected
    within = [item.partition for item in ledger.items(QUEUE, Span(hours[1], hours[1]))]
    assert within == [hours[1]] * 500  # exactly a page, so that an empty one follows


def test_the_partitions_of_a_span_that_hold_anything_are_told_in_order(ledger: Ledger) -> None:
    hours = [f"2026-03-01-{hour:02}:00" for hour in (23, 9, 7, 12)]
    ledger.take_in([new(f"{hour} {one}", partition=hour) for hour in hours for one in "ab"], NOW)
    ledger.take_in([release(partition="2026-03-01-10:00")], NOW)
    assert ledger.partitions(QUEUE, Span("2026-03-01-08:00", "2026-03-01-23:00")) == sorted(set(hours) - {hours[2]})
    assert ledger.partitions(QUEUE, Span("2026-03-02-00:00", "2026-03-02-23:00")) == []


def test_items_can_be_picked_by_state(ledger: Ledger) -> None:
    ledger.take_in([new("a"), new("b"), new("c")], NOW)
    first, second, _ = claim(ledger)
    ledger.settle([end(first), end(second, State.DEAD)], NOW)
    assert [item.name for item in ledger.items(QUEUE, states=[State.SETTLED, State.CLAIMED])] == ["a", "c"]
    assert list(ledger.items(QUEUE, states=[])) == []


def test_the_versions_of_a_name_are_those_of_that_queue_which_are_bound_for_nowhere(ledger: Ledger) -> None:
    for version in ("2", "1", "3", "2"):
        ledger.take_in([new(version=version)], NOW)
    others = [new("b.json"), new(version="4", destination="https://there"), new(version="5", queue=EXPORTS)]
    ledger.take_in(others, NOW)
    found = ledger.versions(QUEUE, "a.json")
    assert [item.version for item in found] == ["2", "1", "3"]
    assert found == [item for item in ledger.items(QUEUE) if item.name == "a.json" and not item.destination]
    assert ledger.versions(QUEUE, "c.json") == []


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


def at(place: str, name: str, version: str = "1", **facts: Any) -> NewItem:
    return new(name, version, detail={"place": place}, **facts)


def test_what_was_last_seen_at_a_place_is_found_by_it(ledger: Ledger) -> None:
    others = [new("c"), new("d", detail={"other": "p"}), at("p", "e", queue=EXPORTS), at("q", "f")]
    ledger.take_in([at("p", "a"), at("p", "b", destination="https://there"), *others], NOW)
    ledger.take_in([at("r", "a", "2")], NOW)
    assert [(item.name, item.version) for item in ledger.placed(QUEUE, ["p", "s"])] == [("b", "1")]
    assert {item.name for item in ledger.placed(QUEUE, ["q", "r"])} == {"a", "f"}
    assert ledger.placed(QUEUE, []) == []


def test_a_version_that_comes_back_is_what_was_last_seen_at_its_place(ledger: Ledger) -> None:
    for version in ("1", "2", "1"):
        ledger.take_in([at("p", "a", version)], NOW)
        ledger.settle([end(item) for item in claim(ledger)], NOW)
    assert [item.version for item in ledger.placed(QUEUE, ["p"])] == ["1"]


def test_what_keeps_a_place_is_found_by_its_version_whatever_its_name(ledger: Ledger) -> None:
    ledger.take_in([at("p", "a"), at("q", "b", destination="https://there"), at("r", "c", "2"), new("d")], NOW)
    ledger.take_in([at("p", "a", "3")], NOW)
    assert {item.name for item in ledger.alike(QUEUE, ["1"])} == {"a", "b"}
    assert {item.name for item in ledger.alike(QUEUE, ["2", "3", "4"])} == {"a", "c"}
    assert ledger.alike(EXPORTS, ["1"]) == []


def test_many_are_looked_up_at_once(ledger: Ledger) -> None:
    ledger.take_in([at(f"p{number}", f"{number}", f"v{number}") for number in range(1200)], NOW)
    assert len(ledger.placed(QUEUE, [f"p{number}" for number in range(100, 1300)])) == 1100
    assert len(ledger.alike(QUEUE, [f"v{number}" for number in range(100, 1300)])) == 1100


def test_a_name_is_found_wherever_it_is_bound_for(ledger: Ledger) -> None:
    bound = [new("a", destination=destination) for destination in ("", "https://here", "https://there")]
    ledger.take_in([*bound, new("b"), new("a", queue=EXPORTS)], NOW)
    ledger.take_in([new("a", "2", destination="https://here")], NOW)
    found = [(item.destination, item.version) for item in ledger.named(QUEUE, None, ["a", "c"])]
    assert sorted(found) == [("", "1"), ("https://here", "1"), ("https://here", "2"), ("https://there", "1")]
    assert ledger.named("another", None, ["a"]) == []
