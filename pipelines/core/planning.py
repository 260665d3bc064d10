"""The one planner: what is due, as few runs as can be.

Sensors, schedules and the command without a daemon all ask it. It sees only what the ledger says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from pipelines.core.work import Backlog


@dataclass(frozen=True, slots=True)
class Request:
    """One run over all that is due in a queue; its partitions lie from ``first`` to ``last``, both included.

    ``oldest_due`` is ``None`` where nothing is due and some partitions are only to be recorded.
    """

    first: str
    last: str
    items: int
    oldest_due: datetime | None


def plan(due: Iterable[Backlog], unrecorded: Collection[str] = ()) -> Request | None:
    """The one run that a queue needs, or ``None``.

    The run takes the work that has waited longest first, whatever its partition, so a file put into last month's
    folder is not starved by what arrives each minute.

    Args:
        due: what is due in the queue.
        unrecorded: partitions that changed and are not recorded yet, since a run ended without a word.
    """
    waiting = [backlog for backlog in due if backlog.items]
    partitions = {*unrecorded, *(backlog.partition for backlog in waiting)}
    if not partitions:
        return None
    oldest = min((backlog.oldest_due for backlog in waiting), default=None)
    return Request(min(partitions), max(partitions), sum(backlog.items for backlog in waiting), oldest)
