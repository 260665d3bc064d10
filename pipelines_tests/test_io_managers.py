"""Tables written to the lake and read back by other assets, as whoever builds on the platform does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipelines.adapters.objects import ObjectChanged, ObjectInfo, Objects, open_objects
from pipelines.definitions import build
from pipelines.environment import Environment
from pipelines.io_managers import ParquetIOManager, folder
from pipelines_tests.adapters.stores import FORMS, empty

HOURS = dg.HourlyPartitionsDefinition("2026-03-01-00:00", end_offset=0)
DAYS = dg.DailyPartitionsDefinition("2026-03-01")
MONTHS = dg.MonthlyPartitionsDefinition("2026-01", fmt="%Y-%m")
TABLE = pa.table({"n": [1, 2, 3], "t": ["a", None, "c"], "b": pa.array([1, 2**40, None], pa.int64())})
RANGE = {"dagster/asset_partition_range_start": "2026-03-01", "dagster/asset_partition_range_end": "2026-03-03"}
THREE_DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")


@pytest.fixture(params=["file", "a folder, 50% full", "memory", "seaweedfs"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    form = request.param if request.param in FORMS else "file"
    folder = tmp_path if request.param in FORMS else tmp_path / request.param
    with empty(form, folder, request) as url:
        yield open_objects(url)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Runs:
    """Runs of assets over one lake."""

    def __init__(self, lake: Objects, instance: dg.DagsterInstance) -> None:
        self.lake = lake
        self.instance = instance

    def make(self, *assets: dg.AssetsDefinition, **terms: Any) -> dg.ExecuteInProcessResult:
        """Materialise assets, or a ``selection`` of them."""
        resources = {"io_manager": ParquetIOManager(lake=self.lake)}
        return dg.materialize([*assets], resources=resources, instance=self.instance, **terms)

    def read(self, asset: dg.AssetsDefinition, wanted: Any = None, partitions: Any = None, **terms: Any) -> Any:
        """What a downstream asset, in a run of its own, is given where it asks by this annotation."""
        given_to_it = []

        def reader(given: Any) -> None:
            given_to_it.append(given)

        reader.__annotations__ = {"return": None} | ({} if wanted is None else {"given": wanted})
        made = dg.asset(ins={"given": dg.AssetIn(asset.key)}, partitions_def=partitions)(reader)
        self.make(asset, made, selection=[made], **terms)
        (given,) = given_to_it
        return given


@pytest.fixture
def runs(lake: Objects, instance: dg.DagsterInstance) -> Runs:
    return Runs(lake, instance)


def table_asset(content: Any, **terms: Any) -> dg.AssetsDefinition:
    """An asset that returns some content, or what a function makes of the context."""

    def rows(context: dg.AssetExecutionContext) -> Any:
        return content(context) if callable(content) else content

    made: dg.AssetsDefinition = dg.asset(key=["reports", "rows"], **terms)(rows)
    return made


def keys(lake: Objects) -> list[str]:
    return [info.key for info in lake.list("")]


# Written and read


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.to_batches()[0],
        ds.dataset(TABLE),
        lambda _: TABLE.to_reader(2),
        lambda _: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    ],
    ids=["table", "batch", "dataset", "reader", "frame"],
)
def test_whatever_holds_rows_is_stored_alike(runs: Runs, content: Any) -> None:
    rows = table_asset(content)
    (event,) = runs.make(rows).asset_materializations_for_node("reports__rows")
    assert keys(runs.lake) == ["reports/rows/rows.parquet"]
    assert event.metadata["dagster/row_count"].value == 3
    assert event.metadata["dagster/uri"].value == f"{runs.lake.url.rstrip('/')}/reports/rows/"
    assert event.metadata["bytes"].value == runs.lake.head("reports/rows/rows.parquet").size
    read = runs.read(rows)
    assert isinstance(read, pa.Table)
    assert read.to_pylist() == TABLE.to_pylist()


def test_a_frame_whose_index_is_a_mere_count_gains_no_column(runs: Runs) -> None:
    rows = table_asset(pd.DataFrame({"n": [1, 2]}))
    runs.make(rows)
    assert runs.read(rows).column_names == ["n"]


@pytest.mark.parametrize("wanted", [None, Any, pa.Table])
def test_without_another_wish_a_table_is_read(runs: Runs, wanted: Any) -> None:
    rows = table_asset(TABLE)
    runs.make(rows)
    assert runs.read(rows, wanted).equals(TABLE)


def test_a_frame_is_read_where_the_annotation_asks_for_one(runs: Runs) -> None:
    rows = table_asset(TABLE)
    runs.make(rows)
    frame = runs.read(rows, pd.DataFrame)
    pd.testing.assert_frame_equal(frame, TABLE.to_pandas())


def test_a_dataset_is_handed_on_unread(runs: Runs) -> None:
    rows = table_asset(TABLE)
    runs.make(rows)
    dataset = runs.read(rows, ds.Dataset)
    assert isinstance(dataset, ds.Dataset)
    assert dataset.to_table(columns=["n"], filter=ds.field("n") > 1).to_pylist() == [{"n": 2}, {"n": 3}]


def test_batches_are_read_one_after_another_where_the_annotation_asks_for_them(runs: Runs) -> None:
    rows = table_asset(TABLE)
    runs.make(rows)
    batches = runs.read(rows, pa.RecordBatchReader)
    assert isinstance(batches, pa.RecordBatchReader)
    assert batches.read_all().equals(TABLE)


class Counted:
    """A lake that counts the bytes that are read from it."""

    def __init__(self, lake: Objects) -> None:
        self.url = lake.url
        self.read = 0
        self._lake = lake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lake, name)

    def get_part(self, info: ObjectInfo, start: int, end: int) -> bytes:
        found = self._lake.get_part(info, start, end)
        self.read += len(found)
        return found


def test_of_a_dataset_only_what_is_wanted_is_read(lake: Objects, instance: dg.DagsterInstance) -> None:
    numbers = {name: pa.array(range(200_000)) for name in "abcdefgh"}
    counted = Counted(lake)
    runs = Runs(cast(Objects, counted), instance)
    rows = table_asset(pa.table(numbers))
    runs.make(rows)
    dataset = runs.read(rows, ds.Dataset)
    assert dataset.to_table(columns=["c"]).num_rows == 200_000
    assert 0 < counted.read < lake.head("reports/rows/rows.parquet").size / 4


def test_a_dataset_whose_file_is_replaced_is_not_read_half_old_and_half_new(runs: Runs) -> None:
    rows = table_asset(TABLE)
    runs.make(rows)
    dataset = runs.read(rows, ds.Dataset)
    runs.make(table_asset(TABLE[:1]))
    with pytest.raises(ObjectChanged):
        dataset.to_table()
    assert runs.read(rows, ds.Dataset).to_table().equals(TABLE[:1])


def test_a_table_without_rows_keeps_its_columns(runs: Runs) -> None:
    rows = table_asset(TABLE[:0])
    runs.make(rows)
    assert runs.read(rows).schema.equals(TABLE.schema)


def test_what_is_made_anew_takes_the_place_of_what_was_there(runs: Runs) -> None:
    runs.make(table_asset(TABLE))
    rows = table_asset(TABLE[:1])
    runs.make(rows)
    assert runs.read(rows).num_rows == 1
    assert len(keys(runs.lake)) == 1


def test_what_is_no_table_is_refused_and_what_was_there_stays(runs: Runs) -> None:
    runs.make(table_asset(TABLE))
    with pytest.raises(TypeError, match="not list"):
        runs.make(table_asset([1, 2]))
    assert runs.read(table_asset(TABLE)).equals(TABLE)


def test_a_reader_that_fails_on_its_way_leaves_what_was_there(runs: Runs) -> None:
    def torn(_: object) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            yield TABLE.to_batches()[0]
            raise OSError("cut")

        return pa.RecordBatchReader.from_batches(TABLE.schema, batches())

    runs.make(table_asset(TABLE[:1]))
    with pytest.raises(OSError, match="cut"):
        runs.make(table_asset(torn))
    assert runs.read(table_asset(TABLE)).equals(TABLE[:1])


def test_a_folder_with_nothing_in_it_is_an_error_that_says_so(runs: Runs) -> None:
    with pytest.raises(FileNotFoundError, match="no parquet file in the folders asked for"):
        runs.read(table_asset(TABLE))


# Partitions


@pytest.mark.parametrize(
    ("partitions", "key", "path"),
    [
        (HOURS, "2026-03-01-02:00", "date=2026-03-01/hour=02"),
        (DAYS, "2026-03-02", "date=2026-03-02"),
        (MONTHS, "2026-02", "month=2026-02"),
        (dg.StaticPartitionsDefinition(["north"]), "north", "partition=north"),
    ],
)
def test_each_partition_has_a_folder_of_its_own(
    runs: Runs, partitions: dg.PartitionsDefinition, key: str, path: str
) -> None:
    rows = table_asset(TABLE, partitions_def=partitions)
    (event,) = runs.make(rows, partition_key=key).asset_materializations_for_node("reports__rows")
    assert keys(runs.lake) == [f"reports/rows/{path}/rows.parquet"]
    assert str(event.metadata["dagster/uri"].value).endswith(f"/reports/rows/{path}/")
    assert runs.read(rows, partitions=partitions, partition_key=key).equals(TABLE)


def by_day(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
    return {key: TABLE[: at + 1] for at, key in enumerate(context.partition_keys)}


def test_several_partitions_of_one_run_are_written_each_by_its_key(runs: Runs) -> None:
    rows = table_asset(by_day, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    runs.make(rows, tags=RANGE)
    assert keys(runs.lake) == [f"reports/rows/date={key}/rows.parquet" for key in THREE_DAYS]
    assert runs.read(rows, partitions=DAYS, partition_key="2026-03-02").num_rows == 2
    assert runs.instance.get_materialized_partitions(rows.key) == set(THREE_DAYS)


def test_one_table_for_several_partitions_is_refused(runs: Runs) -> None:
    rows = table_asset(TABLE, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    with pytest.raises(ValueError, match="3 partitions need a table for each key"):
        runs.make(rows, tags=RANGE)
    assert keys(runs.lake) == []


def test_a_key_that_was_forgotten_is_refused_before_anything_is_written(runs: Runs) -> None:
    def all_but_one(context: dg.AssetExecutionContext) -> dict[str, pa.Table]:
        return dict.fromkeys(context.partition_keys[1:], TABLE)

    rows = table_asset(all_but_one, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    with pytest.raises(ValueError, match="3 partitions need a table for each key"):
        runs.make(rows, tags=RANGE)
    assert keys(runs.lake) == []


def test_a_month_reads_its_days_as_one_table(runs: Runs) -> None:
    rows = table_asset(by_day, partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
    runs.make(rows, tags=RANGE)
    assert runs.read(rows, partitions=MONTHS, partition_key="2026-03").num_rows == 1 + 2 + 3


@pytest.mark.parametrize(
    ("partition", "path"),
    [(None, ""), ("2026-03-01-02:00", "date=2026-03-01/hour=02/"), ("2026-03", "month=2026-03/")],
)
def test_a_folder_ends_with_a_slash(partition: str | None, path: str) -> None:
    assert folder(dg.AssetKey(["a", "b"]), partition) == f"a/b/{path}"


# What others write


def test_the_files_of_an_asset_of_file_grain_are_read_as_one(runs: Runs) -> None:
    """Such an asset writes one file for each that landed, and its folder holds nothing else to read."""

    @dg.asset(key=["mobile", "batches"], partitions_def=HOURS)
    def batches(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        for name in ("a.json", "b.json"):
            sink = pa.BufferOutputStream()
            pq.write_table(TABLE, sink)
            path = folder(context.asset_key, context.partition_key)
            runs.lake.put(f"{path}{name}.parquet", sink.getvalue().to_pybytes())
            runs.lake.put(f"{path}{name}.txt", b"no parquet")
        return dg.MaterializeResult()

    runs.make(batches, partition_key="2026-03-01-02:00")
    assert len(keys(runs.lake)) == 4, "the manager stores nothing beside them"
    read = runs.read(batches, ds.Dataset, partitions=HOURS, partition_key="2026-03-01-02:00")
    assert read.to_table().num_rows == 6


@pytest.mark.parametrize("form", ["file", "seaweedfs"])
def test_two_lines_make_an_asset_on_the_platforms_own(
    form: str, environment: Environment, instance: dg.DagsterInstance, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    @dg.asset(ins={"mapping": dg.AssetIn(dg.AssetKey(["mobile", "privacy_mapping"]))})
    def merged_districts(mapping: pd.DataFrame) -> pd.DataFrame:
        return mapping.groupby("merged_district", as_index=False).size()

    with empty(form, tmp_path, request) as url:
        defs = dg.Definitions.merge(
            build(Environment(home=environment.home, lake=url)), dg.Definitions(assets=[merged_districts])
        )
        job = defs.resolve_implicit_global_asset_job_def()
        wanted = [dg.AssetKey(["mobile", "privacy_mapping"]), merged_districts.key]
        assert job.execute_in_process(asset_selection=wanted, instance=instance).success
        stored = open_objects(url).get("merged_districts/merged_districts.parquet")
    table = pq.read_table(pa.BufferReader(stored))
    assert table.column_names == ["merged_district", "size"]
    assert table.num_rows > 10
