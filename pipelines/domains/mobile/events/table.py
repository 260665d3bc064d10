"""Exported submissions as rows: one for each event, with what is common to all events of its submission."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import orjson
import pyarrow as pa

from pipelines.domains.mobile.events.contract import METADATA, SCHEMA

_ROWS = 4_096


def to_batches(bodies: Iterable[bytes], rows: int = _ROWS) -> Iterator[pa.RecordBatch]:
    """The events of these submissions, in their order, in batches of so many rows at most; no events give none."""
    remaining = chain.from_iterable(map(_rows, bodies))
    while batch := list(islice(remaining, rows)):
        yield pa.RecordBatch.from_pylist(batch, SCHEMA)


def _rows(body: bytes) -> Iterator[dict[str, Any]]:
    submission = orjson.loads(body)
    common = {key.name.lower(): submission["metadata"][key.name] for key in METADATA} | {"uuid": submission["uuid"]}
    for event in submission["events"]:
        payload = {name.lower(): value for name, value in event["payload"].items()}
        payload["riskscore"] = float(payload["riskscore"])
        payload["scaninstances"] = [
            {name.lower(): value for name, value in scan.items()} for scan in payload["scaninstances"]
        ]
        yield {"type": event["type"], "version": event["version"], **payload, **common}
