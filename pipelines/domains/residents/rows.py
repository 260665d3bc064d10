"""One row of a sheet becomes a help request with its notes, or a reason why not.

Here: what is sent for a row. Not here: in which order it is sent, and what comes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.domains.residents.dates import BadDay
from pipelines.domains.residents.faults import Oddity, Reject, Rejected, Skip, Skipped, Warned
from pipelines.domains.residents.feeds.contract import Cells, Context, Feed
from pipelines.domains.residents.matching import PersonKey, person_keys
from pipelines.domains.residents.oddities import is_nhs_number, is_phone, is_postcode, is_uprn
from pipelines.domains.residents.sheet import Row, Sheet

Payload = Mapping[str, Any]
"""A help request as the API takes it: texts that are not blank, truths, and the metadata, itself such texts."""

_FORMS: Mapping[str, tuple[Callable[[str], bool], Oddity]] = {
    "NhsNumber": (is_nhs_number, Oddity.NHS_NUMBER),
    "ContactTelephoneNumber": (is_phone, Oddity.PHONE),
    "ContactMobileNumber": (is_phone, Oddity.PHONE),
    "Postcode": (is_postcode, Oddity.POSTCODE),
    "Uprn": (is_uprn, Oddity.UPRN),
}
_NUMBERED = frozenset({"NhsNumber", "NhsCtasId", "Uprn", "ContactTelephoneNumber", "ContactMobileNumber"})
"""Fields whose zeros in front count."""
_ENOUGH_WITH_NAMES = ("NhsCtasId", "Uprn", "ContactTelephoneNumber", "ContactMobileNumber", "EmailAddress")
_REPLACED = ("Uprn", "AddressSecondLine", "AddressThirdLine")
"""The API replaces these too if it gets an address, by nothing if they are left out."""
_WILDCARDS = frozenset("%_\\")


@dataclass(frozen=True, slots=True)
class Mapped:
    """What is sent for a row.

    Attributes:
        payload: the help request, without any note.
        notes: texts, in order, each of them once.
        wants_case: whether the feed's extra case is asked for.
        key: what the API recognises a repeat by; blank if the row has none.
        person_keys: shared with rows that may be of the same person.
        warnings: each once.
    """

    payload: Payload = field(repr=False)
    notes: tuple[str, ...] = field(repr=False)
    wants_case: bool
    key: str = field(repr=False)
    person_keys: frozenset[PersonKey] = field(repr=False)
    warnings: tuple[Warned, ...]


def map_row(sheet: Sheet, row: Row, context: Context) -> Mapped | Skipped | Rejected:
    """What becomes of a row of a sheet."""
    if row.is_blank:
        return Skipped(Skip.BLANK)
    mapped = map_cells(sheet.feed, sheet.cells(row), context, sheet.columns_of_numbers(row))
    if row.is_longer and isinstance(mapped, Mapped):
        return replace(mapped, warnings=(*mapped.warnings, Warned(Oddity.BEYOND_HEADER)))
    return mapped


def map_cells(feed: Feed, cells: Cells, context: Context, numbers: Collection[str] = ()) -> Mapped | Skipped | Rejected:
    """What becomes of a row's needed cells; `numbers` are the columns that hold a number instead of a text."""
    for judge in feed.filters:
        if (verdict := judge.judge(cells, context)) is not None:
            return verdict
    born = feed.born.read(cells)
    if isinstance(born, BadDay):
        return Rejected(born, feed.born.name)
    payload: dict[str, Any] = {name: source.read(cells) for name, source in feed.fields.items()}
    if born is not None:
        payload |= {"DobDay": str(born.day), "DobMonth": str(born.month), "DobYear": str(born.year)}
    metadata = {name: source.read(cells) for name, source in feed.metadata.items()}
    payload |= {"HelpNeeded": feed.help_needed.read(cells), "Metadata": _drop_blanks(metadata)}
    payload = _drop_blanks(payload)
    key = read_key(feed, payload)
    if fault := _find_fault(feed, cells, payload, key):
        return fault
    notes = dict.fromkeys(source.read(cells) for source in feed.notes)
    warnings = dict.fromkeys(_find_oddities(feed, cells, numbers, payload, key))
    return Mapped(
        payload,
        tuple(note for note in notes if note),
        feed.extra_case is not None and feed.extra_case.wanted.read(cells),
        key,
        person_keys(payload, "" if feed.key_is_per_resident else key),
        tuple(warnings),
    )


def read_key(feed: Feed, payload: Payload) -> str:
    """What the API recognises a repeat of this help request by; blank if it has none."""
    key: str = payload.get(feed.key) or payload.get("Metadata", {}).get(feed.key, "")
    return key


def is_identifiable(payload: Payload) -> bool:
    """Whether a help request tells enough of a person not to be taken for another one's."""
    if "NhsNumber" in payload:
        return True
    if "FirstName" not in payload or "LastName" not in payload:
        return False
    return "DobYear" in payload or any(name in payload for name in _ENOUGH_WITH_NAMES)


def _drop_blanks(values: Mapping[str, Any]) -> dict[str, Any]:
    """A blank that is sent would erase what is stored, or be taken for another one's blank."""
    return {name: value for name, value in values.items() if value not in ("", {})}


def _find_fault(feed: Feed, cells: Cells, payload: Payload, key: str) -> Rejected | None:
    for column in feed.mapped_columns:
        if not _is_sendable(cells[column]):
            return Rejected(Reject.UNSENDABLE, column)
    if not is_identifiable(payload):
        return Rejected(Reject.UNIDENTIFIABLE)
    if feed.key in feed.metadata and not _WILDCARDS.isdisjoint(key):
        return Rejected(Reject.WILDCARD, feed.metadata[feed.key].columns[0])
    return None


def _is_sendable(text: str) -> bool:
    """Whether the API's database can hold it: it takes neither NUL nor half of a pair of code units."""
    try:
        return (text.isascii() and "\0" not in text) or b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def _find_oddities(feed: Feed, cells: Cells, numbers: Collection[str], payload: Payload, key: str) -> Iterator[Warned]:
    asked: list[tuple[tuple[str, ...], str]] = [
        (source.columns, name) for name, source in feed.fields.items() if len(source.columns) == 1
    ]
    if feed.key in feed.metadata and not feed.key_is_per_resident:
        asked.append((feed.metadata[feed.key].columns, feed.key))
    for (column,), name in asked:
        if not cells[column]:
            continue
        if column in numbers and (name in _NUMBERED or name == feed.key):
            yield Warned(Oddity.NUMERIC, column)
        if name in _FORMS and not _FORMS[name][0](cells[column]):
            yield Warned(_FORMS[name][1], column)
        if name == "EmailAddress" and name not in payload:
            yield Warned(Oddity.EMAIL, column)
    if not key:
        yield Warned(Oddity.NO_KEY)
    if "AddressFirstLine" in payload and "Postcode" in payload and any(name not in payload for name in _REPLACED):
        yield Warned(Oddity.ADDRESS)
