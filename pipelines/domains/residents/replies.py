"""What is used of the API's answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class HelpRequest:
    """A help request as it is stored.

    Attributes:
        id: of the request.
        resident: the resident's id.
        notes: as the API tells of them, to be read by `notes`.
        fields: all that the API tells of it, of its resident too.
    """

    id: int
    resident: int
    notes: str = field(default="[]", repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One of a resident's help requests; ``fields`` is all that the API tells of it."""

    id: int
    help_needed: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
