"""A sheet's rows kept in memory for as long as they are sent: packed, so that a large sheet takes little.

They are personal, so they are written nowhere.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator

import msgspec

from pipelines.domains.residents.sheet import Row

_ROWS = 64
_KEPT = 8
"""Blocks of so many rows, of which so many are kept unpacked: rows are mostly asked for in their order."""

_Packed = tuple[int, tuple[str, ...], tuple[int, ...], bool, bool]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


class PackedRows:
    """Rows by their place, from 0."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._last: list[Row] = []
        self._unpacked: OrderedDict[int, list[Row]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks) * _ROWS + len(self._last)

    def __iter__(self) -> Iterator[Row]:
        return map(self.__getitem__, range(len(self)))

    def append(self, row: Row) -> None:
        """Add a row behind all others."""
        self._last.append(row)
        if len(self._last) == _ROWS:
            # What it takes is mostly headers' worth of repeated texts: the fastest level packs it nearly as well.
            self._blocks.append(zlib.compress(_encode([_pack(one) for one in self._last]), 1))
            self._last = []

    def __getitem__(self, place: int) -> Row:
        block, rest = divmod(place, _ROWS)
        return self._last[rest] if block == len(self._blocks) else self._unpack(block)[rest]

    def _unpack(self, block: int) -> list[Row]:
        rows = self._unpacked.get(block)
        if rows is None:
            rows = [_unpack(one) for one in _decode(zlib.decompress(self._blocks[block]))]
            self._unpacked[block] = rows
            if len(self._unpacked) > _KEPT:
                self._unpacked.popitem(last=False)
        return rows


def _pack(row: Row) -> _Packed:
    return row.number, row.texts, tuple(sorted(row.numbers)), row.is_blank, row.is_longer


def _unpack(packed: _Packed) -> Row:
    number, texts, numbers, is_blank, is_longer = packed
    return Row(number, texts, frozenset(numbers), is_blank, is_longer)
