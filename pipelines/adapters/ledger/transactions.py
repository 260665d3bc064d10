"""How a ledger's statements reach its database: whole transactions, and readers that wait for no writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from pipelines.adapters.ledger import changes

T = TypeVar("T")
Work = Callable[[sa.Connection], T]


class Transactions(Protocol):
    """What every database gives the ledger."""

    engine: sa.Engine
    side_by_side: bool
    """Whether writers work at the same time, rather than one after another."""

    def write(self, work: Work[T], *, repeatable: bool = True) -> T:
        """Do this work in one transaction. It may be done anew from its beginning, unless it is not ``repeatable``."""

    def read(self, query: sa.Select[Any], asked: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        """The rows of a query with its parameters, read outside of any transaction: a reader waits for no writer."""


class SqliteTransactor:
    """Transactions that are done once: what fails, fails."""

    side_by_side = False

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def write(self, work: Work[T], *, repeatable: bool = True) -> T:
        """Do this work in one transaction."""
        with self.engine.begin() as connection, changes.collected(connection):
            return work(connection)

    def read(self, query: sa.Select[Any], asked: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        """The rows of a query."""
        with self._reading.connect() as connection:
            return connection.execute(query, asked).all()
