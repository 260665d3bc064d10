"""Locks of what has no row yet: where many processes write at once, a name is recorded by one of them at a time.

SQLite needs none of them, since it has one writer at a time; there each of these does nothing. All are let go when the
transaction ends. They are taken before the rows that they are about, from the wide ones to the narrow ones.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable

import sqlalchemy as sa

Name = tuple[str, str, str]
"""A queue, a destination and a name."""

_MANY = 100
"""So many names of one queue are locked one by one; of more the queue is: the server's room for locks is limited."""

_RECORDING = ("recording",)


def lock_names(connection: sa.Connection, names: Iterable[Name]) -> None:
    """Nobody else records a version of any of these until the transaction ends."""
    by_queue: dict[tuple[str, str], set[Name]] = defaultdict(set)
    for name in names:
        by_queue[name[:2]].add(name)
    few = [queue for queue, those in by_queue.items() if len(those) <= _MANY]
    many = [queue for queue in by_queue if queue not in few]
    if by_queue:
        _lock(connection, [_RECORDING, *(("queue", *queue) for queue in few)], shared=True)
        _lock(connection, [("queue", *queue) for queue in many])
        _lock(connection, [("name", *name) for queue in few for name in by_queue[queue]])


def lock_recording(connection: sa.Connection) -> None:
    """Nobody else records anything until the transaction ends."""
    _lock(connection, [_RECORDING])


def lock_claims(connection: sa.Connection, queue: str, *, shared: bool) -> None:
    """Claims of a queue share this lock; whoever has it alone knows that none is under way."""
    _lock(connection, [("claims", queue)], shared=shared)


def lock_migration(connection: sa.Connection) -> None:
    """Nobody else makes or changes the tables until the transaction ends."""
    _lock(connection, [("migration",)])


def _lock(connection: sa.Connection, what: Collection[tuple[str, ...]], *, shared: bool = False) -> None:
    if not what or connection.dialect.name != "postgresql":
        return
    take = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    # Sorted, so that two who want the same ones wait in one order.
    keys = sorted({_key(one) for one in what})
    connection.execute(sa.text(f"SELECT {take}(key) FROM unnest(CAST(:keys AS bigint[])) AS key"), {"keys": keys})  # noqa: S608 (one of two constants)


def _key(words: tuple[str, ...]) -> int:
    """Of the numbers that all users of a database share; two things with one number would only wait for each other."""
    text = "\0".join(map(str, ("pipelines ledger", *words))).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), signed=True)
