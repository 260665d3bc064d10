"""The ledger on an SQL database, in SQLAlchemy Core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger import Span, TakenIn
from pipelines.adapters.ledger.connection import sqlite_engine
from pipelines.adapters.ledger.recording import UNDONE, insert, record
from pipelines.adapters.ledger.rows import ITEM, Row, chunks, read_item, same_name, settled_row, unindexed
from pipelines.adapters.ledger.schema import circuits, is_claimed, is_open, marks, work
from pipelines.core.circuit import Circuit
from pipelines.core.rhythms import Mark
from pipelines.core.work import Backlog, Item, NewItem, Outcome, Standing, State

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

    def backlog(self, now: datetime) -> list[Backlog]:
        """Counts of due work; see the protocol."""
        query = (
            sa.select(work.c.queue, work.c.destination, work.c.partition, sa.func.count(), sa.func.min(work.c.due_at))
            .where(_due(now), ~_in_hand())
            .group_by(work.c.queue, work.c.destination, work.c.partition)
        )
        return [Backlog(*row) for row in self._read(query)]

    def next_due(self, queue: str) -> datetime | None:
        """The earliest due time of a queue's open work."""
        due = sa.case((is_claimed(), work.c.lease_until), else_=work.c.due_at)
        query = sa.select(sa.func.min(due)).where(work.c.queue == queue, is_open(), ~_in_hand())
        earliest: datetime | None = self._read(query)[0][0]
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
        mine = sa.and_(work.c.queue == queue, work.c.destination == destination, _due(now))
        due = sa.select(work.c.id).where(mine, ~_in_hand(), *_within(span, unindexed(work.c.partition)))
        due = due.order_by(work.c.due_at, work.c.id).limit(limit).with_for_update(skip_locked=True)
        lost = work.c.state == State.CLAIMED
        # An older version whose lease ran out: its run ended without a word, and its work will not be done again.
        outrun = sa.update(work).where(mine, ~work.c.newest)
        outrun = outrun.values(state=State.SUPERSEDED, uncertain=True, lease_until=None, changed_at=now)
        values = {
            "state": State.CLAIMED,
            "owner": owner,
            "fence": work.c.fence + 1,
            "lease_until": now + lease,
            "uncertain": sa.or_(work.c.uncertain, lost),
            "changed_at": now,
        }
        if crash_counts:
            values["attempts"] = work.c.attempts + sa.case((lost, 1), else_=0)
        with self._engine.begin() as connection:
            connection.execute(outrun)
            ids = connection.execute(due).scalars().all()
            claimed = sa.update(work).where(work.c.id.in_(ids)).values(**values).returning(*ITEM)
            items = [read_item(row) for row in connection.execute(claimed)]
        return sorted(items, key=lambda item: (item.due_at, item.id))

    def renew(self, held: Iterable[Item], now: datetime, lease: timedelta) -> set[int]:
        """Extend leases; see the protocol."""
        fences = {item.id: item.fence for item in held}
        with self._engine.begin() as connection:
            alive = {row.id for row in self._held(connection, fences)}
            for chunk in chunks(sorted(alive)):
                connection.execute(sa.update(work).where(work.c.id.in_(chunk)).values(lease_until=now + lease))
        return alive

    @staticmethod
    def _held(connection: sa.Connection, fences: Mapping[int, int]) -> Iterator[sa.Row[Any]]:
        """The rows that are still held under these fences."""
        for chunk in chunks(sorted(fences)):
            query = sa.select(work.c.id, work.c.fence, work.c.newest).where(work.c.id.in_(chunk), is_claimed())
            for row in connection.execute(query.with_for_update()).all():
                if row.fence == fences[row.id]:
                    yield row

    def settle(self, outcomes: Sequence[Outcome], now: datetime) -> set[int]:
        """Record outcomes and releases; see the protocol."""
        changes: sa.Update = sa.update(work).where(work.c.id == sa.bindparam("of"))
        changes = changes.values(
            attempts=work.c.attempts + sa.bindparam("tried"),
            uncertain=sa.or_(work.c.uncertain, sa.bindparam("unsure", type_=sa.Boolean)),
            made_with=sa.func.coalesce(sa.bindparam("made", type_=sa.Text), work.c.made_with),
            detail=sa.func.coalesce(sa.bindparam("facts", type_=sa.JSON(none_as_null=True)), work.c.detail),
            due_at=sa.func.coalesce(sa.bindparam("due", type_=work.c.due_at.type), work.c.due_at),
        )
        by_id = {one.id: one for one in outcomes}
        with self._engine.begin() as connection:
            counted = {row.id: row.newest for row in self._held(connection, {one.id: one.fence for one in outcomes})}
            kept = [by_id[one] for one in counted]
            if kept:
                connection.execute(changes, [settled_row(one, _state(one, counted[one.id]), now) for one in kept])
            made = [one.id for one in kept if one.state is State.SETTLED and one.made_with is not None]
            for chunk in chunks(made):
                self._retire_older_outputs(connection, chunk, now)
            record(connection, [replace(item, parent=one.id) for one in kept for item in one.releases], now)
        return set(counted)

    @staticmethod
    def _retire_older_outputs(connection: sa.Connection, made: Sequence[int], now: datetime) -> None:
        """What was made from earlier versions of a file no longer exists: the new output stands in its place."""
        newer = work.alias("newer")
        older = sa.select(work.c.id).join(newer, same_name(newer, work))
        older = older.where(newer.c.id.in_(made), work.c.state == State.SETTLED)
        ids = connection.execute(older.with_for_update(of=work)).scalars().all()
        _withdraw(connection, ids, now)
        connection.execute(sa.update(work).where(work.c.id.in_(ids)).values(state=State.SUPERSEDED, changed_at=now))

    def reopen(self, ids: Sequence[int], now: datetime, reason: str) -> None:
        """Settled and dead items become pending again; see the protocol."""
        with self._engine.begin() as connection:
            for chunk in chunks(ids):
                over = work.c.state.in_([State.SETTLED, State.DEAD])
                query = sa.select(work.c.id).where(work.c.id.in_(chunk), work.c.newest, over)
                self._reopen(connection, connection.execute(query.with_for_update()).scalars().all(), now, reason)

    def released(self, parent: int) -> list[Item]:
        """What was released from an item."""
        query = sa.select(*ITEM).where(work.c.parent == parent).order_by(work.c.id)
        return [read_item(row) for row in self._read(query)]

    def withhold(self, queue: str, partition: str, name: str, now: datetime) -> list[Item]:
        """Take back what waits under a name; see the protocol."""
        named = sa.and_(work.c.queue == queue, work.c.partition == partition, work.c.name == name)
        with self._engine.begin() as connection:
            waiting = sa.update(work).where(named, work.c.state == State.PENDING)
            connection.execute(waiting.values(state=State.SUPERSEDED, changed_at=now))
            return [read_item(row) for row in connection.execute(sa.select(*ITEM).where(named).order_by(work.c.id))]

    def reopen_outdated(self, queue: str, made_with: str, now: datetime) -> int:
        """Reopen what was made otherwise; see the protocol."""
        # Found from the open releases, so that the cost does not grow with what is delivered.
        released = work.alias("released")
        waiting = sa.select(released.c.parent).where(
            is_open(released), released.c.state == State.PENDING, released.c.parent.is_not(None)
        )
        outdated = sa.and_(
            work.c.id.in_(waiting),
            unindexed(work.c.queue) == queue,
            work.c.newest,
            work.c.state == State.SETTLED,
            work.c.made_with != made_with,
        )
        release = work.alias("release")
        sent = sa.or_(release.c.state.in_([State.SETTLED, State.CLAIMED]), release.c.uncertain, release.c.attempts > 0)
        may_have_left = sa.exists().where(release.c.parent == work.c.id, sent)
        with self._engine.begin() as connection:
            query = sa.select(work.c.id).where(outdated, ~may_have_left).with_for_update()
            ids = connection.execute(query).scalars().all()
            self._reopen(connection, ids, now, None)
        return len(ids)

    @staticmethod
    def _reopen(connection: sa.Connection, ids: Sequence[int], now: datetime, reason: str | None) -> None:
        for chunk in chunks(ids):
            _withdraw(connection, chunk, now)
            again = {"state": State.PENDING, "attempts": 0, "due_at": now, "changed_at": now, "reason": reason}
            connection.execute(sa.update(work).where(work.c.id.in_(chunk)).values(**again, settled_at=None))

    def items(self, queue: str, span: Span | None = None, states: Collection[State] | None = None) -> Iterator[Item]:
        """Items in order of partition and name, a page at a time."""
        query = sa.select(*ITEM).where(work.c.queue == queue, *_within(span))
        if states is not None:
            query = query.where(work.c.state.in_(list(states)))
        order = (work.c.partition, work.c.name, work.c.id)
        query = query.order_by(*order).limit(_PAGE)
        after: tuple[Any, ...] | None = None
        while True:
            page = self._read(query if after is None else query.where(sa.tuple_(*order) > after))
            yield from (read_item(row) for row in page)
            if len(page) < _PAGE:
                return
            after = (page[-1].partition, page[-1].name, page[-1].id)

    def standings(self, queue: str, span: Span | None = None, destination: str | None = None) -> list[Standing]:
        """Counts by state and reason."""
        bound = [] if destination is None else [work.c.destination == destination]
        query = (
            sa.select(
                work.c.state, work.c.reason, sa.func.count(), sa.func.sum(work.c.size), sa.func.min(work.c.seen_at)
            )
            .where(work.c.queue == queue, *_within(span), *bound)
            .group_by(work.c.state, work.c.reason)
            .order_by(work.c.state, work.c.reason)
        )
        return [Standing(State(row[0]), row[1], row[2], int(row[3]), row[4]) for row in self._read(query)]

    def search(self, text: str, limit: int = 100) -> list[Item]:
        """Items by a part of their name, with their family."""
        named = sa.select(work.c.id, work.c.parent).where(work.c.name.icontains(text, autoescape=True))
        found = self._read(named.order_by(work.c.id.desc()).limit(limit))
        roots = {row.parent or row.id for row in found}
        family = sa.or_(work.c.id.in_(roots), work.c.parent.in_(roots))
        return (
            [read_item(row) for row in self._read(sa.select(*ITEM).where(family).order_by(work.c.id))] if roots else []
        )

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
        fields = ("failures", "opened_at", "probe_at", "probes", "reason")
        self._put(circuits, name, {field: getattr(circuit, field) for field in fields})

    def _put(self, table: sa.Table, name: str, values: Row) -> None:
        with self._engine.begin() as connection:
            statement = insert(connection, table).values(name=name, **values)
            connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))

    def _read(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._reading.connect() as connection:
            return connection.execute(query).all()


def _due(now: datetime) -> sa.ColumnElement[bool]:
    waiting = sa.and_(work.c.state == State.PENDING, work.c.due_at <= now)
    abandoned = sa.and_(work.c.state == State.CLAIMED, work.c.lease_until < now)
    return sa.and_(is_open(), sa.or_(waiting, abandoned))


def _in_hand() -> sa.ColumnElement[bool]:
    """Another version of the same name is held: until it is let go, this one waits."""
    other = work.alias("other")
    return sa.exists().where(is_claimed(other), same_name(other, work))


def _within(span: Span | None, partition: sa.ColumnElement[str] = work.c.partition) -> list[sa.ColumnElement[bool]]:
    return [] if span is None else [partition.between(span.first, span.last)]


def _state(outcome: Outcome, newest: bool) -> State:
    """What is not done will not be, once a newer version is there."""
    return outcome.state if newest or outcome.state not in UNDONE else State.SUPERSEDED


def _withdraw(connection: sa.Connection, parents: Sequence[int], now: datetime) -> None:
    """Take back what was released from these and waits."""
    waiting = sa.and_(work.c.parent.in_(parents), work.c.state == State.PENDING)
    connection.execute(sa.update(work).where(waiting).values(state=State.SUPERSEDED, changed_at=now))
