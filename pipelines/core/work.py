"""What a unit of work is and how its state may move.

Each landed file, and each effect on an outside system, is one item of work with one row in the ledger. This module
says what such an item is, which moves between states exist, and what may be asked of the ledger; how it is stored is
the ledger adapter's business, what an item means is its domain's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec


class State(StrEnum):
    """Where an item of work stands."""

    PENDING = "pending"
    """Waits until it is due."""
    CLAIMED = "claimed"
    """A run holds it until the lease ends."""
    SETTLED = "settled"
    """Its effect happened and is recorded."""
    DEAD = "dead"
    """Given up with a reason; only a person, or its file being seen again, brings it back."""
    SUPERSEDED = "superseded"
    """A newer version under the same name took its place."""
    ASIDE = "aside"
    """Not to be worked on as it is: before the first day, in the future, or no file of a kind that is read."""


MOVES: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.CLAIMED, State.SUPERSEDED}),
    State.CLAIMED: frozenset({State.SETTLED, State.PENDING, State.DEAD, State.SUPERSEDED, State.CLAIMED}),
    State.SETTLED: frozenset({State.PENDING, State.SUPERSEDED}),
    State.DEAD: frozenset({State.PENDING, State.SUPERSEDED}),
    State.SUPERSEDED: frozenset({State.PENDING}),
    State.ASIDE: frozenset({State.PENDING, State.SUPERSEDED}),
}
"""The moves that exist. ``CLAIMED -> CLAIMED`` is a lease that ran out, taken over by another run."""

OPEN = frozenset({State.PENDING, State.CLAIMED})
"""States that still ask for work."""

OVER = frozenset({State.SETTLED, State.DEAD})
"""States that only a person, or damage, takes an item out of."""

UNSETTLED = frozenset({State.PENDING, State.CLAIMED, State.DEAD, State.ASIDE})
"""States of what is neither done nor replaced: all that a queue still has to say without what it ever did."""


class Reason(StrEnum):
    """Why an item is not settled: a code, never a text that could hold a value."""

    GONE = "the file is gone"
    CHANGED = "the file changed while it was read"
    UNREADABLE = "the store could not be read"
    UNVERIFIED = "the output did not pass its verification"
    ALTERED = "the stored bytes are not those that were released"
    REBUILT_DIFFERENTLY = "rebuilt bytes differ from those released"
    COPY_MISSING = "records of an earlier version were processed again, and can't be told from its own any more"
    OUTPUT_LOST = "the output is lost and the landed file is gone"
    REFUSED = "refused"
    CONFLICT = "refused as already there"
    REDIRECTED = "redirected elsewhere"
    TOO_MANY_ATTEMPTS = "too many attempts"
    BUSY = "asked to wait"
    SERVER_ERROR = "server error"
    TIMEOUT = "no answer in time"
    CONNECTION = "connection refused or cut"
    TLS = "no trust between the two sides"
    NOT_ALLOWED = "not allowed"
    NOT_FOUND = "address not found"
    CRASHED = "the run that held it ended without a word"
    OUT_OF_RANGE = "outside the partitions that exist"
    UNKNOWN_KIND = "not a kind of file that is read here"
    NAME_TOO_LONG = "the name is too long"
    NOT_INTACT = "the output is missing or altered"
    REMAPPED = "to be mapped anew"
    MAY_HAVE_LEFT = "may have been delivered before the ledger was lost"
    REPLAYED = "sent again by a person"
    SAME_CONTENT = "the same content is there under another name"
    NOT_A_SHEET = "not a sheet of its feed"
    INTERNAL = "an error of our own"


class NewItem(msgspec.Struct, frozen=True):
    """Work to be recorded unless it is known already.

    ``(queue, destination, name, version)`` is its identity; of one ``(queue, destination, name)`` only the newest
    version is worked on.

    Attributes:
        joins: nothing is recorded while another version of the name still waits: that one does what this one asks for.
            One in hand, or over, may have begun too early to do so. It belongs to no parent, whose fate is not its own.
        settled_at: when it was settled, of work that was done before the ledger knew it; so are the following.
        uncertain: it may have left.
        seen_at: when it was first seen.
        changed_at: since when it has stood so.
        attempts: how many there were.
        status: of the last answer.
        owner: the run that settled it.
    """

    queue: str
    name: str
    version: str
    partition: str
    size: int
    destination: str = ""
    state: State = State.PENDING
    reason: str | None = None
    parent: int | None = None
    made_with: str = ""
    cause: str = ""
    detail: Mapping[str, Any] = msgspec.field(default_factory=dict)
    joins: bool = False
    settled_at: datetime | None = None
    uncertain: bool = False
    seen_at: datetime | None = None
    changed_at: datetime | None = None
    attempts: int = 0
    status: int | None = None
    owner: str = ""


class Item(msgspec.Struct, frozen=True):
    """An item of work as the ledger holds it; times are UTC, ``size`` is in bytes."""

    id: int
    queue: str
    destination: str
    name: str
    version: str
    partition: str
    size: int
    state: State
    attempts: int
    due_at: datetime
    owner: str
    fence: int
    lease_until: datetime | None
    uncertain: bool
    status: int | None
    reason: str | None
    parent: int | None
    made_with: str
    cause: str
    seen_at: datetime
    changed_at: datetime
    settled_at: datetime | None
    detail: Mapping[str, Any]


class Outcome(msgspec.Struct, frozen=True):
    """What came of a claimed item. It counts only if ``fence`` is still the one that the claim gave.

    ``detail`` of ``None`` leaves what is stored; ``releases`` are recorded in the same transaction, and only if the
    outcome itself counts, with its item as their parent unless they join.

    Raises:
        ValueError: no claimed item can become that.
    """

    id: int
    fence: int
    state: State
    attempted: bool = True
    due_at: datetime | None = None
    uncertain: bool = False
    status: int | None = None
    reason: str | None = None
    made_with: str | None = None
    detail: Mapping[str, Any] | None = None
    releases: tuple[NewItem, ...] = ()

    def __post_init__(self) -> None:
        if self.state is State.CLAIMED or self.state not in MOVES[State.CLAIMED]:
            raise ValueError(f"a claimed item does not become {self.state}")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Due items of one queue, bound for one destination, in one partition."""

    queue: str
    destination: str
    partition: str
    items: int
    oldest_due: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How many items, and bytes, of a queue stand in one state, with the oldest sighting and the reason they share."""

    state: State
    reason: str | None
    items: int
    size: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue of which nothing is taken until a moment, by whose decision and why; what waits is kept."""

    queue: str
    since: datetime
    until: datetime
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person had done, and what came of it; without an ``effect`` the job has not ended, or without a word.

    Attributes:
        id: of the entry.
        at: when it began.
        action: what was to be done.
        who: by whose decision.
        why: for what reason, in that person's words.
        run: the run that does it, or "".
        scope: what it was to be done to: counts, filters, partitions, never a personal value.
        effect: what came of it, in counts.
        ended_at: when it ended.
    """

    id: int
    at: datetime
    action: str
    who: str
    why: str
    run: str
    scope: Mapping[str, Any]
    effect: Mapping[str, Any] | None = None
    ended_at: datetime | None = None
