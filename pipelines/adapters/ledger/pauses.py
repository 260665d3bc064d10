"""Pauses of queues: put and lifted by a person, and the gate of every claim."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from pipelines.adapters.ledger.locks import lock_claims
from pipelines.adapters.ledger.rows import insert
from pipelines.adapters.ledger.schema import pauses
from pipelines.core.work import Pause


def in_force(queue: str, now: datetime) -> sa.Select[Any]:
    """The pause of a queue that has not ended. When it began does not matter: clocks of machines differ."""
    return sa.select(pauses).where(pauses.c.queue == queue, pauses.c.until > now)


def put(connection: sa.Connection, pause: Pause) -> None:
    """Put a pause in the place of an earlier one; once it is there, no claim that did not see it is under way."""
    lock_claims(connection, pause.queue, shared=False)
    statement = insert(connection.dialect.name, pauses).values(asdict(pause))
    connection.execute(statement.on_conflict_do_update(index_elements=["queue"], set_=asdict(pause)))


def lift(connection: sa.Connection, queue: str) -> None:
    """Lift a queue's pause, if it has one."""
    connection.execute(sa.delete(pauses).where(pauses.c.queue == queue))
