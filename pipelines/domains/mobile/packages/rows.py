"""Accepted packages on their way into Arrow columns.

Here: turning records into columns, fast. Not here: whether a record is acceptable.

The narrow numbers, most of a package, are packed row by row into one block, which numpy turns into columns.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Set
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.domains.mobile.packages.columns import COLUMNS, LIVE_COLUMNS, SCHEMA, Place, Presence
from pipelines.domains.mobile.packages.records import ABSENT, NARROW, WIDE, Record

FACTS = tuple(column.source for column in LIVE_COLUMNS if column.place is not Place.METRICS)
"""Keys of what a row holds beside its metrics, in order."""

_pack = struct.Struct(f"{len(NARROW)}q").pack


class Rows:
    """Accepted packages, by row."""

    def __init__(self) -> None:
        self._facts: list[tuple[object, ...]] = []
        self._narrow = bytearray()

    def __len__(self) -> int:
        return len(self._facts)

    def add(self, facts: tuple[object, ...], record: Record) -> None:
        """Add a row.

        Args:
            facts: Mapped values of the keys in `FACTS`.
            record: The package's record, whose metrics are taken.
        """
        wide, narrow = record.split_metrics()
        self._facts.append(facts + wide)
        self._narrow += _pack(*narrow)

    def to_batch(self, dropped: Set[str], zero_filled: Counter[str]) -> pa.RecordBatch:
        """Make all the columns.

        Args:
            dropped: Keys of metrics whose values are not kept.
            zero_filled: Added to: by column, the absent numbers that became 0.
        """
        nothing = pa.nulls(len(self), pa.int32())
        facts = zip(*self._facts, strict=True) if self._facts else repeat(())
        names = [*FACTS, *(column.source for column in WIDE)]
        made: dict[str, pa.Array[Any]] = {
            name: pa.array(values, SCHEMA.field(name.lower()).type) for name, values in zip(names, facts, strict=False)
        }
        made |= self._make_narrow(zero_filled) | dict.fromkeys(dropped, nothing)
        return pa.RecordBatch.from_arrays([made.get(column.source, nothing) for column in COLUMNS], schema=SCHEMA)

    def _make_narrow(self, zero_filled: Counter[str]) -> dict[str, pa.Array[Any]]:
        columns = np.frombuffer(self._narrow, np.int64).reshape(-1, len(NARROW)).T.copy()
        numbers, absent = columns.astype(np.int32), columns == ABSENT
        made: dict[str, pa.Array[Any]] = {}
        for column, values, missing in zip(NARROW, numbers, absent, strict=True):
            if column.presence is Presence.NULLABLE:
                made[column.source] = pa.array(values, mask=missing)
            elif column.presence is Presence.ZERO:
                made[column.source] = pa.array(values)
                if zeros := int(np.count_nonzero(missing)):
                    zero_filled[column.name] += zeros
        return made
