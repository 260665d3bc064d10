"""Tables of one day in the lake: written whole, a part in memory at a time, and read again.

Here: the file. Not here: what is in it, and when it is written.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.objects import Objects
from pipelines.adapters.objects.scratch import measure

_ROWS = 1000
"""So many are in memory at once when they are read."""


def put_table(
    lake: Objects, key: str, schema: pa.Schema, parts: Iterable[pa.Table], before: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Write a table; returns its facts: key, rows, bytes and the sha256 of the file.

    Args:
        lake: the store.
        key: of the object, which appears whole or not at all.
        schema: of every part.
        parts: in order; empty ones are left out.
        before: called once the file is made, before it appears.
    """
    with tempfile.TemporaryFile() as file:
        rows = 0
        with pq.ParquetWriter(file, schema, compression="zstd", store_schema=False) as writer:
            for table in parts:
                if table.num_rows:
                    writer.write_table(table)
                    rows += table.num_rows
        version, size = measure(file)
        before()
        lake.put_file(key, file)
    return {"output": key, "rows": rows, "bytes": size, "version": version}


def read_rows(lake: Objects, key: str, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a table.

    Raises:
        ObjectMissing: there is none.
    """
    file = pq.ParquetFile(pa.BufferReader(lake.get(key)))
    for batch in file.iter_batches(_ROWS, columns=columns):
        yield from batch.to_pylist()
