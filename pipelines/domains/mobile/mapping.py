"""The privacy mapping: which merged district, and which authority, a record may carry.

A postal district within one local authority can hold a handful of people, so only merged areas may leave the
platform. Here the mapping is a value: parsed from its file, asked for answers, exported as a table. Whether it is fit
for use is judged in `mapping_checks`; where its file is kept is the caller's business.
"""

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self, TypeAlias

import pyarrow as pa

Place: TypeAlias = tuple[str, str | None]
"""A district, merged or not, and its authority; None where the district stands alone."""

HEADER = ["Postcode_District_LAD_ID", "LAD20CD", "Merged_Postcode_District"]
DUPLICATE_KEY = "duplicate key"
UNKNOWN = "UNKNOWN"
UNKNOWN_PLACE: Place = (UNKNOWN, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file: its line (from 1), its column where there is one, and its kind."""

    line: int
    kind: str
    column: str | None = None


class MappingError(ValueError):
    """A file can't be read as what it should be; `faults` has every bad row. The text never repeats a value."""

    def __init__(self, table: str, faults: Sequence[Fault]) -> None:
        super().__init__(table, faults)
        self.table = table
        self.faults = tuple(faults)

    def __str__(self) -> str:
        lines = defaultdict[str, list[str]](list)
        for fault in self.faults:
            lines[f"{fault.kind} in {fault.column}" if fault.column else fault.kind].append(str(fault.line))
        return f"{self.table}: " + "; ".join(
            f"{kind} (line{'s' * (len(where) > 1)} {', '.join(where)})" for kind, where in lines.items()
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the mapping: a key and its answer.

    Attributes:
        line: where the row stands in its file.
        district: the district of the key; empty in the one row for records that name no place at all.
        authority: the authority of the key; None in a fallback row, which speaks for the district alone; empty in
            the row for records that name no place at all.
        merged_district: districts joined by `_`, or a special value.
        merged_authority: the authority of the answer; None in a fallback row.
    """

    line: int
    district: str
    authority: str | None
    merged_district: str
    merged_authority: str | None

    @property
    def key(self) -> Place:
        """What a lookup must match, letter by letter."""
        return self.district, self.authority

    @property
    def answer(self) -> Place:
        """What a lookup gives: the cell that the record is counted in."""
        return self.merged_district, self.merged_authority


@dataclass(frozen=True, slots=True)
class PrivacyMapping:
    """Every answer that may stand in place of a district and an authority; its version is its content's hash."""

    entries: tuple[Entry, ...] = field(repr=False)
    sha256: str
    targets: frozenset[Place] = field(init=False, repr=False, compare=False)
    _answers: dict[Place, Place] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        answers = {entry.key: entry.answer for entry in self.entries}
        object.__setattr__(self, "_answers", answers)
        object.__setattr__(self, "targets", frozenset(answers.values()) | {UNKNOWN_PLACE})

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the mapping from its file.

        Args:
            raw: the whole CSV, UTF-8, with the columns of `HEADER`. The first is `district_authority`, `district_`
                for a fallback row, or `_` alone. Spaces around a value don't count.

        Raises:
            MappingError: with every bad row; nothing of a faulty file is used.
        """
        header, records, faults = read_records(raw, "privacy mapping")
        if header != HEADER:
            raise MappingError("privacy mapping", [Fault(1, f"header other than {', '.join(HEADER)}")])
        entries = dict[Place, Entry]()
        for line, cells in records:
            entry = _read_entry(line, cells)
            if isinstance(entry, Fault):
                faults.append(entry)
            elif entry.key in entries:
                faults.append(Fault(line, DUPLICATE_KEY, HEADER[0]))
            else:
                entries[entry.key] = entry
        if faults:
            raise MappingError("privacy mapping", sorted(faults, key=lambda fault: fault.line))
        return cls(tuple(entries.values()), hashlib.sha256(raw).hexdigest())

    @property
    def version(self) -> str:
        """The first 12 hexadecimal digits of the file's sha256."""
        return self.sha256[:12]

    @property
    def rows(self) -> int:
        """How many keys the mapping answers."""
        return len(self.entries)

    def lookup(self, district: str, authority: str | None) -> Place:
        """Find the cell of a record, by both keys or else by the district alone, compared letter by letter.

        Returns:
            One of `targets`; `UNKNOWN_PLACE` when the district is not in the mapping by itself.
        """
        answer = self._answers.get((district, authority))
        if answer is None:
            return self._answers.get((district, None), UNKNOWN_PLACE)
        return answer

    def to_table(self) -> pa.Table:
        """Export the entries: district, authority, merged_district, merged_authority; all text, null for None."""
        columns = ("district", "authority", "merged_district", "merged_authority")
        return pa.table(
            {name: pa.array([getattr(entry, name) for entry in self.entries], pa.string()) for name in columns}
        )


def read_records(raw: bytes, table: str) -> tuple[list[str], list[tuple[int, list[str]]], list[Fault]]:
    """Read a CSV strictly.

    Args:
        raw: the whole file, UTF-8 with or without a byte order mark.
        table: what the file is, for the error's text.

    Returns:
        The header, the records as (first line, cells), and a fault for each record that is unlike the header.

    Raises:
        MappingError: the file is not UTF-8, or has no records.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MappingError(table, [Fault(raw.count(b"\n", 0, error.start) + 1, "not UTF-8")]) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    records = list[tuple[int, list[str]]]()
    faults = list[Fault]()
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error:
            faults.append(Fault(line, "malformed CSV"))
            continue
        if records and len(cells) != len(records[0][1]):
            faults.append(Fault(line, "wrong number of columns"))
        else:
            records.append((line, cells))
    if not text.strip() or (len(records) == 1 and not faults):
        raise MappingError(table, [Fault(1, "no rows")])
    return (records[0][1] if records else []), records[1:], faults


def _read_entry(line: int, cells: list[str]) -> Entry | Fault:
    key, answer_authority, merged = cells
    district, separator, authority = key.partition("_")
    if not separator:
        return Fault(line, "no underscore", HEADER[0])
    if authority and not district:
        return Fault(line, "no district", HEADER[0])
    if authority == UNKNOWN:  # would compete with the fallback row of its district
        return Fault(line, "reserved authority", HEADER[0])
    if not merged:
        return Fault(line, "empty value", HEADER[2])
    if authority:
        return Entry(line, district, authority, merged, answer_authority)
    return Entry(line, district, None if district else "", merged, None)
