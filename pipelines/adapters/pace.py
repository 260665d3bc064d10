"""How fast an endpoint is called, over all threads and event loops of this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable

_CATCH_UP = 0.1  # seconds of calls that may be made up for after the loop was busy with something else


class Pace:
    """Turns in the order in which they are asked for: in any second at most a tenth and one more than ``rate``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()

    def reserve(self, rate: float) -> float:
        """Takes the next turn and gives the seconds until it comes; ``rate`` is in calls a second."""
        with self._lock:
            now = self._clock()
            turn = max(self._next, now - _CATCH_UP)
            self._next = turn + 1 / rate
        return max(0.0, turn - now)

    async def wait(self, rate: float) -> None:
        """Takes the next turn and waits until it comes."""
        await asyncio.sleep(self.reserve(rate))


_paces: defaultdict[str, Pace] = defaultdict(Pace)
_lock = threading.Lock()


def pace_of(destination: str) -> Pace:
    """The one pace of a destination in this process."""
    with _lock:
        return _paces[destination]
