"""Processes of their own, to be frozen and killed, forked from one that has all modules loaded: they cost little.

They share nothing with this one, as the runs of different machines do not.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["pytest", "pipelines_tests.crashes.warm"])

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


@contextmanager
def elsewhere(act: Callable[..., None], *told: object) -> Iterator[Child]:
    """Something that begins in a process of its own; killed at the end if need be."""
    child = Child(processes.Process(target=act, args=told))
    child.process.start()
    try:
        yield child
    finally:
        child.kill()
