"""The calls that a row may need, and what each may come to: what passes between deciding and sending."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.domains.residents.replies import Case, HelpRequest
from pipelines.domains.residents.rows import Payload


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """Find or create the request, with its note if it has that effect too."""

    payload: Payload = field(repr=False)
    effects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Read a request."""

    request: int
    effects: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AddNote:
    """Add a note to a request: by an author, or as it is if there is none."""

    resident: int
    request: int
    author: str
    text: str = field(repr=False)
    effects: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ListCases:
    """Read a resident's requests."""

    resident: int
    effects: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateCase:
    """Create the extra case; the API does not find it if it is there."""

    resident: int
    payload: Payload = field(repr=False)
    effects: tuple[int, ...]


Step = CreateRequest | ReadRequest | AddNote | ListCases | CreateCase
"""A call; `effects` are the places of those that it has, to be recorded as unknown before it is made."""


@dataclass(frozen=True, slots=True)
class Made:
    """A request or case was made or found."""

    id: int


@dataclass(frozen=True, slots=True)
class Done:
    """A note was added."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The call was refused for good, and had no effect."""


@dataclass(frozen=True, slots=True)
class Gone:
    """There is no such request."""


@dataclass(frozen=True, slots=True)
class Cases:
    """A resident's requests."""

    cases: tuple[Case, ...]


Answer = Made | Done | Refused | Gone | HelpRequest | Cases
"""What a call came to. One of which nobody knows, or that may yet succeed, has none: what is next is asked anew."""
