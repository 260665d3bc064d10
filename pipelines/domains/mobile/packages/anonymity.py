"""How many packages look alike by what may tell whose they are: their place and the day on which their window starts.

Here: counting them, a batch at a time. Not here: a bound on them. The mapping bounds how many people live in a place;
how many of those send a package on one day is reported, not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

FEW = 5
"""A group of fewer packages is small."""

_PLACE = ["postaldistrict", "localauthority"]
_ALIKE = [*_PLACE, "day"]
_COUNT = "count"


@dataclass(frozen=True, slots=True)
class Anonymity:
    """Groups of packages that look alike: how many there are, how many are small, and how large the smallest is.

    The smallest, the k of k-anonymity, is `None` where there are no packages.
    """

    groups: int
    small_groups: int
    smallest_group: int | None


class Groups:
    """Packages by what makes them look alike, as counts; no authority is an authority of its own.

    Args:
        most: Once so many counts are held, those of one place and day are added up, so that memory stays flat.
    """

    def __init__(self, most: int = 65_536) -> None:
        self._counted: list[pa.Table] = []
        self._held = 0
        self._most = most

    def add(self, packages: pa.RecordBatch) -> None:
        """Count packages, as rows with the columns of the output."""
        day = pc.utf8_slice_codeunits(packages["startdate"], 0, 10)
        alike = pa.Table.from_arrays([*(packages[name] for name in _PLACE), day], names=_ALIKE)
        counted = alike.group_by(_ALIKE, use_threads=False).aggregate([([], "count_all")])
        self._counted.append(counted.rename_columns([*_ALIKE, _COUNT]))
        self._held += counted.num_rows
        if self._held >= self._most:
            self._counted = [_add_up(self._counted)]
            self._held = self._counted[0].num_rows
            self._most = max(self._most, 2 * self._held)

    def measure(self) -> Anonymity:
        """What was counted so far."""
        if not self._held:
            return Anonymity(0, 0, None)
        sizes = _add_up(self._counted)[_COUNT].combine_chunks()
        return Anonymity(len(sizes), pc.less(sizes, pa.scalar(FEW)).true_count, pc.min(sizes).as_py())


def _add_up(counted: Sequence[pa.Table]) -> pa.Table:
    groups = pa.concat_tables(counted).group_by(_ALIKE, use_threads=False).aggregate([(_COUNT, "sum")])
    return groups.rename_columns([*_ALIKE, _COUNT])
