"""What is asked of the ledger without changing it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger import Span
from pipelines.adapters.ledger.rows import ITEM, same_name
from pipelines.adapters.ledger.schema import is_claimed, is_open, is_unsettled, place, work
from pipelines.core.retry import LONGEST_PAUSE
from pipelines.core.work import UNSETTLED, State

_OTHER, _PARENT = work.alias("other"), work.alias("parent")
"""Made once: to make them takes longer than the queries in which they are."""

ORDER = (work.c.partition, work.c.name, work.c.id)
"""Of items that are listed; it goes on after the last one of a page."""


def is_due(now: datetime) -> sa.ColumnElement[bool]:
    """What waits and is due, and what was abandoned by the run that held it.

    A next attempt further away than any pause is a clock's fault, for which nothing waits.
    """
    reached = sa.or_(work.c.due_at <= now, work.c.due_at > now + LONGEST_PAUSE)
    waiting = sa.and_(work.c.state == State.PENDING, reached)
    abandoned = sa.and_(work.c.state == State.CLAIMED, work.c.lease_until < now)
    return sa.and_(is_open(), sa.or_(waiting, abandoned))


def is_in_hand() -> sa.ColumnElement[bool]:
    """Another version of the same name is held: until it is let go, this one waits."""
    return sa.exists().where(is_claimed(_OTHER), same_name(_OTHER, work))


def is_orphaned() -> sa.ColumnElement[bool]:
    """What it was released from is superseded: nothing has its bytes any more."""
    return sa.exists().where(_PARENT.c.id == work.c.parent, _PARENT.c.state == State.SUPERSEDED)


def is_within(span: Span | None, partition: sa.ColumnElement[str] = work.c.partition) -> list[sa.ColumnElement[bool]]:
    """The span's partitions, or all."""
    return [] if span is None else [partition.between(span.first, span.last)]


def queues() -> sa.Select[Any]:
    """The queues that hold anything: from each one the index leads on to the next, whatever lies between."""
    return _distinct(work.c.queue).order_by("value")


def partitions(queue: str, span: Span) -> sa.Select[Any]:
    """The partitions of a span that hold anything of a queue."""
    return _distinct(work.c.partition, work.c.queue == queue, *is_within(span)).order_by("value")


def _destinations(queue: str) -> sa.Select[Any]:
    """Where anything of a queue is bound for."""
    return _distinct(work.c.destination, work.c.queue == queue)


def _distinct(column: sa.Column[str], *which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    found = sa.select(sa.func.min(column).label("value")).where(*which).cte("found", recursive=True)
    following = sa.select(sa.func.min(column)).where(column > found.c.value, *which).scalar_subquery()
    found = found.union_all(sa.select(following).where(found.c.value.is_not(None)))
    return sa.select(found.c.value).where(found.c.value.is_not(None))


def backlog(now: datetime) -> sa.Select[Any]:
    """Counts of due work, as rows of a ``Backlog``."""
    place = (work.c.queue, work.c.destination, work.c.partition)
    due = sa.select(*place, sa.func.count(), sa.func.min(work.c.due_at)).where(is_due(now), ~is_in_hand())
    return due.group_by(*place)


def next_due(queue: str) -> sa.Select[Any]:
    """The earliest due time of a queue's open work."""
    due = sa.case((is_claimed(), work.c.lease_until), else_=work.c.due_at)
    return sa.select(sa.func.min(due)).where(work.c.queue == queue, is_open(), ~is_in_hand())


def items(queue: str, span: Span | None, states: Collection[State] | None) -> sa.Select[Any]:
    """A queue's items in order."""
    query = sa.select(*ITEM).where(work.c.queue == queue, *is_within(span))
    if states is not None:
        query = query.where(work.c.state.in_(sorted(states)))
        query = query.where(is_unsettled()) if UNSETTLED.issuperset(states) else query
    return query.order_by(*ORDER)


def versions(queue: str, name: str) -> sa.Select[Any]:
    """The versions of a name that is bound for nowhere."""
    named = (work.c.queue == queue, work.c.destination == "", work.c.name == name)
    return sa.select(*ITEM).where(*named).order_by(work.c.id)


def standings(queue: str, span: Span | None, destination: str | None, *, unsettled: bool) -> sa.Select[Any]:
    """Counts by state and reason, as rows of a ``Standing``."""
    which = [work.c.queue == queue, *is_within(span)]
    which += [] if destination is None else [work.c.destination == destination]
    which += [is_unsettled()] if unsettled else []
    kind = (work.c.state, work.c.reason)
    counts = (sa.func.count(), sa.func.sum(work.c.size), sa.func.min(work.c.seen_at))
    return sa.select(*kind, *counts).where(*which).group_by(*kind).order_by(work.c.state, work.c.reason.nulls_first())


def named(text: str, limit: int) -> sa.Select[Any]:
    """The last items whose name holds a text, as rows of id and parent."""
    query = sa.select(work.c.id, work.c.parent).where(work.c.name.icontains(text, autoescape=True))
    return query.order_by(work.c.id.desc()).limit(limit)


VERSIONS_OF = sa.select(*ITEM).where(
    work.c.queue == sa.bindparam("queue"),
    work.c.destination == sa.bindparam("destination"),
    work.c.name.in_(sa.bindparam("names", expanding=True)),
)
"""All versions of some names; made once, since it is asked for every few rows."""


def versions_anywhere(queue: str, names: Collection[str]) -> sa.Select[Any]:
    """All versions of some names, wherever they are bound for."""
    bound = work.c.destination.in_(_destinations(queue))
    return sa.select(*ITEM).where(work.c.queue == queue, bound, work.c.name.in_(sorted(names)))


def placed(queue: str, places: Collection[str]) -> sa.Select[Any]:
    """The newest versions of what was last seen at some places."""
    there = (place().is_not(None), place().in_(sorted(places)))
    return sa.select(*ITEM).where(work.c.queue == queue, *there, work.c.newest)


def alike(queue: str, versions: Collection[str]) -> sa.Select[Any]:
    """What has one of some versions, of what keeps a place."""
    return sa.select(*ITEM).where(work.c.queue == queue, place().is_not(None), work.c.version.in_(sorted(versions)))


def families(roots: Collection[int]) -> sa.Select[Any]:
    """These items and what was released from them."""
    return sa.select(*ITEM).where(sa.or_(work.c.id.in_(roots), work.c.parent.in_(roots))).order_by(work.c.id)
