"""The ledger: the truth about work. One row for each landed file and for each outside effect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import OVER, Backlog, Entry, Item, NewItem, Outcome, Pause, Standing, State

NOTHING: Mapping[int, Mapping[str, Any]] = MappingProxyType({})


class LedgerUnavailable(ConnectionError):  # noqa: N818 (it says what is the case)
    """The ledger's server is not there, or does not let us in; what was asked of it may or may not have been done."""


@dataclass(frozen=True, slots=True)
class Span:
    """Partitions from ``first`` to ``last``, both included, in the order of their keys."""

    first: str
    last: str


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What taking in a batch changed: new items by partition with their bytes, and how many were set aside."""

    new: Mapping[str, int]
    aside: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Family:
    """A landed file and what was released from it; ``item`` is ``None`` where the landed file is not known."""

    item: NewItem | None
    releases: tuple[NewItem, ...] = ()


class Ledger(Protocol):
    """What every form of the ledger does. Each method is one transaction: it happens whole or not at all."""

    def take_in(self, items: Sequence[NewItem], now: datetime) -> TakenIn:
        """Record what is not known yet; a new version supersedes the undone older ones of its name.

        Of several versions of one name in ``items`` the last counts. Seeing a known version again brings it back if its
        file was gone, if it was set aside and no longer is, or if a newer version had taken its place; its detail is
        then merged into what the row keeps. What joins is recorded only if no other version of its name waits.
        """

    def queues(self) -> list[str]:
        """The queues that hold anything, in order; its cost depends on how many there are, not on what they hold."""

    def backlog(self, now: datetime) -> list[Backlog]:
        """What is due now, by queue and partition. Its cost depends on open work only."""

    def next_due(self, queue: str) -> datetime | None:
        """When the earliest open item of a queue is, or was, due."""

    def claim(
        self,
        queue: str,
        *,
        owner: str,
        limit: int,
        now: datetime,
        lease: timedelta,
        destination: str = "",
        span: Span | None = None,
        crash_counts: bool = False,
    ) -> list[Item]:
        """Take up to ``limit`` due items bound for ``destination``, oldest first; nobody else gets them for ``lease``.

        An item whose lease ran out is due again, marked uncertain, since the run that held it may have sent it; with
        ``crash_counts`` that lost lease is an attempt. No name is in two hands at once, whatever its versions; an older
        one whose lease ran out is not done again, nor is what was released from a superseded one. Of a queue that is
        paused at ``now`` nothing is taken, whoever asks. What is due further ahead than any pause is due now: a clock
        had jumped.
        """

    def renew(self, held: Iterable[Item], now: datetime, lease: timedelta) -> set[int]:
        """Extend the leases of those still held; returns their ids."""

    def intend(
        self,
        items: Sequence[NewItem],
        owner: str,
        now: datetime,
        lease: timedelta,
        *,
        outcomes: Sequence[Outcome] = (),
        there: Sequence[NewItem] = (),
        details: Mapping[int, Mapping[str, Any]] = NOTHING,
    ) -> list[Item]:
        """Take just these in hand, pending or superseded or never heard of, as what is about to happen.

        One whose lease ran out is taken over, marked uncertain. Of a name of which any version is held nothing is
        taken; another version whose lease ran out is superseded, uncertain as well. What is over stays as it is. An
        item that is taken belongs to the parent and the partition that are given.

        Args:
            items: what is wanted.
            owner: the run.
            now: the time.
            lease: for how long they are held.
            outcomes: settled before that, as by ``settle``.
            there: taken in before that, as by ``take_in``.
            details: what is put, by id, in the place of what settled items keep, before that.

        Returns:
            All versions of these names, as they now stand: what was taken is claimed by ``owner``.
        """

    def named(self, queue: str, destination: str | None, names: Collection[str]) -> list[Item]:
        """All versions of these names of a queue that are bound for ``destination``, or anywhere."""

    def placed(self, queue: str, places: Collection[str]) -> list[Item]:
        """The newest versions of what was last seen at these places: those that an item keeps as ``place``."""

    def alike(self, queue: str, versions: Collection[str]) -> list[Item]:
        """All that has one of these versions, under whatever name, of what keeps a place."""

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
        """Record outcomes whose fence still holds, with what they release; returns the ids that counted.

        What is not done (pending again, dead) while a newer version of it, or of what it was released from, took its
        place is superseded. What was once uncertain stays so. An output (``made_with`` is given) takes the place of
        those made from older versions. Whatever changes more than that an item was put back untried is ``unrecorded``
        from then on.
        """

    def reopen(
        self,
        ids: Sequence[int],
        now: datetime,
        reason: str,
        detail: Mapping[str, Any] | None = None,
        *,
        states: Collection[State] = OVER,
    ) -> int:
        """Make items in one of these states pending again; what was released from them and waits is withdrawn.

        ``detail`` is merged into what each row keeps. A settled item's effect happened: it is uncertain from then on.

        Returns:
            How many moved: a version that a newer one took the place of does not.
        """

    def amend(self, item: Item, detail: Mapping[str, Any], items: Sequence[NewItem], now: datetime) -> bool:
        """Merge ``detail`` into a settled item's and take ``items`` in, together, if it is still as ``item`` has it.

        Returns:
            False, with nothing changed, if the item's detail or state is another by now, or a newer version is there.
        """

    def restore(self, families: Iterable[Family], now: datetime) -> int:
        """Insert what a lost ledger held; what is known stays exactly as it is. Nothing else is recorded meanwhile.

        Of several versions of one name the last given is the newest, unless the ledger came to know one by itself.

        Returns:
            How many rows were inserted.
        """

    def withhold(self, queue: str, partition: str, name: str, now: datetime) -> list[Item]:
        """Take back what waits under a name, wherever it is bound; from then on none of it can leave.

        Returns:
            All versions of the name, in the order in which they were first seen.
        """

    def withdraw_orphans(self, queue: str, now: datetime) -> int:
        """Take back what waits though what it was released from is superseded; its cost depends on open work only.

        So is what a run that died left in hand: it may have happened.

        Returns:
            How many that were.
        """

    def reopen_outdated(self, queue: str, made_with: str, now: datetime) -> int:
        """Reopen what was made otherwise than ``made_with``, as long as nothing released from it may have left."""

    def items(self, queue: str, span: Span | None = None, states: Collection[State] | None = None) -> Iterable[Item]:
        """The items of a queue, in order of partition and name, read lazily."""

    def partitions(self, queue: str, span: Span) -> list[str]:
        """The partitions of a span in which a queue has any items, in order."""

    def versions(self, queue: str, name: str) -> list[Item]:
        """All versions of a name that is bound for nowhere, as those of a landed file, the first recorded first."""

    def standings(
        self, queue: str, span: Span | None = None, destination: str | None = None, *, unsettled: bool = False
    ) -> list[Standing]:
        """Counts by state and reason; of items bound for any destination, or for one.

        With ``unsettled`` only of what is neither settled nor superseded: the cost does not grow with what is done.
        """

    def search(self, text: str, limit: int = 100) -> list[Item]:
        """Items whose name holds ``text``, with what was released from them and what they were released from."""

    def unrecorded(self, queue: str) -> dict[str, int]:
        """The partitions whose items changed since Dagster was last told, each with the count of its changes."""

    def recorded(self, queue: str, counts: Mapping[str, int]) -> None:
        """Dagster was told of these partitions; of one whose count is another by now it has to be told again."""

    def pause(self, pause: Pause) -> None:
        """Take nothing of a queue until a moment; what is in hand is renewed and settled. Replaces an earlier pause."""

    def resume(self, queue: str) -> None:
        """Take of a queue again; one that is not paused stays as it is."""

    def paused(self, queue: str, now: datetime) -> Pause | None:
        """The pause of a queue, unless it has ended."""

    def begin(self, action: str, who: str, why: str, run: str, scope: Mapping[str, Any], now: datetime) -> int:
        """Note in the journal what is about to be done; returns the entry's id."""

    def finish(self, entry: int, effect: Mapping[str, Any], now: datetime) -> None:
        """Note what came of it; only the first time counts."""

    def journal(self, limit: int = 100) -> list[Entry]:
        """The last entries, the newest first."""

    def mark(self, name: str) -> Mark | None:
        """How far a listing has come."""

    def set_mark(self, name: str, mark: Mark) -> None:
        """Keep how far a listing has come."""

    def circuit(self, name: str) -> Circuit:
        """The circuit of an outside system."""

    def set_circuit(self, name: str, circuit: Circuit) -> None:
        """Keep the circuit of an outside system."""

    def close(self) -> None:
        """Let go of connections."""


def open_ledger(url: str, password: SecretStr | None = None, *, waits: bool = False) -> Ledger:
    """Open the ledger at ``url``, making or migrating its tables first.

    Args:
        url: ``sqlite:///`` and a file, or ``postgresql://user@host/database`` with the driver's own options as a query.
        password: of a PostgreSQL user; without one the driver finds it in its own ways.
        waits: whether a server that is not there is waited for, as while it is restarted; a person is told at once.

    Raises:
        ValueError: the scheme is not known, or a password is in the URL.
        LedgerUnavailable: the server could not be reached, or does not let us in.
    """
    from pipelines.adapters.ledger.sql import SqlLedger  # noqa: PLC0415 (SQLAlchemy's engines are slow to import)

    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        return SqlLedger.on_sqlite(url)
    if scheme == "postgresql":
        return SqlLedger.on_postgres(url, password, waits=waits)
    raise ValueError("a ledger's URL starts with one of sqlite://, postgresql://")
