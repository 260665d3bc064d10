"""Measuring a piece of work in a process of its own, so that no work pays for, or profits from, another's.

Here: processor time and memory. Not here: what is measured.
"""

import re
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeAlias, TypeVar

Work: TypeAlias = Callable[[], int]
"""What is timed; gives the number of packages that it read."""

Way: TypeAlias = Callable[[Path], Work]
"""One way of doing a job on a file or folder; what it needs beforehand it prepares untimed."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Measure:
    """What a piece of work took.

    Attributes:
        packages: read.
        cpu: seconds of processor time, of all threads, in user and in system mode.
        peak: most bytes of memory that the process ever had, the interpreter and its libraries included.
    """

    packages: int
    cpu: float
    peak: int

    @property
    def microseconds(self) -> float:
        """Processor time of one package."""
        return self.cpu / self.packages * 1e6


def measure(way: Way, source: Path, warm: Path) -> Measure:
    """Measure a way in a process of its own; ``warm`` is a small source, worked on first to import what is needed."""
    return run_apart(_measure_here, way, source, warm)


def run_apart(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a new process, which shares nothing with this one."""
    with ProcessPoolExecutor(1, get_context("spawn")) as child:
        return child.submit(function, *args, **kwargs).result()


def peak_memory() -> int:
    """The most bytes that this process ever had.

    What the system counts for it elsewhere begins with what the one had that started it, and may hide what it needs.
    """
    status = Path("/proc/self/status")
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.exists() else None
    return (int(peak[1]) if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) << 10


def _measure_here(way: Way, source: Path, warm: Path) -> Measure:
    way(warm)()
    work = way(source)
    begun = time.process_time()
    packages = work()
    cpu = time.process_time() - begun
    return Measure(packages, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)
