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


class Leases:
    """The items that a run holds, renewed every third of the lease until they are dropped.

    A lease is counted from before its renewal was asked for and by a clock that never jumps, so ``holds`` errs only
    on the safe side.
    """

    def __init__(self, ledger: Ledger, lease: timedelta, now: Callable[[], datetime] = utc_now) -> None:
        self._ledger, self._lease, self._now = ledger, lease, now
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
        """Keep these alive; ``claimed_at`` is ``time.monotonic()`` from before they were claimed."""
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
        return time.monotonic() + seconds < since + self._lease.total_seconds()

    def _keep(self) -> None:
        while not self._stop.wait(self._lease.total_seconds() / 3):
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
        asked_at = time.monotonic()
        alive = self._ledger.renew(items, self._now(), self._lease)
        with self._lock:
            for item in items:
                held = self._held.get(item.id)
                if held is None or held[0].fence != item.fence:
                    continue  # dropped while it was asked for, and perhaps claimed once more
                if item.id in alive:
                    self._held[item.id] = (item, asked_at)
                else:
                    del self._held[item.id]
