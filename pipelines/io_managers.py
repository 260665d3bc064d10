"""Tables in the lake: how assets of table grain are written, and how every parquet asset is read.

An asset that returns a table gets it written whole, one file for each partition. Assets of file grain write their files
themselves, into the same folders, so both are read alike: as a table, a data frame, or a dataset that is read lazily.
"""

import re
import tempfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.objects import Objects

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_FOLDERS = (
    (re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{2}):\d{2}"), "date={}/hour={}"),
    (re.compile(r"(\d{4}-\d{2}-\d{2})"), "date={}"),
    (re.compile(r"(\d{4}-\d{2})"), "month={}"),
    (re.compile(r"(.+)"), "partition={}"),
)


class ParquetIOManager(dg.ConfigurableIOManager):
    """Stores an asset as parquet under its key in the lake, hive style."""

    lake: dg.ResourceDependency[Objects]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write a table, frame, reader or dataset; for several partitions, a mapping from each key to one."""
        keys = context.asset_partition_keys if context.has_asset_partitions else [None]
        if len(keys) > 1 and not (isinstance(obj, Mapping) and set(obj) == set(keys)):
            raise ValueError(f"{context.asset_key.to_user_string()}: {len(keys)} partitions need a table for each key")
        rows = size = 0
        for key in keys:
            table = obj[key] if isinstance(obj, Mapping) and key is not None else obj
            written = self._write(f"{folder(context.asset_key, key)}{context.asset_key.path[-1]}.parquet", table)
            rows, size = rows + written[0], size + written[1]
        uri = f"{self.lake.url.rstrip('/')}/{folder(context.asset_key, keys[0] if len(keys) == 1 else None)}"
        context.add_output_metadata({"dagster/row_count": rows, "dagster/uri": uri, "bytes": size})

    def _write(self, key: str, table: Any) -> tuple[int, int]:
        """Rows and bytes written; the object appears whole or not at all."""
        reader = _reader(table)
        rows = 0
        with tempfile.TemporaryFile() as file:
            with pq.ParquetWriter(file, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            size = file.tell()
            file.seek(0)
            self.lake.put_file(key, file)
        return rows, size

    def load_input(self, context: dg.InputContext) -> Any:
        """Read what the annotation asks for: a data frame, what is read lazily, or (as by default) a table."""
        import pyarrow.dataset as ds  # noqa: PLC0415 (it imports pandas, which most runs have no use for)

        keys = context.asset_partition_keys if context.has_asset_partitions else [None]
        wanted = context.dagster_type.typing_type
        data = self.dataset([folder(context.asset_key, key) for key in keys])
        if isinstance(wanted, type) and issubclass(wanted, ds.Dataset):
            return data
        if wanted is pa.RecordBatchReader:
            return data.scanner().to_reader()
        table = data.to_table()
        return table.to_pandas() if getattr(wanted, "__module__", "").partition(".")[0] == "pandas" else table

    def dataset(self, folders: Iterable[str]) -> "ds.Dataset":
        """All parquet files in these folders of the lake, read when it is scanned."""
        import pyarrow.dataset as ds  # noqa: PLC0415 (as above)

        from pipelines.adapters.objects.arrow import as_filesystem  # noqa: PLC0415 (as above)

        listed = [info for one in folders for info in self.lake.list(one) if info.key.endswith(".parquet")]
        if not listed:
            raise FileNotFoundError(f"{self.lake.url}: no parquet file in the folders asked for")
        return ds.dataset([info.key for info in listed], filesystem=as_filesystem(self.lake, listed), format="parquet")


def folder(asset: dg.AssetKey, partition: str | None) -> str:
    """Where an asset's files lie in the lake, with a slash at the end."""
    base = "/".join(asset.path)
    if partition is None:
        return f"{base}/"
    for pattern, shape in _FOLDERS:
        if found := pattern.fullmatch(partition):
            return f"{base}/{shape.format(*found.groups())}/"
    raise ValueError("an empty partition key has no folder")


def _reader(table: Any) -> pa.RecordBatchReader:
    """Datasets, and whatever speaks Arrow's stream protocol: tables, readers, data frames of pandas and Polars."""
    if hasattr(table, "scanner"):
        reader: pa.RecordBatchReader = table.scanner().to_reader()
        return reader
    if not hasattr(table, "__arrow_c_stream__"):
        raise TypeError(f"a table, a data frame or a reader of record batches was expected, not {type(table).__name__}")
    return pa.RecordBatchReader.from_stream(table)
