"""What a new version of a landed file takes over from the others under its name."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipelines.adapters.objects import Objects, open_objects
from pipelines.core.work import Item, State
from pipelines.domains.mobile.carried import (
    AGAIN,
    CHOSEN_AT,
    ELSEWHERE,
    MOVED,
    REMAP,
    REMAPPED,
    CopyMissingError,
    carry_over,
)
from pipelines.domains.mobile.feeds import PACKAGES
from pipelines.domains.mobile.line_numbers import LineNumbers

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ITEM = Item(
    id=1,
    queue="mobile/packages",
    destination="",
    name="mobile/packages/2026/03/01/12/a.json",
    version="v",
    partition="2026-03-01-12:00",
    size=1,
    state=State.CLAIMED,
    attempts=0,
    due_at=NOW,
    owner="run",
    fence=1,
    lease_until=NOW,
    uncertain=False,
    status=None,
    reason=None,
    parent=None,
    made_with="",
    cause="landed",
    seen_at=NOW,
    changed_at=NOW,
    settled_at=None,
    detail={},
)
RECORDS = st.lists(st.sampled_from([b"a", b"b", b"c", b"dd", b" d"]), max_size=8)


def landed(landing: Objects, records: Sequence[bytes], **facts: Any) -> Item:
    info = landing.put(ITEM.name, b"".join(one + b"\n" for one in records))
    return replace(ITEM, id=9, detail={"etag": info.etag, "landed_at": "now", **facts})


def copied(landing: Objects, name: str, records: Sequence[bytes]) -> str:
    return landing.put(f"reprocessed/{name}", b"".join(one + b"\n" for one in records)).key


def version(**facts: Any) -> Item:
    return replace(ITEM, state=State.SUPERSEDED, detail=facts)


def carried(landing: Objects, item: Item, *others: Item) -> Mapping[str, Any]:
    return carry_over(PACKAGES, landing, item, others).detail


# Records


@given(records=RECORDS, copies=st.lists(RECORDS, max_size=3), own=st.sets(st.integers(1, 8)))
def test_as_many_of_each_record_are_passed_over_as_left_and_are_there(
    records: list[bytes], copies: list[list[bytes]], own: set[int]
) -> None:
    landing = open_objects("memory://")
    keys = [copied(landing, str(number), copy) for number, copy in enumerate(copies)]
    own = {line for line in own if line <= len(records)}
    item = landed(landing, records, **{MOVED: [[line, line] for line in sorted(own)], AGAIN: ["long ago"]})
    found = carried(landing, item, *(version(**{AGAIN: [key]}) for key in keys))
    moved = LineNumbers.read(found[MOVED])
    lines = {number: record for number, record in enumerate(records, start=1) if number in moved}
    assert own <= lines.keys()
    rest = Counter(record for number, record in enumerate(records, start=1) if number not in own)
    left = Counter(record for copy in copies for record in copy)
    assert Counter(record for number, record in lines.items() if number not in own) == rest & left
    assert found[AGAIN] == ["long ago", *keys]


def test_what_is_accounted_for_is_not_read_again() -> None:
    landing = open_objects("memory://")
    item = landed(landing, [b"a"], **{AGAIN: ["gone"], MOVED: []})
    assert carried(landing, item, version(**{AGAIN: ["gone"]})) == item.detail
    assert carried(landing, item) == item.detail


def test_a_file_that_several_versions_name_counts_once() -> None:
    landing = open_objects("memory://")
    key = copied(landing, "1", [b"a"])
    item = landed(landing, [b"a", b"a"])
    assert carried(landing, item, version(**{AGAIN: [key]}), version(**{AGAIN: [key]}))[MOVED] == [[1, 1]]


@pytest.mark.parametrize("own", [True, False])
def test_what_is_known_to_be_elsewhere_is_found_and_then_accounted_for(own: bool) -> None:
    landing = open_objects("memory://")
    facts = {ELSEWHERE: [copied(landing, "1", [b"b"])]}
    found = carried(landing, landed(landing, [b"a", b"b"], **(facts if own else {})), version(**({} if own else facts)))
    assert (found[MOVED], found[AGAIN]) == ([[2, 2]], facts[ELSEWHERE])
    assert ELSEWHERE not in found


def test_a_copy_that_is_gone_is_named_and_nothing_of_what_it_held() -> None:
    landing = open_objects("memory://")
    with pytest.raises(CopyMissingError, match=r"^reprocessed/gone$"):
        carried(landing, landed(landing, [b"a"]), version(**{AGAIN: ["reprocessed/gone"]}))


def test_memory_does_not_grow_with_the_length_of_what_was_moved(tmp_path: Path) -> None:
    landing = open_objects(tmp_path.as_uri())
    records = [b"%d" % number + b"#" * 900_000 for number in range(40)]
    key = copied(landing, "1", records)
    item = landed(landing, [*reversed(records), b"a"])
    tracemalloc.start()
    try:
        found = carried(landing, item, version(**{AGAIN: [key]}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found[MOVED] == [[1, 40]]
    assert peak < 8_000_000


# The mapping that a person chose


FIRST, SECOND = {CHOSEN_AT: "2026-03-01T00:00:00+00:00"}, {CHOSEN_AT: "2026-03-02T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("own", "others", "kept"),
    [
        ({}, [{}], {}),
        ({}, [{REMAP: "m1", **FIRST}], {REMAPPED: "m1", **FIRST}),
        ({}, [{REMAPPED: "m1", **FIRST}], {REMAPPED: "m1", **FIRST}),
        ({}, [{REMAPPED: "m1", REMAP: "m2", **SECOND}], {REMAPPED: "m2", **SECOND}),
        ({}, [{REMAPPED: "m2", **SECOND}, {REMAPPED: "m1", **FIRST}], {REMAPPED: "m2", **SECOND}),
        ({REMAPPED: "m1", **FIRST}, [{REMAPPED: "m2", **SECOND}], {REMAPPED: "m2", **SECOND}),
        ({REMAP: "m1", **FIRST}, [{REMAPPED: "m2", **SECOND}], {REMAPPED: "m2", **SECOND}),
        ({REMAP: "m2", **SECOND}, [{REMAPPED: "m1", **FIRST}], {REMAP: "m2", **SECOND}),
        ({REMAPPED: "m2", REMAP: "m3", **SECOND}, [{}], {REMAPPED: "m2", REMAP: "m3", **SECOND}),
        ({}, [{REMAPPED: "m1"}, {REMAPPED: "m2"}], {REMAPPED: "m2"}),
    ],
)
def test_the_last_choice_holds_whichever_version_it_was_made_for(
    own: dict[str, str], others: list[dict[str, str]], kept: dict[str, str]
) -> None:
    landing = open_objects("memory://")
    item = landed(landing, [b"a"], **own)
    found = carried(landing, item, *(version(**one) for one in others))
    assert {name: value for name, value in found.items() if name not in ("etag", "landed_at")} == kept


@pytest.mark.parametrize("own", [{REMAP: "m1", **FIRST}, {REMAPPED: "m1"}, {}])
def test_what_was_chosen_for_a_version_that_is_filtered_holds_whatever_a_clock_said_before(own: dict[str, str]) -> None:
    landing = open_objects("memory://")
    item = landed(landing, [b"a"], **own)
    filtered = {name: value for name, value in item.detail.items() if name != "landed_at"}
    assert carried(landing, replace(item, detail=filtered), version(**{REMAPPED: "m2", **SECOND})) == filtered
