"""The written file of packages: how it is written, and how it is verified before anybody may see it.

Here: parquet in and out. Not here: where the file lies and who publishes it.
"""

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.domains.mobile.landed import VerificationError
from pipelines.domains.mobile.packages.columns import SCHEMA

ROW_GROUP_ROWS = 20_480

_PLACE = ["postaldistrict", "localauthority"]


class PackageWriter:
    """Gathers batches into row groups of one size, so that the file doesn't depend on how its rows came."""

    def __init__(self, file: pq.ParquetWriter) -> None:
        self._file = file
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Take rows; they are written once they fill a row group."""
        self._waiting.append(batch)
        self._rows += batch.num_rows
        if self._rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(self._waiting)
            whole = self._rows - self._rows % ROW_GROUP_ROWS
            self._file.write_table(table[:whole], ROW_GROUP_ROWS)
            self._waiting = table[whole:].to_batches()
            self._rows -= whole

    def flush(self) -> None:
        """Write what is left as the last row group."""
        if self._rows:
            self._file.write_table(pa.Table.from_batches(self._waiting), ROW_GROUP_ROWS)
            self._waiting, self._rows = [], 0


@contextmanager
def open_writer(target: IO[bytes], provenance: Mapping[str, str]) -> Iterator[PackageWriter]:
    """Open a parquet file for packages; it is whole once the context is left without an error.

    The same rows and provenance give the same bytes.

    Args:
        target: Where to write; stays open.
        provenance: What the rows were made with, kept in the file's own metadata.

    Yields:
        The writer.
    """
    with pq.ParquetWriter(target, SCHEMA, compression="snappy", store_schema=False) as file:
        writer = PackageWriter(file)
        yield writer
        writer.flush()
        file.add_key_value_metadata(dict(provenance))


def verify(source: IO[bytes], targets: Set[tuple[str, str | None]], expected_rows: int) -> None:
    """Read a written file back, a row group at a time, and compare it with what it must be.

    Args:
        source: The file; stays open.
        targets: Every (district, authority) that the mapping can answer: nothing else may stand in the file.
        expected_rows: The rows that were accepted.

    Raises:
        VerificationError: The file can't be read, or its schema, its rows or its places disagree.
    """
    rows = strangers = 0
    try:
        file = pq.ParquetFile(source)
        if not file.schema_arrow.equals(SCHEMA):
            raise VerificationError("the columns are not those of the contract")
        for group in range(file.num_row_groups):
            places = file.read_row_group(group, columns=_PLACE)
            rows += places.num_rows
            counted = places.group_by(_PLACE).aggregate([([], "count_all")])
            strangers += sum(
                count
                for *place, count in zip(*(counted[name].to_pylist() for name in (*_PLACE, "count_all")), strict=True)
                if tuple(place) not in targets
            )
    except (pa.ArrowException, OSError) as error:
        raise VerificationError("the file can't be read as parquet") from error
    if rows != expected_rows:
        raise VerificationError(f"{rows} rows are in the file, {expected_rows} were accepted")
    if strangers:
        raise VerificationError(f"{strangers} rows hold a {' and '.join(_PLACE)} that the mapping never answers")
