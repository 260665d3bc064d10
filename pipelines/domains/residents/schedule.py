"""Which row follows which: rows that share a key one after another, all others at once.

Memory is flat: three numbers a row, and a number for each key. Not here: what the keys are.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Hashable, Iterable, Iterator

_NONE = -1


class Schedule:
    """Rows in groups that share keys, directly or by way of others, each group in the order of the rows."""

    def __init__(self, rows: Iterable[Collection[Hashable]]) -> None:
        """Group rows; each is given by its keys, and its index is its place."""
        self._parents = array("q")
        seen: dict[int, int] = {}
        for index, keys in enumerate(rows):
            self._parents.append(index)
            # Of a key only its hash is kept. Two that collide join two groups, which costs a little speed and no more.
            for mark in map(hash, keys):
                self._join(seen.setdefault(mark, index), index)
        self._following = array("q", [_NONE]) * len(self._parents)
        self._link()

    def __len__(self) -> int:
        return len(self._parents)

    def first(self) -> Iterator[int]:
        """The first row of each group, in order: those may be sent at once."""
        return (index for index, parent in enumerate(self._parents) if index == parent)

    def after(self, index: int) -> int | None:
        """The row that may be sent once this one is done; None if its group ends with it."""
        following = self._following[index]
        return None if following == _NONE else following

    def groups(self) -> Iterator[list[int]]:
        """Each group's rows."""
        for index in self.first():
            group = [index]
            while (following := self.after(group[-1])) is not None:
                group.append(following)
            yield group

    def _link(self) -> None:
        last = array("q", range(len(self._parents)))
        for index in range(len(self._parents)):
            root = self._find(index)
            if index != root:
                self._following[last[root]] = index
                last[root] = index

    def _join(self, one: int, other: int) -> None:
        """The first row of a group is its root, so that it need not be looked for."""
        roots = sorted((self._find(one), self._find(other)))
        self._parents[roots[1]] = roots[0]

    def _find(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index
