"""The one planner: what is due, as few runs as can be.

Sensors, schedules and the command without a daemon all ask it. It sees only what the ledger says is due and which
queues can't run now: one has a live run, another is paused, a third waits for its outside system to come back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipelines.core.work import Backlog


@dataclass(frozen=True, slots=True)
class Request:
    """One run over all that is due in a queue; its partitions lie from ``first`` to ``last``, both included."""

    queue: str
    first: str
    last: str
    items: int


def plan(backlogs: Iterable[Backlog], held: Collection[str] = ()) -> list[Request]:
    """One request for each queue that has due work and is not held, in the order of their names.

    A run takes the work that has waited longest first, whatever its partition, so a file put into last month's folder
    is not starved by what arrives each minute.
    """
    due: dict[str, list[Backlog]] = {}
    for backlog in backlogs:
        if backlog.queue not in held and backlog.items:
            due.setdefault(backlog.queue, []).append(backlog)
    return [
        Request(
            queue,
            min(one.partition for one in group),
            max(one.partition for one in group),
            sum(one.items for one in group),
        )
        for queue, group in sorted(due.items())
    ]
