"""The effects that a row is to have in the API, and how far it is with them.

Each effect (the help request, a note, the extra case, its note) is one entry in the ledger. Not here: what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.matching import is_found_again
from pipelines.domains.residents.replies import HelpRequest
from pipelines.domains.residents.rows import Mapped


class Kind(StrEnum):
    """What an effect is."""

    REQUEST = "request"
    NOTE = "note"
    CASE = "case"
    CASE_NOTE = "case note"


class Standing(StrEnum):
    """Where an effect stands."""

    OPEN = "open"
    """It has not happened."""
    UNKNOWN = "unknown"
    """It was asked for, and nobody knows whether it happened."""
    DONE = "done"
    THERE = "there"
    """It had happened before, or is not needed."""
    REFUSED = "refused"


ASKED_FOR = frozenset({Standing.OPEN, Standing.UNKNOWN})
"""Standings of what is still to be done, or to be found out."""


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect of a row: `text` is a note's, `number` tells notes of a kind apart, from 1."""

    kind: Kind
    number: int = 1
    text: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """What the ledger calls it within its row."""
        return f"{self.kind} {self.number}" if self.kind is Kind.NOTE else str(self.kind)


@dataclass(frozen=True, slots=True)
class Plan:
    """A row with its effects, in the order of their calls."""

    feed: Feed
    row: Mapped
    effects: tuple[Effect, ...]

    @property
    def is_repeatable(self) -> bool:
        """Whether the API recognises the request, and its resident, when it comes again."""
        return bool(self.row.key) and is_found_again(self.row.payload)

    def find(self, kind: Kind) -> int | None:
        """The place of the first effect of a kind."""
        return next((place for place, effect in enumerate(self.effects) if effect.kind is kind), None)


class Progress(msgspec.Struct, frozen=True):
    """How far a row is.

    Attributes:
        standings: of the plan's effects.
        resident: the resident's id, once known.
        request: the request's id, once known.
        case: the extra case's id, once it was made.
        earlier: the id of the request that an earlier version of the row got: it has notes, and an address to keep.
        address_left_out: whether the address was left out, so that the resident keeps what the sheet can't tell.
        is_anothers: whether the request was seen to be another person's, who has the same id in some sheet or the API.
        seen: that request as it was read, until something may have changed it.
        has_no_case: whether the resident was seen to have no case of the kind.
        is_doubtful: whether what the ledger does not know of may have happened before it was lost.
    """

    standings: tuple[Standing, ...]
    resident: int | None = None
    request: int | None = None
    case: int | None = None
    earlier: int | None = None
    address_left_out: bool = False
    is_anothers: bool = False
    seen: HelpRequest | None = None
    has_no_case: bool = False
    is_doubtful: bool = False

    def waits(self, place: int | None) -> bool:
        """Whether there is such an effect, still to be done or to be found out."""
        return place is not None and self.standings[place] in ASKED_FOR

    def mark(self, standing: Standing, *places: int) -> tuple[Standing, ...]:
        """The standings with some of them changed."""
        return tuple(standing if place in places else now for place, now in enumerate(self.standings))


def plan_row(feed: Feed, row: Mapped) -> Plan:
    """The effects that a row is to have."""
    effects = [Effect(Kind.REQUEST), *(Effect(Kind.NOTE, number, text) for number, text in enumerate(row.notes, 1))]
    if row.wants_case and feed.extra_case is not None:
        effects += [Effect(Kind.CASE), Effect(Kind.CASE_NOTE, text=feed.extra_case.note)]
    return Plan(feed, row, tuple(effects))


def begin(
    plan: Plan,
    known: Mapping[str, Standing] | None = None,
    *,
    resident: int | None = None,
    request: int | None = None,
    case: int | None = None,
    earlier: int | None = None,
) -> Progress:
    """A row's progress by what the ledger knows: standings by the names of the effects, and ids as in `Progress`.

    Raises:
        ValueError: a request or a case is done and has no id.
    """
    known = known or {}
    standings = tuple(known.get(effect.name, Standing.OPEN) for effect in plan.effects)
    for effect, standing in zip(plan.effects, standings, strict=True):
        needs = {Kind.REQUEST: request, Kind.CASE: case}.get(effect.kind, 0)
        if standing is Standing.DONE and needs is None:
            raise ValueError(f"the {effect.name} is done and has no id")
    return Progress(standings, resident, request, case, earlier)
