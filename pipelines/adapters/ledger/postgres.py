"""The ledger's transactions on PostgreSQL: many writers at once, and a server that may go away in between.

A transaction is done anew from its beginning where the database took it back: its server was restarted, or two of them
waited for each other. Where the connection is lost during a commit, its number tells whether it was made.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, PGconn, Ping
from pydantic import SecretStr

from pipelines.adapters.ledger import LedgerUnavailable, changes
from pipelines.adapters.ledger.connection import migrate
from pipelines.adapters.ledger.transactions import Work
from pipelines.core.retry import RetryPolicy

PATIENCE = 30.0
"""Time for which a server that was there is waited for, in seconds: a restart, or a stand-by that takes over."""

T = TypeVar("T")

_PAUSES = RetryPolicy(start=0.05, factor=2, cap=2, jitter=1)
_LOST = ("08", "57P")
"""Beginnings of the codes that say that the server lets go of a connection, or takes none yet."""
_CROSSED = ("40001", "40P01")
"""Codes of transactions that could not be done side by side with others; the database takes back one of them."""

_CONNECT: Mapping[str, str | int] = {
    "application_name": "pipelines",
    "connect_timeout": 10,
    # A server whose machine is gone says nothing: without these a run would wait for it for hours.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
_SESSION = (
    # Whoever stops in the middle of a transaction must not keep all others waiting for ever.
    ("idle_in_transaction_session_timeout", "'30s'"),
    ("lock_timeout", "'60s'"),
    # What was recorded has to be there after a crash of the server, whatever its default is.
    ("synchronous_commit", "coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on')"),
)
_NUMBER = sa.text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
_NEAR = ("", "localhost", "127.0.0.1", "::1")


def open_postgres(
    url: str, password: SecretStr | None = None, patience: float = PATIENCE, *, waits: bool = False
) -> PostgresTransactor:
    """Connect to a database, and bring its tables up to the newest form.

    Args:
        url: of the database.
        password: of its user.
        patience: how long a server that went away is waited for, in seconds.
        waits: whether one that is not there now is waited for, too.

    Raises:
        ValueError: the URL holds a password.
        LedgerUnavailable: the server could not be reached, or does not let us in.
    """
    engine = _make_engine(url, password)
    try:
        _migrate(engine, patience if waits else 0)
    except BaseException:
        engine.dispose()
        raise
    return PostgresTransactor(engine, patience)


def _migrate(engine: sa.Engine, patience: float) -> None:
    """Bring the tables up to the newest form, once the server is there."""
    gives_up = time.monotonic() + patience
    tried, answered = 0, False
    while True:
        try:
            return migrate(engine)
        except sa.exc.OperationalError as error:
            tried += 1
            pause = _pause(tried)
            before, answered = answered, patience > 0 and _answers(engine)
            # A failure before and after which the server answered is what it has to say.
            says_no = before and answered and not _code(error).startswith(_LOST)
            if says_no or time.monotonic() + pause > gives_up:
                raise LedgerUnavailable(f"{_where(engine)}: {_said(error)}") from error
            time.sleep(pause)


def _answers(engine: sa.Engine) -> bool:
    """Whether a server is there that takes connections, be it not ours: it is asked without a user's name or password.

    What the driver says of a connection that failed is a sentence in the server's language; this is the same in all.
    """
    _, options = engine.dialect.create_connect_args(engine.url)
    known = {one.keyword.decode() for one in Conninfo.get_defaults()} - {"user", "password"}
    told = {name: str(value) for name, value in {**_CONNECT, **options}.items() if name in known}
    return PGconn.ping(make_conninfo("", **told).encode()) == Ping.OK


def _make_engine(url: str, password: SecretStr | None) -> sa.Engine:
    parts = sa.make_url(url).set(drivername="postgresql+psycopg")
    if parts.password is not None or {"password", "sslpassword"} & parts.query.keys():
        raise ValueError("a ledger's URL must hold no password: it stands beside it")
    options: dict[str, Any] = {name: value for name, value in _CONNECT.items() if name not in parts.query}
    defaults = {one.keyword: one.val for one in Conninfo.get_defaults()}
    host = str(parts.query.get("host", parts.host or ""))
    far = host not in _NEAR and not host.startswith("/")
    if far and "sslmode" not in parts.query and defaults[b"sslmode"] == b"prefer":
        options["sslmode"] = "require"  # the driver alone would do without encryption where the server has none
    if password is not None:
        options["password"] = password.get_secret_value()
    engine = sa.create_engine(
        parts,
        connect_args=options,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        settings = ", ".join(f"set_config('{name}', {value}, false)" for name, value in _SESSION)
        connection.execute(f"SELECT {settings}")
        connection.commit()

    return engine


@dataclass(slots=True)
class _Attempt:
    """How far an attempt at a transaction came; ``number`` is the database's own, once all but the commit is done."""

    connected: bool = False
    number: str | None = None
    made: Any = None


class PostgresTransactor:
    """See ``pipelines.adapters.ledger.transactions.Transactions``."""

    side_by_side = True

    def __init__(self, engine: sa.Engine, patience: float = PATIENCE) -> None:
        self.engine, self._patience = engine, patience
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")

    def write(self, work: Work[T], *, repeatable: bool = True) -> T:
        """Do this work in one transaction, and once: see above."""
        gives_up = time.monotonic() + (self._patience if repeatable else 0)
        tried = 0
        while True:
            attempt = _Attempt()
            try:
                return self._write(work, attempt)
            except sa.exc.DBAPIError as error:
                lost = _is_lost(error, attempt)
                if lost and attempt.number is not None and self._was_committed(attempt.number):
                    made: T = attempt.made
                    return made
                tried += 1
                self._wait(error, tried, gives_up, lost=lost)

    def read(self, query: sa.Select[Any], asked: Mapping[str, Any] | None = None) -> Sequence[sa.Row[Any]]:
        """The rows of a query."""
        gives_up = time.monotonic() + self._patience
        tried = 0
        while True:
            attempt = _Attempt()
            try:
                with self._reading.connect() as connection:
                    attempt.connected = True
                    return connection.execute(query, asked).all()
            except sa.exc.DBAPIError as error:
                tried += 1
                self._wait(error, tried, gives_up, lost=_is_lost(error, attempt))

    def _write(self, work: Work[T], attempt: _Attempt) -> T:
        with self.engine.connect() as connection:
            attempt.connected = True
            with connection.begin():
                with changes.collected(connection):
                    made = attempt.made = work(connection)
                attempt.number = connection.execute(_NUMBER).scalar()
        return made

    def _was_committed(self, number: str) -> bool:
        """Whether the transaction of this number was committed, though its connection was lost before that was said."""
        query = sa.select(sa.func.pg_xact_status(sa.text("CAST(:number AS xid8)").bindparams(number=number)))
        unknown = f"{_where(self.engine)} went away during a commit: whether it was made is not known"
        gives_up = time.monotonic() + self._patience
        try:
            while (status := self.read(query)[0][0]) == "in progress":  # its session did not notice yet
                if time.monotonic() > gives_up:
                    break
                time.sleep(0.1)
        except sa.exc.DBAPIError as error:  # another server took over, which never heard of that number
            raise LedgerUnavailable(unknown) from error
        if status in ("committed", "aborted"):
            return bool(status == "committed")
        raise LedgerUnavailable(unknown)

    def _wait(self, error: sa.exc.DBAPIError, tried: int, gives_up: float, *, lost: bool) -> None:
        """Wait before another attempt.

        Raises:
            LedgerUnavailable: the server has been away for too long.
            sa.exc.DBAPIError: the error, if it would only come again, or comes again and again.
        """
        if not lost and not _is_crossed(error):
            raise error
        pause = _pause(tried)
        if time.monotonic() + pause > gives_up:
            if lost:
                raise LedgerUnavailable(f"{_where(self.engine)} went away: {_said(error)}") from error
            raise error
        time.sleep(pause)


def _pause(tried: int) -> float:
    """How long to wait before the next attempt, in seconds."""
    return _PAUSES.pause(tried, random.random()).total_seconds()  # noqa: S311 (spreads those who wait, no secret)


def _is_lost(error: sa.exc.DBAPIError, attempt: _Attempt) -> bool:
    return error.connection_invalidated or not attempt.connected or _code(error).startswith(_LOST)


def _is_crossed(error: sa.exc.DBAPIError) -> bool:
    """Whether another transaction was in the way; two who claim two versions of one name are told so by an index."""
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    return _code(error) in _CROSSED or constraint == "work_in_hand"


def _code(error: sa.exc.DBAPIError) -> str:
    return getattr(error.orig, "sqlstate", None) or ""


def _said(error: sa.exc.DBAPIError) -> str:
    """What the driver says, on one line, without the statement."""
    return " ".join(str(error.orig).split())


def _where(engine: sa.Engine) -> str:
    url = engine.url
    return f"the ledger at {url.host}:{url.port or 5432}/{url.database}"
