"""The ledger on an SQL database, in SQLAlchemy Core.

Here: transactions, and who reads without one. What each of them does stands in the modules beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from msgspec import structs
from pydantic import SecretStr

from pipelines.adapters.ledger import (
    NOTHING,
    Family,
    Span,
    TakenIn,
    changes,
    intending,
    journal,
    pauses,
    reading,
    settling,
)
from pipelines.adapters.ledger.claiming import Claim, claim
from pipelines.adapters.ledger.connection import sqlite_engine
from pipelines.adapters.ledger.postgres import PATIENCE, open_postgres
from pipelines.adapters.ledger.recording import record
from pipelines.adapters.ledger.restoring import restore
from pipelines.adapters.ledger.rows import Row, chunks, insert, read_item
from pipelines.adapters.ledger.schema import circuits, marks
from pipelines.adapters.ledger.transactions import SqliteTransactor, Transactions
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import OVER, Backlog, Entry, Item, NewItem, Outcome, Pause, Standing, State

_PAGE = 500


class SqlLedger:
    """See ``pipelines.adapters.ledger.Ledger``; times are passed in, so that every clock is the caller's."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._write, self._read = transactions.write, transactions.read
        self._engine = transactions.engine

    @classmethod
    def on_sqlite(cls, url: str) -> SqlLedger:
        """The ledger in one SQLite file."""
        return cls(SqliteTransactor(sqlite_engine(url)))

    @classmethod
    def on_postgres(
        cls, url: str, password: SecretStr | None = None, patience: float = PATIENCE, *, waits: bool = False
    ) -> SqlLedger:
        """The ledger in a PostgreSQL database, where a lost connection is waited for, in seconds."""
        return cls(open_postgres(url, password, patience, waits=waits))

    def close(self) -> None:
        """Let go of connections."""
        self._engine.dispose()

    def take_in(self, items: Sequence[NewItem], now: datetime) -> TakenIn:
        """Insert what is absent; see the protocol."""
        changed = self._write(lambda connection: record(connection, items, now))
        new = [item for item in changed if item.state is State.PENDING]
        by_partition = Counter(item.partition for item in new)
        return TakenIn(dict(by_partition), len(changed) - len(new), sum(item.size for item in new))

    def queues(self) -> list[str]:
        """The queues that hold anything, in order."""
        return [row.value for row in self._read(reading.queues())]

    def backlog(self, now: datetime) -> list[Backlog]:
        """Counts of due work; see the protocol."""
        return [Backlog(*row) for row in self._read(reading.backlog(now))]

    def next_due(self, queue: str) -> datetime | None:
        """The earliest due time of a queue's open work."""
        earliest: datetime | None = self._read(reading.next_due(queue))[0][0]
        return earliest

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
        """Take due items under a lease; see the protocol."""
        asked = Claim(queue, owner, limit, now, lease, destination, span, crash_counts)
        items = self._write(partial(claim, asked=asked, skip_locked=True))
        if items or not self._transactions.side_by_side:
            return items
        # Of what others locked at that moment some may be left over: "nothing" is said once that is certain.
        return self._write(partial(claim, asked=asked, skip_locked=False))

    def renew(self, held: Iterable[Item], now: datetime, lease: timedelta) -> set[int]:
        """Extend leases; see the protocol."""
        fences = {item.id: item.fence for item in held}
        return self._write(lambda connection: settling.renew(connection, fences, now + lease))

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
        """Take named items in hand; see the protocol."""

        def go_on(connection: sa.Connection) -> list[Item]:
            settling.settle(connection, outcomes, now)
            record(connection, there, now)
            intending.annotate(connection, details, now)
            return intending.intend(connection, items, owner, now, now + lease)

        return self._write(go_on)

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
        """Record outcomes and releases; see the protocol."""
        return self._write(lambda connection: settling.settle(connection, outcomes, now))

    def reopen(
        self,
        ids: Sequence[int],
        now: datetime,
        reason: str,
        detail: Mapping[str, Any] | None = None,
        *,
        states: Collection[State] = OVER,
    ) -> int:
        """Settled and dead items become pending again; see the protocol."""
        return self._write(lambda connection: settling.reopen(connection, ids, now, reason, detail, states))

    def reopen_outdated(self, queue: str, made_with: str, now: datetime) -> int:
        """Reopen what was made otherwise; see the protocol."""
        return self._write(lambda connection: settling.reopen_outdated(connection, queue, made_with, now))

    def withdraw_orphans(self, queue: str, now: datetime) -> int:
        """Take back what nothing stands behind any more; see the protocol."""
        return self._write(lambda connection: settling.withdraw_orphans(connection, queue, now))

    def amend(self, item: Item, detail: Mapping[str, Any], items: Sequence[NewItem], now: datetime) -> bool:
        """Merge into a settled item's detail; see the protocol."""
        return self._write(lambda connection: settling.amend(connection, item, detail, items, now))

    def withhold(self, queue: str, partition: str, name: str, now: datetime) -> list[Item]:
        """Take back what waits under a name; see the protocol."""
        return self._write(lambda connection: settling.withhold(connection, queue, partition, name, now))

    def restore(self, families: Iterable[Family], now: datetime) -> int:
        """Insert what a lost ledger held; see the protocol."""
        return self._transactions.write(partial(restore, families=families, now=now), repeatable=False)

    def items(self, queue: str, span: Span | None = None, states: Collection[State] | None = None) -> Iterator[Item]:
        """Items in order of partition and name, a page at a time."""
        query = reading.items(queue, span, states).limit(_PAGE)
        after: tuple[Any, ...] | None = None
        while True:
            page = self._read(query if after is None else query.where(sa.tuple_(*reading.ORDER) > after))
            yield from (read_item(row) for row in page)
            if len(page) < _PAGE:
                return
            after = (page[-1].partition, page[-1].name, page[-1].id)

    def partitions(self, queue: str, span: Span) -> list[str]:
        """The partitions that hold anything; see the protocol."""
        return [row.value for row in self._read(reading.partitions(queue, span))]

    def versions(self, queue: str, name: str) -> list[Item]:
        """All versions of a name; see the protocol."""
        return [read_item(row) for row in self._read(reading.versions(queue, name))]

    def named(self, queue: str, destination: str | None, names: Collection[str]) -> list[Item]:
        """All versions of some names; see the protocol."""
        if destination is None:
            return self._look_up(partial(reading.versions_anywhere, queue), names)
        asked = ({"queue": queue, "destination": destination, "names": chunk} for chunk in chunks(sorted(names)))
        return [read_item(row) for each in asked for row in self._read(reading.VERSIONS_OF, each)]

    def placed(self, queue: str, places: Collection[str]) -> list[Item]:
        """What was last seen at some places; see the protocol."""
        return self._look_up(partial(reading.placed, queue), places)

    def alike(self, queue: str, versions: Collection[str]) -> list[Item]:
        """What has one of some versions; see the protocol."""
        return self._look_up(partial(reading.alike, queue), versions)

    def _look_up(self, ask: Callable[[Collection[str]], sa.Select[Any]], values: Collection[str]) -> list[Item]:
        found = (self._read(ask(chunk)) for chunk in chunks(sorted(values)))
        return [read_item(row) for rows in found for row in rows]

    def standings(
        self, queue: str, span: Span | None = None, destination: str | None = None, *, unsettled: bool = False
    ) -> list[Standing]:
        """Counts by state and reason; see the protocol."""
        rows = self._read(reading.standings(queue, span, destination, unsettled=unsettled))
        return [Standing(State(row[0]), row[1], row[2], int(row[3]), row[4]) for row in rows]

    def search(self, text: str, limit: int = 100) -> list[Item]:
        """Items by a part of their name, with their family."""
        roots = {row.parent or row.id for row in self._read(reading.named(text, limit))}
        return [read_item(row) for row in self._read(reading.families(roots))] if roots else []

    def unrecorded(self, queue: str) -> dict[str, int]:
        """The partitions that Dagster is to be told of."""
        return {row.partition: row.made for row in self._read(changes.untold(queue))}

    def recorded(self, queue: str, counts: Mapping[str, int]) -> None:
        """Dagster was told of these partitions; see the protocol."""
        self._write(lambda connection: changes.tell(connection, queue, counts))

    def pause(self, pause: Pause) -> None:
        """Take nothing of a queue until a moment."""
        self._write(lambda connection: pauses.put(connection, pause))

    def resume(self, queue: str) -> None:
        """Take of a queue again."""
        self._write(lambda connection: pauses.lift(connection, queue))

    def paused(self, queue: str, now: datetime) -> Pause | None:
        """The pause of a queue, unless it has ended."""
        rows = self._read(pauses.in_force(queue, now))
        return Pause(*rows[0]) if rows else None

    def begin(self, action: str, who: str, why: str, run: str, scope: Mapping[str, Any], now: datetime) -> int:
        """Note in the journal what is about to be done."""
        facts = {"action": action, "who": who, "why": why, "run": run, "scope": dict(scope), "at": now}
        return self._write(lambda connection: journal.begin(connection, facts))

    def finish(self, entry: int, effect: Mapping[str, Any], now: datetime) -> None:
        """Note in the journal what came of it."""
        self._write(lambda connection: journal.finish(connection, entry, effect, now))

    def journal(self, limit: int = 100) -> list[Entry]:
        """The journal's last entries."""
        return [journal.read_entry(row) for row in self._read(journal.last(limit))]

    def mark(self, name: str) -> Mark | None:
        """How far a listing has come."""
        rows = self._read(sa.select(marks.c.at, marks.c.position).where(marks.c.name == name))
        return Mark(*rows[0]) if rows else None

    def set_mark(self, name: str, mark: Mark) -> None:
        """Keep how far a listing has come."""
        self._put(marks, name, {"at": mark.at, "position": mark.position})

    def circuit(self, name: str) -> Circuit:
        """The circuit of an outside system; one never heard of is closed."""
        rows = self._read(sa.select(circuits).where(circuits.c.name == name))
        return Circuit(*rows[0][1:]) if rows else Circuit()

    def set_circuit(self, name: str, circuit: Circuit) -> None:
        """Keep the circuit of an outside system."""
        self._put(circuits, name, structs.asdict(circuit))

    def _put(self, table: sa.Table, name: str, values: Row) -> None:
        def put(connection: sa.Connection) -> None:
            statement = insert(connection.dialect.name, table).values(name=name, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

        self._write(put)
