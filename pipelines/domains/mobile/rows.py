"""Accepted packages on their way into Arrow columns.

Here: turning packages into columns, fast. Not here: why a package is rejected; what is odd is only turned away.

The numbers, most of a package, are packed into C structs, one kind of struct for each set of keys (there are few), and
numpy reads those as columns. Packing itself refuses what a column can't hold.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Mapping, Set
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.domains.mobile.columns import COLUMNS, LIVE_COLUMNS, SCHEMA, Kind, Place, Presence

FACTS = tuple(column.source for column in LIVE_COLUMNS if column.place is not Place.METRICS)
"""Keys of what a row holds beside its metrics, in order."""

_METRICS = {column.source: column for column in LIVE_COLUMNS if column.place is Place.METRICS}
_NEVER_NULL = {name for name, column in _METRICS.items() if column.presence is Presence.ZERO}
_CODES = {Kind.INT64: "q", Kind.INT32: "i"}
_WHOLE = {int}


def drop_nulls(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics without nulls where those are allowed: there they are as good as absent."""
    return {key: value for key, value in metrics.items() if value is not None or key in _NEVER_NULL}


class Rows:
    """Accepted packages, by row."""

    def __init__(self) -> None:
        self._facts: list[tuple[object, ...]] = []
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def add(self, facts: tuple[object, ...], metrics: Mapping[str, Any]) -> bool:
        """Add a row, unless one of its metrics is not a whole number that its column can hold.

        Args:
            facts: Checked and mapped values of the keys in `FACTS`.
            metrics: The package's metrics; keys that we don't know, or no longer, are left out.
        """
        keys = tuple(metrics)
        shape = self._shapes.get(keys)
        if shape is None:
            shape = self._shapes[keys] = _Shape(keys)
        values = shape.pick(metrics)
        if not set(map(type, values)) <= _WHOLE:
            return False
        try:
            shape.packed += shape.pack(*values)
        except struct.error:
            return False
        shape.rows.append(len(self._facts))
        self._facts.append(facts)
        return True

    def to_batch(self, dropped: Set[str], zero_filled: Counter[str]) -> pa.RecordBatch:
        """Make all the columns.

        Args:
            dropped: Keys of metrics whose values are not kept.
            zero_filled: Added to: by column, the absent numbers that became 0.
        """
        nothing = pa.nulls(len(self), pa.int32())
        made = self._make_metrics(zero_filled) | dict.fromkeys(dropped, nothing)
        for at, source in enumerate(FACTS):
            made[source] = pa.array([facts[at] for facts in self._facts], SCHEMA.field(source.lower()).type)
        return pa.RecordBatch.from_arrays([made.get(column.source, nothing) for column in COLUMNS], schema=SCHEMA)

    def _make_metrics(self, zero_filled: Counter[str]) -> dict[str, pa.Array[Any]]:
        count = len(self)
        numbers = {name: np.zeros(count, _CODES[column.kind]) for name, column in _METRICS.items()}
        absent = {name: np.ones(count, bool) for name in _METRICS}
        for shape in self._shapes.values():
            if not shape.packed:
                continue
            packed, rows = np.frombuffer(shape.packed, shape.type), np.array(shape.rows)
            for name in shape.names:
                numbers[name][rows] = packed[name]
                absent[name][rows] = False
        made: dict[str, pa.Array[Any]] = {}
        for name, column in _METRICS.items():
            if column.presence is not Presence.ZERO:
                made[name] = pa.array(numbers[name], mask=absent[name])
                continue
            made[name] = pa.array(numbers[name])
            if zeros := int(absent[name].sum()):
                zero_filled[column.name] += zeros
        return made


class _Shape:
    """Rows whose metrics have the same keys in the same order, packed as a C compiler would lay them out."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.names = [key for key in keys if key in _METRICS]
        self.rows: list[int] = []
        self.packed = bytearray()
        codes = [_CODES[_METRICS[name].kind] for name in self.names]
        self.pack = struct.Struct("".join([*codes, "0q"])).pack
        self.type = np.dtype([*zip(self.names, codes, strict=True), ("", "q", 0)], align=True)
        self._only_known = len(self.names) == len(keys)

    def pick(self, metrics: Mapping[str, Any]) -> Collection[Any]:
        """The values of the names, in their order."""
        return metrics.values() if self._only_known else tuple(map(metrics.__getitem__, self.names))
