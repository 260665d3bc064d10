"""What a feed of spreadsheets is: a table of everything in which feeds differ.

Here: the kinds of entries. Not here: the feeds, and what is done with them; no code anywhere asks which feed it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from pipelines.domains.residents.dates import DayColumn
from pipelines.domains.residents.faults import Rejected, Skipped

Cells = Mapping[str, str]
"""A row's needed cells by column, trimmed."""

Value_co = TypeVar("Value_co", bound=str | bool, covariant=True)


@dataclass(frozen=True, slots=True)
class Source(Generic[Value_co]):
    """A value made of a row's cells: the columns and what is made of their texts; blank text stands for no value."""

    columns: tuple[str, ...]
    make: Callable[..., Value_co]

    def read(self, cells: Cells) -> Value_co:
        """The row's value."""
        return self.make(*[cells[column] for column in self.columns])


@dataclass(frozen=True, slots=True)
class Context:
    """What a row is judged by beside its cells.

    Attributes:
        today: the day in London when the sheet was first seen, so that a later run judges alike.
        excluded: ids that are not to be sent, trimmed.
    """

    today: date
    excluded: frozenset[str] = frozenset()


class Filter(Protocol):
    """Which rows are left out."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads."""

    def judge(self, cells: Cells, context: Context) -> Skipped | Rejected | None:
        """Why the row is left out; None if it passes."""


@dataclass(frozen=True, slots=True)
class ExtraCase:
    """A second help request that some rows ask for, unless the resident has one of that kind.

    Attributes:
        wanted: whether the row asks for it.
        help_needed: of that request.
        payload: what is sent to make it.
        note: its note, by the feed's author.
    """

    wanted: Source[bool]
    help_needed: str
    payload: Mapping[str, str | bool]
    note: str


class Id(StrEnum):
    """An id that the API gave, as the column is called that tells it."""

    CASE = "cev_case_added_id"
    RESIDENT = "resident_id"
    REQUEST = "help_request_id"


class Verdict(StrEnum):
    """Columns that say what became of a row."""

    OUTCOME = "outcome"
    REASON = "reason"
    WARNINGS = "warnings"


ROW = "row"
"""The column with a row's number in its sheet."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab of an outbound spreadsheet.

    Attributes:
        title: of the tab.
        columns: of the inbound sheet, in order; None for all that it has.
        holds: whether a row is in it, by its cells and by whether the filters let it pass.
        numbers: whether it begins with the row's number.
        ids: columns of ids, before those of the sheet.
        verdict: whether the columns of `Verdict` follow.
    """

    title: str
    columns: tuple[str, ...] | None
    holds: Callable[[Cells, bool], bool]
    numbers: bool = False
    ids: tuple[Id, ...] = ()
    verdict: bool = True


@dataclass(frozen=True, slots=True)
class Book:
    """One outbound spreadsheet: its name is made of the inbound one's and of the day."""

    prefix: str
    tabs: tuple[Tab, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One kind of spreadsheets.

    Attributes:
        name: of the feed; also the asset and the folder.
        columns: headers that a sheet must have, in the order in which they are reported.
        also_needed: headers that it must have as well.
        marks: headers by which the header's row is found among the first ones; else it is the first row.
        header_rows: how many rows may be the header's.
        born: the column with the day of birth.
        filters: in order.
        fields: of the request, by the API's name; blank ones are not sent. The day of birth is sent in three.
        help_needed: of the request.
        metadata: of the request; blank ones are not sent.
        key: where the request holds what the API recognises a repeat by: a field, or a field of the metadata.
        key_is_per_resident: whether the key tells requests of one resident apart, but not residents.
        author: of the notes.
        notes: texts; a blank one is no note.
        note_in_request: whether the only note goes with the request, as it is and without author and date.
        extra_case: if rows may ask for one.
        books: what is written back.
        mapped_columns: those of which something is sent, in the order of the needed ones.
    """

    name: str
    columns: tuple[str, ...]
    also_needed: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    header_rows: int = 1
    born: DayColumn
    filters: tuple[Filter, ...] = ()
    fields: Mapping[str, Source[str | bool]]
    help_needed: Source[str]
    metadata: Mapping[str, Source[str]]
    key: str
    key_is_per_resident: bool = False
    author: str = ""
    notes: tuple[Source[str], ...]
    note_in_request: bool = False
    extra_case: ExtraCase | None = None
    books: tuple[Book, ...]
    mapped_columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        mapped = self._find_mapped()
        read = mapped | {*self.marks, *(one for each in self.filters for one in each.columns)}
        if strange := read - set(self.needed):
            raise ValueError(f"{self.name} reads columns that it does not need: {', '.join(sorted(strange))}")
        object.__setattr__(self, "mapped_columns", tuple(one for one in self.needed if one in mapped))

    @property
    def needed(self) -> tuple[str, ...]:
        """All headers that a sheet must have."""
        return self.columns + self.also_needed

    @property
    def has_whole_address(self) -> bool:
        """Whether the sheet can tell all that the API replaces when it gets an address."""
        return "Uprn" in self.fields

    def _find_mapped(self) -> set[str]:
        """The columns of which something is sent."""
        sources: list[Source[str | bool]] = [*self.fields.values(), *self.metadata.values(), *self.notes]
        sources += [self.help_needed, *([self.extra_case.wanted] if self.extra_case else [])]
        return {column for source in sources for column in source.columns} | {self.born.name}
