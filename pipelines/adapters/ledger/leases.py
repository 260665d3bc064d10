"""Leases that stay alive while the work on the items goes on, in a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Item

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def steady_seconds() -> float:
    """A clock that never jumps, and where the system has such a one, goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Leases:
    """The items that a run holds, renewed every third of the lease until they are dropped.

    A lease is counted from before its renewal was asked for, and by a clock that neither jumps nor stands still while
    the machine sleeps. Who takes a lease over goes by the wall clock: where that jumps ahead by a whole lease, two runs
    may hold one item until the next renewal.
    """

    def __init__(self, ledger: Ledger, lease: timedelta, now: Callable[[], datetime] = utc_now) -> None:
        self._ledger, self._now = ledger, now
        self.lease = lease
        self._held: dict[int, tuple[Item, float]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="leases", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def hold(self, items: Iterable[Item], claimed_at: float) -> None:
        """Keep these alive; ``claimed_at`` is ``steady_seconds()`` from before they were claimed."""
        with self._lock:
            self._held.update({item.id: (item, claimed_at) for item in items})

    def drop(self, ids: Iterable[int]) -> None:
        """Stop renewing these: they are settled or put back."""
        with self._lock:
            for one in ids:
                self._held.pop(one, None)

    def holds(self, item: Item, seconds: float) -> bool:
        """Whether the item is surely still ours for that long."""
        with self._lock:
            held, since = self._held.get(item.id, (None, 0.0))
        if held is None or held.fence != item.fence:  # lost in between and claimed once more: no longer this claim's
            return False
        return steady_seconds() + seconds < since + self.lease.total_seconds()

    def _keep(self) -> None:
        while not self._stop.wait(self.lease.total_seconds() / 3):
            try:
                self.renew()
            except Exception:
                # A ledger that can't be reached now may be in a moment; until then ``holds`` turns false by itself.
                log.exception("leases could not be renewed")

    def renew(self) -> None:
        """Renew all that is held; what another run has taken over is let go."""
        with self._lock:
            items = [item for item, _ in self._held.values()]
        if not items:
            return
        asked_at = steady_seconds()
        alive = self._ledger.renew(items, self._now(), self.lease)
        with self._lock:
            for item in items:
                held = self._held.get(item.id)
                if held is None or held[0].fence != item.fence:
                    continue  # dropped while it was asked for, and perhaps claimed once more
                if item.id in alive:
                    self._held[item.id] = (item, asked_at)
                else:
                    del self._held[item.id]
