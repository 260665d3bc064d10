"""Everything on one machine: the sandbox, one code server, the UI and the daemon, started and stopped together."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from pipelines.environment import Environment, child_variables

PROJECT = Path(__file__).parent.parent
HOST = "127.0.0.1"
_STARTED_WITHIN = 120.0
_STOPPED_WITHIN = 15.0


class Stopped(Exception):  # noqa: N818 (not an error: somebody asked for it)
    """The platform was asked to stop."""


class NotStarted(Exception):  # noqa: N818 (it says what is the case)
    """A part of the platform did not come up."""


def prepare_dagster_home(environment: Environment) -> Path:
    """Dagster's home with the project's settings in it; a home of the user's own keeps its settings."""
    home = environment.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    if home.is_relative_to(environment.home) or not (home / "dagster.yaml").exists():
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    return home


def supervise(environment: Environment, say: Callable[[str], None]) -> int:
    """Run code server, UI and daemon until a signal comes or one of them ends; returns the exit status."""
    environment.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(environment.home / "running.lock", timeout=0):
            return _supervise(environment, say)
    except Timeout:
        say(f"The platform in {environment.home} runs already: stop it, or name another PIPELINES_HOME")
        return 1


def _supervise(environment: Environment, say: Callable[[str], None]) -> int:
    _stop_orphans(environment.home / "children")
    for name, port in (("PORT", environment.port), ("CODE_PORT", environment.code_port)):
        if _answers(port):
            say(f"Port {port} on {HOST} is taken: stop what listens there, or name another one with PIPELINES_{name}")
            return 1
    variables = child_variables(
        DAGSTER_HOME=str(prepare_dagster_home(environment)),
        PIPELINES_HOME=str(environment.home),
        PIPELINES_CODE_PORT=str(environment.code_port),
    )
    workspace = ["-w", str(PROJECT / "workspace.yaml")]
    code = ["-m", "dagster", "code-server", "start", "-h", HOST, "-p", str(environment.code_port)]
    try:
        with _stopping_on_signals(), _children(variables, environment.home / "logs") as start:
            say("Starting the code server")
            server = start("code-server", [*code, "-m", "pipelines.definitions"])
            _wait_until_it_answers(environment.code_port, server)
            say("Starting the UI and the daemon")
            ui = start("ui", ["-m", "dagster_webserver", "-h", HOST, "-p", str(environment.port), *workspace])
            daemon = start("daemon", ["-m", "dagster._daemon", "run", *workspace])
            _wait_until_it_answers(environment.port, ui)
            say(f"Ready: http://{HOST}:{environment.port}  (logs in {environment.home / 'logs'}; Ctrl-C stops it)")
            return _wait_for_an_end({"code server": server, "UI": ui, "daemon": daemon}, say)
    except Stopped:
        say("Stopped")
        return 0
    except NotStarted as error:
        say(f"{error}: see the logs in {environment.home / 'logs'}")
        return 1


Start = Callable[[str, Sequence[str]], "subprocess.Popen[bytes]"]


@contextmanager
def _children(variables: dict[str, str], logs: Path) -> Iterator[Start]:
    """Start Python processes that all end with the block, the last one first."""
    logs.mkdir(parents=True, exist_ok=True)
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        with (logs / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 (our own interpreter, arguments from above)
                [sys.executable, *arguments],
                cwd=PROJECT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(child)
        with (logs.parent / "children").open("a") as record:
            record.write(f"{child.pid}\n")
        return child

    try:
        yield start
    finally:
        for child in reversed(started):
            child.send_signal(signal.SIGINT)
        ends_at = time.monotonic() + _STOPPED_WITHIN
        for child in reversed(started):
            try:
                child.wait(max(0.1, ends_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        (logs.parent / "children").unlink(missing_ok=True)


def _stop_orphans(record: Path) -> None:
    """Stop what an earlier supervisor of this home left running when it was killed."""
    for line in record.read_text().split() if record.exists() else []:
        command = Path(f"/proc/{line}/cmdline")
        if command.exists() and b"dagster" in command.read_bytes():
            with suppress(ProcessLookupError):
                os.killpg(int(line), signal.SIGKILL)
            ends_at = time.monotonic() + _STOPPED_WITHIN
            while command.exists() and command.read_bytes() and time.monotonic() < ends_at:
                time.sleep(0.1)  # its port is free once it is gone
    record.unlink(missing_ok=True)


@contextmanager
def _stopping_on_signals() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)  # a second Ctrl-C must not leave children behind
        raise Stopped

    before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def _wait_until_it_answers(port: int, child: subprocess.Popen[bytes]) -> None:
    ends_at = time.monotonic() + _STARTED_WITHIN
    while not _answers(port):
        if child.poll() is not None or time.monotonic() > ends_at:
            raise NotStarted(f"nothing answers on port {port}")
        time.sleep(0.2)


def _wait_for_an_end(children: dict[str, subprocess.Popen[bytes]], say: Callable[[str], None]) -> int:
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                say(f"The {name} ended with status {child.returncode}: see the logs")
                return 1
        time.sleep(1)
