"""Numbers of lines, kept as ranges: small even where they are all of a file's."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class LineNumbers:
    """A set of line numbers; each range has its first and its last one, both included, and no two touch."""

    ranges: Sequence[tuple[int, int]] = ()

    @classmethod
    def read(cls, stored: Iterable[Sequence[int]]) -> Self:
        """As ``stored`` gave them."""
        return cls(tuple((first, last) for first, last in stored))

    @property
    def stored(self) -> list[list[int]]:
        """As JSON has them."""
        return [[first, last] for first, last in self.ranges]

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self.ranges, number, key=_first)
        return at > 0 and number <= self.ranges[at - 1][1]

    def __or__(self, other: LineNumbers) -> LineNumbers:
        merged: list[tuple[int, int]] = []
        for first, last in sorted((*self.ranges, *other.ranges)):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return LineNumbers(tuple(merged))


class Collected:
    """Line numbers that come in order, one after the other."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, number: int) -> None:
        """One more, greater than all before."""
        if self._ranges and self._ranges[-1][1] == number - 1:
            self._ranges[-1] = self._ranges[-1][0], number
        else:
            self._ranges.append((number, number))

    @property
    def numbers(self) -> LineNumbers:
        """All that were added."""
        return LineNumbers(tuple(self._ranges))


def _first(one: tuple[int, int]) -> int:
    return one[0]
