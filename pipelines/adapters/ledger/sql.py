"""The ledger on an SQL database, in SQLAlchemy Core.

Here: transactions, and who reads without one. What each of them does stands in the modules beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger import Family, Span, TakenIn, changes, journal, pauses, reading, settling
from pipelines.adapters.ledger.connection import sqlite_engine
from pipelines.adapters.ledger.recording import insert, record
from pipelines.adapters.ledger.restoring import restore
from pipelines.adapters.ledger.rows import ITEM, Row, chunks, read_item, unindexed
from pipelines.adapters.ledger.schema import circuits, marks, work
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import Backlog, Entry, Item, NewItem, Outcome, Pause, Standing, State

_PAGE = 500


class SqlLedger:
    """See ``pipelines.adapters.ledger.Ledger``; times are passed in, so that every clock is the caller's."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # A reader must not queue up behind the writers.
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    @classmethod
    def on_sqlite(cls, url: str) -> SqlLedger:
        """The ledger in one SQLite file."""
        return cls(sqlite_engine(url))

    def close(self) -> None:
        """Let go of connections."""
        self._engine.dispose()

    def take_in(self, items: Sequence[NewItem], now: datetime) -> TakenIn:
        """Insert what is absent; see the protocol."""
        with self._engine.begin() as connection:
            changed = record(connection, items, now)
        new = [item for item in changed if item.state is State.PENDING]
        by_partition = Counter(item.partition for item in new)
        return TakenIn(dict(by_partition), len(changed) - len(new), sum(item.size for item in new))

    def queues(self) -> list[str]:
        """The queues that hold anything, in order."""
        return [row.queue for row in self._read(reading.queues())]

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
        mine = sa.and_(work.c.queue == queue, work.c.destination == destination, reading.is_due(now))
        within = reading.is_within(span, unindexed(work.c.partition))
        paused = pauses.in_force(queue, now).exists()
        due = sa.select(work.c.id).where(mine, ~reading.is_in_hand(), ~paused, *within)
        due = due.order_by(work.c.due_at, work.c.id).limit(limit).with_for_update(skip_locked=True)
        lost = work.c.state == State.CLAIMED
        # An older version whose lease ran out, or what was released from one: it will not be done again.
        outrun = sa.update(work).where(mine, sa.or_(~work.c.newest, reading.is_orphaned()))
        unsure = sa.or_(work.c.uncertain, lost)
        outrun = outrun.values(state=State.SUPERSEDED, uncertain=unsure, lease_until=None, changed_at=now)
        values = {
            "state": State.CLAIMED,
            "owner": owner,
            "fence": work.c.fence + 1,
            "lease_until": now + lease,
            "uncertain": unsure,
            "changed_at": now,
        }
        if crash_counts:
            values["attempts"] = work.c.attempts + sa.case((lost, 1), else_=0)
        with self._engine.begin() as connection:
            over = connection.execute(outrun.returning(work.c.queue, work.c.partition)).all()
            changes.note(connection, [(row.queue, row.partition) for row in over])
            ids = connection.execute(due).scalars().all()
            claimed = sa.update(work).where(work.c.id.in_(ids)).values(**values).returning(*ITEM)
            items = [read_item(row) for row in connection.execute(claimed)]
        return sorted(items, key=lambda item: (item.due_at, item.id))

    def renew(self, held: Iterable[Item], now: datetime, lease: timedelta) -> set[int]:
        """Extend leases; see the protocol."""
        fences = {item.id: item.fence for item in held}
        with self._engine.begin() as connection:
            alive = {row.id for row in settling.held(connection, fences)}
            for chunk in chunks(sorted(alive)):
                connection.execute(sa.update(work).where(work.c.id.in_(chunk)).values(lease_until=now + lease))
        return alive

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
        """Record outcomes and releases; see the protocol."""
        with self._engine.begin() as connection:
            return settling.settle(connection, outcomes, now)

    def reopen(self, ids: Sequence[int], now: datetime, reason: str, detail: Mapping[str, Any] | None = None) -> int:
        """Settled and dead items become pending again; see the protocol."""
        with self._engine.begin() as connection:
            return settling.reopen(connection, ids, now, reason, detail)

    def reopen_outdated(self, queue: str, made_with: str, now: datetime) -> int:
        """Reopen what was made otherwise; see the protocol."""
        with self._engine.begin() as connection:
            return settling.reopen_outdated(connection, queue, made_with, now)

    def amend(self, item: Item, detail: Mapping[str, Any], items: Sequence[NewItem], now: datetime) -> bool:
        """Merge into a settled item's detail; see the protocol."""
        with self._engine.begin() as connection:
            return settling.amend(connection, item, detail, items, now)

    def withhold(self, queue: str, partition: str, name: str, now: datetime) -> list[Item]:
        """Take back what waits under a name; see the protocol."""
        with self._engine.begin() as connection:
            return settling.withhold(connection, queue, partition, name, now)

    def restore(self, families: Iterable[Family], now: datetime) -> int:
        """Insert what a lost ledger held; see the protocol."""
        with self._engine.begin() as connection:
            return restore(connection, families, now)

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
        with self._engine.begin() as connection:
            changes.tell(connection, queue, counts)

    def pause(self, pause: Pause) -> None:
        """Take nothing of a queue until a moment."""
        with self._engine.begin() as connection:
            pauses.put(connection, pause)

    def resume(self, queue: str) -> None:
        """Take of a queue again."""
        with self._engine.begin() as connection:
            pauses.lift(connection, queue)

    def paused(self, queue: str, now: datetime) -> Pause | None:
        """The pause of a queue, unless it has ended."""
        rows = self._read(pauses.in_force(queue, now))
        return Pause(*rows[0]) if rows else None

    def begin(self, action: str, who: str, why: str, run: str, scope: Mapping[str, Any], now: datetime) -> int:
        """Note in the journal what is about to be done."""
        facts = {"action": action, "who": who, "why": why, "run": run, "scope": dict(scope), "at": now}
        with self._engine.begin() as connection:
            return journal.begin(connection, facts)

    def finish(self, entry: int, effect: Mapping[str, Any], now: datetime) -> None:
        """Note in the journal what came of it."""
        with self._engine.begin() as connection:
            journal.finish(connection, entry, effect, now)

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
        self._put(circuits, name, asdict(circuit))

    def _put(self, table: sa.Table, name: str, values: Row) -> None:
        with self._engine.begin() as connection:
            statement = insert(connection, table).values(name=name, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._reading.connect() as connection:
            return connection.execute(query).all()
