"""How many packages of an output look alike, with a second opinion on the smallest group."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycanon.anonymity import k_anonymity

from pipelines.domains.mobile.feeds import PACKAGES
from pipelines.domains.mobile.packages.anonymity import FEW, Anonymity, Groups
from pipelines.domains.mobile.totals import total
from pipelines_tests.domains.mobile.stages import Stage, lines, text

Row = tuple[str, str | None, str]
DAY = "2026-03-01T00:00:00Z"


def batch(rows: list[Row]) -> pa.RecordBatch:
    district, authority, start = ([row[at] for row in rows] for at in range(3))
    columns = {"postaldistrict": district, "localauthority": authority, "startdate": start}
    return pa.record_batch({name: pa.array(values, pa.string()) for name, values in columns.items()})


def measure(*batches: list[Row], most: int = 1_000) -> Anonymity:
    groups = Groups(most)
    for rows in batches:
        groups.add(batch(rows))
    return groups.measure()


@pytest.mark.parametrize(
    ("rows", "groups", "small_groups", "smallest_group"),
    [
        ([], 0, 0, None),
        ([("QA1", "E1", DAY)], 1, 1, 1),
        ([("QA1", "E1", DAY)] * FEW, 1, 0, FEW),
        ([("QA1", "E1", DAY)] * (FEW - 1), 1, 1, FEW - 1),
        ([("QA1", "E1", DAY)] * 7 + [("QA2", "E1", DAY)] * 3, 2, 1, 3),
        ([("QA1", "E1", DAY)] * 6 + [("QA1", "E2", DAY)] * 5, 2, 0, 5),
        ([("QA1", "E1", DAY)] * 6 + [("QA1", None, DAY)] * 2, 2, 1, 2),
        ([("QA1", None, DAY)] * 2 + [("QA1", None, "2026-03-01T23:59:59.999Z")] * 4, 1, 0, 6),
        ([("QA1", None, DAY)] * 2 + [("QA1", None, "2026-03-02T00:00:00Z")] * 4, 2, 2, 2),
    ],
)
def test_packages_of_one_place_and_day_look_alike(
    rows: list[Row], groups: int, small_groups: int, smallest_group: int | None
) -> None:
    assert measure(rows) == Anonymity(groups, small_groups, smallest_group)


rows_of_few_places = st.lists(
    st.tuples(
        st.sampled_from(["QA1", "QA2", "UNKNOWN"]),
        st.sampled_from(["E1", "E2", None]),
        st.sampled_from([DAY, "2026-03-01T23:00:00Z", "2026-03-02T00:00:00Z"]),
    ),
    min_size=1,
    max_size=60,
)


@given(rows=rows_of_few_places, at=st.integers(0, 60))
def test_how_packages_are_cut_into_batches_changes_nothing(rows: list[Row], at: int) -> None:
    sizes = Counter((district, authority, start[:10]) for district, authority, start in rows).values()

    assert measure(rows[:at], rows[at:]) == Anonymity(len(sizes), sum(one < FEW for one in sizes), min(sizes))


@given(rows=rows_of_few_places)
def test_the_smallest_group_is_what_another_finds(rows: list[Row]) -> None:
    assert measure(rows).smallest_group == second_opinion(batch(rows))


def test_groups_that_were_added_up_meanwhile_are_counted_alike() -> None:
    rows: list[Row] = [(f"QA{number % 50}", None, DAY) for number in range(220)]

    assert measure(*([row] for row in rows), most=8) == measure(rows) == Anonymity(50, 30, 4)


def test_the_facts_of_a_file_say_how_anonymous_its_output_is(stage: Stage) -> None:
    stage.land("a.json", text(lines(400)))
    stage.run()
    table, facts = stage.table("a.json"), stage.item("a.json").detail
    assert facts["smallest_group"] == second_opinion(table)
    assert 1 < facts["groups"] < table.num_rows, "groups, and not packages, were counted"
    assert facts["small_groups"] <= facts["groups"]


def test_an_hour_adds_up_groups_but_has_the_smallest_of_any_file(stage: Stage) -> None:
    stage.land("a.json", text(lines(400)))
    stage.land("b.json", text(lines(100)[:1] * 3))
    stage.land("c.json", b"")
    stage.run()
    totals = total(stage.ledger.items(PACKAGES.queue))
    facts = [stage.item(name).detail for name in ("a.json", "b.json", "c.json")]
    assert [one["smallest_group"] for one in facts] == [second_opinion(stage.table("a.json")), 3, None]
    assert totals.least == {"smallest_group_of_a_file": min(facts[0]["smallest_group"], 3)}
    assert totals.counts["groups_in_files"] == facts[0]["groups"] + 1
    assert totals.counts["small_groups_in_files"] == facts[0]["small_groups"] + 1


def test_files_without_packages_have_no_smallest_group(stage: Stage) -> None:
    stage.land("a.json", b"")
    stage.run()
    assert total(stage.ledger.items(PACKAGES.queue)).least == {}


def second_opinion(packages: pa.RecordBatch | pa.Table) -> int:
    """The k of k-anonymity, as others compute it; no authority is written as one, which theirs needs."""
    data = packages.select(["postaldistrict", "localauthority", "startdate"]).to_pandas()
    data["localauthority"] = data["localauthority"].fillna("none")
    data["startdate"] = data["startdate"].str[:10]
    return int(k_anonymity(data, list(data.columns)))
