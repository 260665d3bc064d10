"""Servers that are programs of their own, on this machine alone, gone when whoever started them is gone."""

from __future__ import annotations

import errno
import secrets
import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

HOST = "127.0.0.1"
_STARTED_WITHIN = 60.0


class NotStarted(Exception):  # noqa: N818 (it says what is the case)
    """The program ended, or did not answer in time."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, all different, and that the system gives to no connection before they are listened on."""
    found = list[int]()
    while len(found) < count:
        # Linux takes those from 32,768 on for whoever connects; to 10,080 no browser goes.
        port = secrets.choice(range(10_100, 32_768))
        with closing(socket.socket()) as one:
            if port not in found and _is_bound(one, port):
                found.append(port)
    return found


def _is_bound(one: socket.socket, port: int) -> bool:
    try:
        one.bind((HOST, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def free_port() -> int:
    """Such a port."""
    return free_ports(1)[0]


def installed(program: str) -> str:
    """Where a wheel has put it."""
    return str(Path(sysconfig.get_path("scripts")) / program)


@contextmanager
def running(
    command: Callable[[], tuple[Sequence[str], Callable[[], bool]]], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program until the end, when it is killed.

    Args:
        command: makes the words of the command, and what tells whether it answers; asked again if the program ends,
            since somebody else may have taken a port that was free.
        log: takes what the program says.
    """
    for _ in range(3):
        words, answers = command()
        with log.open("ab") as said:
            process = subprocess.Popen([*_tied_to_us(), *words], stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        try:
            if _wait(process, answers):
                yield process
                return
        finally:
            process.kill()
            process.wait()
    raise NotStarted(log.read_text(errors="replace")[-2000:])


def _tied_to_us() -> list[str]:
    """The program dies with us, however we die."""
    program = shutil.which("setpriv")
    return [program, "--pdeathsig", "KILL", "--"] if program else []


def _wait(process: subprocess.Popen[bytes], answers: Callable[[], bool]) -> bool:
    end = time.monotonic() + _STARTED_WITHIN
    while time.monotonic() < end and process.poll() is None:
        if answers():
            return True
        time.sleep(0.05)
    return False
