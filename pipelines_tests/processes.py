"""Processes of their own, to be frozen and killed, forked from one that has all modules loaded: they cost little.

They share nothing with this one, as the runs of different machines do not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

_WARM = "pipelines_tests.crashes.warm"

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["pytest", _WARM])

_OVER_WITHIN = 100.0


@dataclass(frozen=True)
class Child:
    """What is done in a process of its own."""

    process: BaseProcess

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.join()

    def freeze(self) -> None:
        """Let it do nothing until it is told to go on."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """As if nothing had been."""
        self._send(signal.SIGCONT)

    def wait(self) -> None:
        """Until it is over, and well."""
        self.process.join(_OVER_WITHIN)
        assert self.process.exitcode == 0

    def _send(self, what: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, what)


def child_process(act: Callable[..., None], *told: object) -> BaseProcess:
    """What does something in a process of its own, once it is started, with the environment that is here now."""
    return processes.Process(target=_act, args=(dict(os.environ), act, *told))


def _act(environment: dict[str, str], act: Callable[..., None], *told: object) -> None:
    assert _WARM in sys.modules, "its import failed, which multiprocessing does not tell: import it to see why"
    os.environ.clear()  # they are those of whoever started the first of these processes
    os.environ.update(environment)
    act(*told)


@contextmanager
def elsewhere(act: Callable[..., None], *told: object) -> Iterator[Child]:
    """Something that begins in a process of its own; killed at the end if need be."""
    child = Child(child_process(act, *told))
    child.process.start()
    try:
        yield child
    finally:
        child.kill()
