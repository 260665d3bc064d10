"""Why a row is not sent, and what is odd about one that is: names and columns, never a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipelines.domains.residents.dates import BadDay


class Skip(StrEnum):
    """Why a sound row is not to be sent."""

    BLANK = "blank row"
    NOT_TESTED = "no test date"
    TESTED_EARLIER = "tested too long ago"
    EXCLUDED = "on the list of excluded ids"
    ELSEWHERE = "of another authority"
    NOT_COMPLETED = "status is not completed"
    NO_SUPPORT = "no support asked for"


class Reject(StrEnum):
    """Why a row can't be sent as it is; a bad date has a reason of its own kind."""

    UNIDENTIFIABLE = "not enough to identify a person"
    UNKNOWN_TYPE = "unknown type of help"
    UNKNOWN_SUBTYPE = "unknown subtype of help"
    WILDCARD = "an id with %, _ or \\, which would match other people's"
    UNSENDABLE = "a character that can't be sent"


class Oddity(StrEnum):
    """What is odd about a cell that is sent nevertheless, unless the words say otherwise."""

    NHS_NUMBER = "not a valid NHS number"
    PHONE = "odd phone number"
    POSTCODE = "odd postcode"
    UPRN = "odd UPRN"
    EMAIL = "no @, so not sent"
    NUMERIC = "a number, not text: leading zeros may be lost"
    BEYOND_HEADER = "cells beyond the header, not kept"
    NO_KEY = "no id, so that a change of the row is sent as another request"
    ADDRESS = "a known resident loses the ward, and UPRN and further address lines that are not told"
    ADDRESS_KEPT = "address not sent, since the postcode is the stored one"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that is not to be sent."""

    reason: Skip


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that can't be sent: the column at fault, or empty; `filtered` if it was judged by a filter."""

    reason: Reject | BadDay
    column: str = ""
    filtered: bool = False


@dataclass(frozen=True, slots=True)
class Warned:
    """An oddity and the column that has it, or empty."""

    oddity: Oddity
    column: str = ""

    def __str__(self) -> str:
        return f"{self.column}: {self.oddity}" if self.column else str(self.oddity)
