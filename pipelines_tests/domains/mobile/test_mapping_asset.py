"""The privacy mapping as an asset: which versions come into force, and what a run says of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.objects import open_objects
from pipelines.definitions import build
from pipelines.domains.mobile import accepted, files
from pipelines.domains.mobile.assets import MAPPING, MAPPING_CHECKS
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.environment import Environment
from pipelines_tests.domains.mobile.stages import MAPPING as SHIPPED
from pipelines_tests.domains.mobile.stages import OTHER, SAMPLE, WITH_ONE_MORE

POPULATION = (Path(files.__file__).parent / "sample_population.csv").read_bytes()
FIRST = b'"QA1_E99000001","E99000001","QA1"'
"""The first row of the sample, which has line 2."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def given(tmp_path: Path, environment: Environment) -> Environment:
    """An environment whose mapping and populations are files of its own, the sample to begin with."""
    give(tmp_path)
    settings = {"privacy_mapping": str(tmp_path / "mapping.csv"), "population": str(tmp_path / "population.csv")}
    return environment.model_copy(update=settings)


def give(folder: Path, mapping: bytes = SAMPLE, population: bytes = POPULATION) -> None:
    (folder / "mapping.csv").write_bytes(mapping)
    (folder / "population.csv").write_bytes(population)


def accept(environment: Environment, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build(environment).resolve_job_def("mobile_accept_mapping")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def in_force(environment: Environment) -> PrivacyMapping | None:
    return accepted.current(open_objects(environment.lake))


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {one.check_name for one in result.get_asset_check_evaluations() if not one.passed}


def error_of(result: dg.ExecuteInProcessResult) -> str:
    """All that a run says of its failure, causes included."""
    (failure,) = (event for event in result.all_events if event.is_step_failure)
    error = failure.step_failure_data.error
    texts = []
    while error is not None:
        texts.append(error.message)
        error = error.cause
    return "".join(texts)


def test_the_shipped_sample_is_accepted_and_shown(environment: Environment, instance: dg.DagsterInstance) -> None:
    result = accept(environment, instance)
    assert result.success
    assert {one.check_name: one.passed for one in result.get_asset_check_evaluations()} == dict.fromkeys(
        MAPPING_CHECKS, True
    )
    assert in_force(environment) == SHIPPED
    event = instance.get_latest_materialization_event(MAPPING)
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["sha256"].value == SHIPPED.sha256
    assert metadata["dagster/row_count"].value == SHIPPED.rows
    assert metadata["populations_checked"].value is True
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == SHIPPED.sha256
    shown = pq.read_table(environment.home / "lake/mobile/privacy_mapping/privacy_mapping.parquet")
    assert shown == SHIPPED.to_table()


def test_a_second_version_takes_the_place_of_the_first_and_says_what_changed(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    accept(given, instance)
    give(tmp_path, WITH_ONE_MORE)
    result = accept(given, instance)
    assert result.success
    assert in_force(given) == OTHER
    assert accepted.version(open_objects(given.lake), SHIPPED.sha256) == SHIPPED
    (event,) = result.asset_materializations_for_node("mobile__privacy_mapping")
    assert "|  | TERMINATED | 1 |" in str(event.metadata["changes"].value)


REFUSED = {
    "groups_are_closed": (SAMPLE.replace(FIRST, FIRST[:-1] + b'_QA1W"'), POPULATION),
    "members_are_right": (SAMPLE.replace(FIRST, b'"QA1_E99000001","E99000002","QA1"'), POPULATION),
    "special_values_are_known": (SAMPLE.replace(FIRST, b'"QA1_E99000001","E99000001","TERMINATED"'), POPULATION),
    "populations_over_bounds": (SAMPLE, POPULATION.replace(b",9120,", b",999,")),
}


@pytest.mark.parametrize("check", REFUSED)
def test_a_version_that_fails_a_check_is_refused_and_the_one_before_stays(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path, check: str
) -> None:
    accept(given, instance)
    before = {path: path.read_bytes() for path in (given.home / "lake").rglob("*") if path.is_file()}
    mapping, population = REFUSED[check]
    give(tmp_path, mapping, population)
    result = accept(given, instance)
    assert not result.success
    assert check in failed_checks(result)
    assert result.asset_materializations_for_node("mobile__privacy_mapping") == []
    assert in_force(given) == SHIPPED
    assert {path: path.read_bytes() for path in (given.home / "lake").rglob("*") if path.is_file()} == before
    (evaluation,) = (one for one in result.get_asset_check_evaluations() if one.check_name == check)
    assert "[2]" in str(evaluation.metadata["first"].value), "findings name lines"


@pytest.fixture
def real(reference_data: Path, given: Environment, tmp_path: Path) -> tuple[bytes, bytes]:
    """The real mapping and its populations, which the environment names."""
    names = "PD_LA_to_MergedPD_LA.csv", "analytics-postcode-demographic-geographic-lookup.csv"
    mapping, population = ((reference_data / "mobile" / name).read_bytes() for name in names)
    give(tmp_path, mapping, population)
    return mapping, population


MOVED = {"B14_B31_B38": "B14_B38", "B32_B62_B63": "B31_B32_B62_B63"}
"""Cells of the real mapping in one authority, of 1,294 and 2,329 people, and what they are once B31 has moved."""


def move_one_district(mapping: bytes, population: bytes, people: int) -> tuple[bytes, bytes]:
    """A version with B31 in the other cell, and populations of both versions by which B31 has so many people."""
    text = mapping.decode()
    for before, after in MOVED.items():
        text = text.replace(f'"E07000234","{before}"', f'"E07000234","{after}"')
    text = text.replace('"B31_E07000234","E07000234","B14_B38"', '"B31_E07000234","E07000234","B31_B32_B62_B63"')
    rows = (("B14_B38", 1_294 - people), ("B31_B32_B62_B63", 2_329 + people))
    more = "".join(f"{cell},Bromsgrove,West Midlands,England,{count},0,0,E07000234\n" for cell, count in rows)
    return text.encode(), population.rstrip() + b"\n" + more.encode()


def test_the_real_mapping_is_accepted(
    given: Environment, instance: dg.DagsterInstance, real: tuple[bytes, bytes]
) -> None:
    result = accept(given, instance)
    assert result.success
    assert failed_checks(result) == set()
    assert in_force(given) == PrivacyMapping.parse(real[0])


def test_a_small_district_may_not_move_to_another_cell(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path, real: tuple[bytes, bytes]
) -> None:
    """Each new cell is closed and has its 1,000 people: the 294 stand out only beside the version before."""
    accept(given, instance)
    give(tmp_path, *move_one_district(*real, people=294))
    result = accept(given, instance)
    assert not result.success
    assert failed_checks(result) == {"differences_over_bounds"}
    assert in_force(given) == PrivacyMapping.parse(real[0])
    line = 1 + real[0].splitlines().index(b'"B31_E07000234","E07000234","B14_B31_B38"')
    (evaluation,) = (one for one in result.get_asset_check_evaluations() if not one.passed)
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert str(evaluation.metadata["first"].value).count("fewer than 1,000 people") == 1
    assert f"[{line}]" in str(evaluation.metadata["first"].value)
    assert "B31" not in str(evaluation.metadata) + error_of(result)


def test_a_version_is_compared_with_all_that_were_ever_accepted(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """QB3 and QB4 as cells of their own, then QB4 elsewhere: what the first version gave out can't be taken back."""
    versions = [
        ("QB3_QB4", "QB3_QB4", "QB8"),
        ("QB3_QB4_QB8", "QB3_QB4_QB8", "QB3_QB4_QB8"),
        ("QB3", "QB4_QB8", "QB4_QB8"),
    ]
    rows = [("QB3_QB4_QB8", 22_980), ("QB3", 9_999), ("QB4_QB8", 12_981)]  # QB4 alone: 631
    more = "".join(f"{cell},Harrowmere,Sample Region,England,{count},0,0,E99000004\n" for cell, count in rows)
    results = []
    for cells in versions:
        text = SAMPLE
        for district, cell in zip(("QB3", "QB4", "QB8"), cells, strict=True):
            before = "QB8" if district == "QB8" else "QB3_QB4"
            key = f'"{district}_E99000004","E99000004",'
            assert f'{key}"{before}"'.encode() in text
            text = text.replace(f'{key}"{before}"'.encode(), f'{key}"{cell}"'.encode())
        give(tmp_path, text, POPULATION.rstrip() + b"\n" + more.encode())
        results.append(accept(given, instance))
    assert [result.success for result in results] == [True, True, False]
    assert failed_checks(results[-1]) == {"differences_over_bounds"}


def test_a_change_that_can_not_be_judged_is_listed_and_blocks_nothing(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """The shipped populations have no cell of the version before."""
    first = SAMPLE.replace(b'"E99000004","QB8"', b'"E99000004","QB8_QB9"') + b'"QB9_E99000004","E99000004","QB8_QB9"\n'
    more = b"QB8_QB9,Harrowmere,Sample Region,England,14000,0,0,E99000004\n"
    give(tmp_path, first, POPULATION.rstrip() + b"\n" + more)
    accept(given, instance)
    give(tmp_path)
    result = accept(given, instance)
    assert result.success
    assert in_force(given) == SHIPPED
    (unjudged,) = (one for one in result.get_asset_check_evaluations() if not one.passed)
    assert (unjudged.check_name, unjudged.severity) == ("differences_over_bounds", dg.AssetCheckSeverity.WARN)
    line = 1 + SAMPLE.splitlines().index(b'"QB8_E99000004","E99000004","QB8"')
    assert unjudged.metadata["findings"].value == 0
    assert "a population is not known" in str(unjudged.metadata["first_not_judged"].value)
    assert f"[{line}]" in str(unjudged.metadata["first_not_judged"].value)


def test_an_earlier_version_that_is_lost_is_named_as_not_compared(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    accept(given, instance)
    (given.home / f"lake/mobile/privacy_mapping/versions/{SHIPPED.sha256}.csv").unlink()
    give(tmp_path, WITH_ONE_MORE)
    result = accept(given, instance)
    assert result.success
    (unjudged,) = (one for one in result.get_asset_check_evaluations() if not one.passed)
    assert (unjudged.check_name, unjudged.severity) == ("differences_over_bounds", dg.AssetCheckSeverity.WARN)
    assert "lost" in str(unjudged.metadata["first_not_judged"].value)


def test_before_any_version_was_accepted_a_refused_one_leaves_none(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    give(tmp_path, *REFUSED["groups_are_closed"])
    assert not accept(given, instance).success
    assert in_force(given) is None


def test_without_populations_no_bound_is_checked_and_the_metadata_say_so(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    give(tmp_path, *REFUSED["populations_over_bounds"])
    result = accept(given.model_copy(update={"population": ""}), instance)
    assert result.success
    (event,) = result.asset_materializations_for_node("mobile__privacy_mapping")
    assert event.metadata["populations_checked"].value is False


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        (SAMPLE.replace(FIRST, FIRST + b"\n" + FIRST), "duplicate key in Postcode_District_LAD_ID (line 3)"),
        (SAMPLE.replace(FIRST, b'"QA1_E99000001"'), "wrong number of columns (line 2)"),
        (
            SAMPLE.replace(FIRST, b'"QA1 E99000001","E99000001","QA1"'),
            "no underscore in Postcode_District_LAD_ID (line 2)",
        ),
        (b"", "no rows"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_line_and_never_by_value(
    given: Environment, instance: dg.DagsterInstance, tmp_path: Path, mapping: bytes, told: str
) -> None:
    accept(given, instance)
    give(tmp_path, mapping)
    result = accept(given, instance)
    assert not result.success
    assert told in error_of(result)
    assert "QA1" not in error_of(result)
    assert in_force(given) == SHIPPED


def test_populations_that_are_not_given_are_a_warning_and_block_nothing(
    given: Environment, instance: dg.DagsterInstance
) -> None:
    """A check that was not made must not look passed."""
    result = accept(given.model_copy(update={"population": ""}), instance)
    assert result.success
    (unmade,) = (one for one in result.get_asset_check_evaluations() if not one.passed)
    assert (unmade.check_name, unmade.severity) == ("populations_over_bounds", dg.AssetCheckSeverity.WARN)
    assert in_force(given) == SHIPPED


def test_a_version_whose_table_could_not_be_stored_is_not_in_force(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    table = environment.home / "lake/mobile/privacy_mapping/privacy_mapping.parquet"
    table.mkdir(parents=True)  # a folder stands where the file is to be
    assert not accept(environment, instance).success
    assert in_force(environment) is None
    table.rmdir()
    assert accept(environment, instance).success
    assert in_force(environment) == SHIPPED


def test_a_version_in_force_that_is_lost_can_be_put_in_force_again(
    environment: Environment, instance: dg.DagsterInstance
) -> None:
    accept(environment, instance)
    (environment.home / f"lake/mobile/privacy_mapping/versions/{SHIPPED.sha256}.csv").unlink()
    assert accept(environment, instance).success
    assert in_force(environment) == SHIPPED
