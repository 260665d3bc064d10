"""The packages as an asset: what its runs record of each hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from pipelines.core.periods import hour_key
from pipelines.core.work import State
from pipelines.definitions import build
from pipelines.domains.mobile.checks import CHECKS, judge_hour
from pipelines.domains.mobile.totals import Totals
from pipelines.environment import Environment
from pipelines_tests.domains.mobile.stages import HOUR, MAPPING, Stage, lines, text

NEXT = HOUR + timedelta(hours=1)
LAST = HOUR + timedelta(hours=2)
KEYS = [hour_key(hour) for hour in (HOUR, NEXT, LAST)]
NODE = "mobile__packages"
PACKAGES = dg.AssetKey(["mobile", "packages"])


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def home(environment: Environment) -> Iterator[Stage]:
    """What the environment names, with files in its first and last hour."""
    environment.home.mkdir()
    stage = Stage.open(environment.home)
    stage.land("a.json", text([*lines(10), b"{}"]))
    stage.land("b.json", text(lines(5)))
    stage.land("c.json", text(lines(7)), LAST)
    stage.take_in(LAST)
    yield stage
    stage.ledger.close()


def run(
    environment: Environment,
    instance: dg.DagsterInstance,
    first: str = KEYS[0],
    last: str | None = None,
    *,
    only_due: bool = False,
) -> dg.ExecuteInProcessResult:
    job = build(environment).resolve_job_def("mobile_filter_packages")
    config = {"ops": {NODE: {"config": {"only_due": only_due}}}}
    if last is None:
        return job.execute_in_process(run_config=config, partition_key=first, instance=instance, raise_on_error=False)
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return job.execute_in_process(run_config=config, tags=tags, instance=instance, raise_on_error=False)


def recorded(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """The metadata of each partition that a run recorded; each once."""
    events = result.asset_materializations_for_node(NODE)
    assert len({event.partition for event in events}) == len(events)
    return {str(event.partition): {key: value.value for key, value in event.metadata.items()} for event in events}


def evaluated(result: dg.ExecuteInProcessResult) -> dict[tuple[str | None, str], bool]:
    return {(one.partition, one.check_name): one.passed for one in result.get_asset_check_evaluations()}


def test_a_run_over_one_partition_records_what_its_files_hold(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    result = run(environment, instance)
    assert result.success
    (metadata,) = recorded(result).values()
    outputs = [home.output("a.json"), home.output("b.json")]
    assert metadata["dagster/row_count"] == sum(pq.read_metadata(path).num_rows for path in outputs) == 15
    assert metadata["bytes"] == sum(path.stat().st_size for path in outputs)
    assert metadata["dagster/uri"] == f"{environment.lake}/mobile/packages/date=2026-03-01/hour=12/"
    counts = {"files": 2, "files_waiting": 0, "files_dead": 0, "records_read": 16, "records_rejected": 1}
    assert counts.items() <= metadata.items()
    assert metadata["reject_reasons"] == {"missing": 1}
    assert metadata["mapping_versions"] == [MAPPING.version]
    assert home.item("c.json").state is State.PENDING
    assert instance.get_materialized_partitions(PACKAGES) == {KEYS[0]}


def test_a_run_over_a_range_records_every_hour_with_its_own_counts_and_checks(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    result = run(environment, instance, KEYS[0], KEYS[2])
    assert result.success
    assert {key: found["dagster/row_count"] for key, found in recorded(result).items()} == dict(
        zip(KEYS, (15, 0, 7), strict=True)
    )
    assert set(evaluated(result)) == {(key, name) for key in KEYS for name in CHECKS}
    assert evaluated(result) == dict.fromkeys(evaluated(result), True) | unknown_places(home)


@pytest.mark.parametrize(
    ("rejected", "read", "keeps"), [(2, 3, True), (3, 59, False), (3, 60, True), (50, 1000, True), (51, 1000, False)]
)
def test_one_or_two_records_of_an_hour_with_few_break_no_bound_on_a_share(
    environment: Environment, rejected: int, read: int, keeps: bool
) -> None:
    totals = Totals(read=read, rejected=Counter({"missing": rejected}), written=read, unknown=rejected)
    judged = {name: (passed, metadata) for name, passed, metadata in judge_hour(totals, environment)}
    for name in ("rejects_within_bound", "unknown_places_within_bound"):
        assert judged[name] == (keeps, {"share": rejected / read, "bound": 0.05, "records": rejected})


def test_a_bound_of_nothing_is_broken_by_one_record(environment: Environment) -> None:
    strict = environment.model_copy(update={"mobile_rejected_share": 0.0})
    judged = {name: passed for name, passed, _ in judge_hour(Totals(read=9, rejected=Counter({"missing": 1})), strict)}
    assert not judged["rejects_within_bound"]


def unknown_places(home: Stage) -> dict[tuple[str, str], bool]:
    """What the samples' own share of odd places does to its check."""
    name = "unknown_places_within_bound"
    hours = {KEYS[0]: ("a.json", "b.json"), KEYS[2]: ("c.json",)}
    details = {key: [home.item(name).detail for name in names] for key, names in hours.items()}
    return {
        (key, name): sum(one["unknown"] for one in found) <= max(2, 0.05 * sum(one["written"] for one in found))
        for key, found in details.items()
    }


def test_a_run_over_what_is_due_records_only_the_hours_that_it_touched(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    result = run(environment, instance, KEYS[0], KEYS[2], only_due=True)
    assert result.success
    assert set(recorded(result)) == {KEYS[0], KEYS[2]}
    assert set(evaluated(result)) == {(key, name) for key in (KEYS[0], KEYS[2]) for name in CHECKS}
    again = run(environment, instance, KEYS[0], KEYS[2], only_due=True)
    assert again.success
    assert recorded(again) == {}
    assert len(home.released()) == 3


def test_a_run_over_one_due_hour_records_it_once(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    run(environment, instance)
    result = run(environment, instance, KEYS[2], KEYS[2], only_due=True)
    assert set(recorded(result)) == {KEYS[2]}
    assert evaluated(result)[KEYS[2], "nothing_pending"]


def test_a_run_over_what_is_due_takes_what_became_due_since_it_was_asked_for(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    result = run(environment, instance, KEYS[2], KEYS[2], only_due=True)
    assert set(recorded(result)) == {KEYS[0], KEYS[2]}
    assert {item.state for item in home.ledger.items("mobile/packages")} == {State.SETTLED}
    assert set(evaluated(result)) == {(key, name) for key in (KEYS[0], KEYS[2]) for name in CHECKS}


def test_an_hour_is_recorded_with_the_versions_of_its_data_code_and_mapping(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    """So that the hours whose data did not change do not look stale, however they were run."""
    ranged = run(environment, instance, KEYS[0], KEYS[2]).asset_materializations_for_node(NODE)
    (single,) = run(environment, instance).asset_materializations_for_node(NODE)
    (before,) = (event for event in ranged if event.partition == KEYS[0])
    assert before.tags is not None
    assert single.tags is not None
    for tag in ("dagster/data_version", "dagster/code_version"):
        assert before.tags[tag] == single.tags[tag]
    assert before.tags["dagster/input_data_version/mobile/privacy_mapping"] == MAPPING.sha256


def test_a_run_over_what_is_settled_keeps_it_and_a_damaged_output_is_made_again(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    first = recorded(run(environment, instance))
    content = home.output("a.json").read_bytes()
    kept = home.lake.head(home.item("b.json").detail["output"])
    home.output("a.json").unlink()
    assert recorded(run(environment, instance)) == first
    assert home.output("a.json").read_bytes() == content
    assert home.lake.head(kept.key) == kept


def test_a_dead_file_fails_its_check_and_not_the_run(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    home.path("b.json").unlink()
    result = run(environment, instance, KEYS[0], KEYS[2], only_due=True)
    assert result.success
    assert recorded(result)[KEYS[0]]["files_dead"] == 1
    assert not evaluated(result)[KEYS[0], "every_file_settled"]
    assert evaluated(result)[KEYS[2], "every_file_settled"]


def test_a_run_of_the_asset_with_its_checks_judges_the_hour_in_a_step_of_its_own(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    job = build(environment).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=[PACKAGES], partition_key=KEYS[0], instance=instance)
    assert {name for _, name in evaluated(result)} == set(CHECKS)
    assert {event.partition for event in result.asset_materializations_for_node(NODE)} == {KEYS[0]}


def test_without_an_accepted_mapping_nothing_is_filtered(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    home.lake.delete("mobile/privacy_mapping/versions/current.json")
    assert not run(environment, instance).success
    assert home.item("a.json").state is State.PENDING


def test_an_hour_asked_for_by_hand_is_looked_at_in_landing_first(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    """Older folders are listed once a day: an hour must not look done because nobody had looked."""
    home.land("late.json", text(lines(3)), NEXT)
    assert run(environment, instance, KEYS[1]).success
    assert home.item("late.json").state is State.SETTLED


def test_what_was_given_up_is_tried_again_when_its_hour_is_asked_for_by_hand(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    away = home.path("a.json").rename(home.path("a.json").with_suffix(".part"))
    run(environment, instance)
    assert home.item("a.json").state is State.DEAD
    away.rename(home.path("a.json"))
    run(environment, instance)
    assert home.item("a.json").state is State.SETTLED


def test_checks_that_run_alone_judge_all_hours_as_one(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    """The button in the UI starts them without a partition."""
    selection = dg.AssetSelection.checks_for_assets(PACKAGES)
    job = dg.Definitions.merge(build(environment), dg.Definitions(jobs=[dg.define_asset_job("checks", selection)]))
    result = job.resolve_job_def("checks").execute_in_process(instance=instance, raise_on_error=False)
    assert result.success
    assert {name: passed for (_, name), passed in evaluated(result).items()} == {
        name: name != "nothing_pending" for name in CHECKS
    }


def test_an_hour_that_several_made_is_recorded_with_all_that_it_was_made_from(
    environment: Environment, instance: dg.DagsterInstance, home: Stage
) -> None:
    """Without a version and a pointer for each dependency, Dagster calls the hour unsynced."""
    result = run(environment, instance, KEYS[0], KEYS[2], only_due=True)
    for event in result.asset_materializations_for_node(NODE):
        tags = event.tags or {}
        for upstream in ("mobile/landed_packages", "mobile/privacy_mapping"):
            assert tags[f"dagster/input_event_pointer/{upstream}"]
            assert tags[f"dagster/input_data_version/{upstream}"]
        assert tags["dagster/input_data_version/mobile/privacy_mapping"] == MAPPING.sha256
