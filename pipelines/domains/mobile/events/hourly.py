"""The table of an hour's events, made of the submissions that the ledger holds as settled."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import ObjectMissing, Objects
from pipelines.core.periods import hive_path
from pipelines.core.work import Item, State
from pipelines.domains.mobile.events.contract import SCHEMA
from pipelines.domains.mobile.events.table import to_batches
from pipelines.domains.mobile.feeds import EVENTS
from pipelines.domains.mobile.totals import total


class NotIntactError(Exception):
    """A submission in the lake is not what was verified: its hour has to be materialised first."""


def make_hour(lake: Objects, ledger: Ledger, partition: str) -> dict[str, Any]:
    """Write the table of an hour, whole; returns its facts.

    Raises:
        NotIntactError: a submission in the lake is missing or altered; the table stays as it was.
    """
    span = Span(partition, partition)
    settled = [item for item in ledger.items(EVENTS.queue, span, [State.SETTLED]) if item.detail["output"]]
    key = f"{EVENTS.table}/{hive_path(partition)}/events_table.parquet"
    rows = 0
    with tempfile.TemporaryFile() as file:
        with pq.ParquetWriter(file, SCHEMA, compression="snappy", store_schema=False) as writer:
            for batch in to_batches(_bodies(lake, settled)):
                writer.write_batch(batch)
                rows += batch.num_rows
        size = file.tell()
        file.seek(0)
        lake.put_file(key, file)
    return {"output": key, "rows": rows, "files": len(settled), "bytes": size, "version": total(settled).version}


def _bodies(lake: Objects, items: list[Item]) -> Iterator[bytes]:
    for item in items:
        try:
            body = lake.get(item.detail["output"])
        except ObjectMissing as error:
            raise NotIntactError(item.detail["output"]) from error
        if hashlib.sha256(body).hexdigest() != item.detail["sha256"]:
            raise NotIntactError(item.detail["output"])
        yield body
