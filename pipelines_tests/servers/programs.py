"""Servers that are programs of their own, on this machine alone, gone when whoever started them is gone."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

HOST = "127.0.0.1"
_STARTED_WITHIN = 60.0


class NotStarted(Exception):  # noqa: N818 (it says what is the case)
    """The program ended, or did not answer in time."""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as taken:
        sockets = [taken.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


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
