"""Uploads: which objects have landed, as far as can be told now.

Here: finding them, whole ones only. Not here: which of them are new, which the ledger knows, and what they hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads.contract import BATCH, Batch, Marks, Upload, Uploads, UploadsUnavailable
from pipelines.adapters.uploads.listed import ListedUploads
from pipelines.adapters.uploads.queued import QueuedUploads
from pipelines.adapters.uploads.sqs import SqsQueue
from pipelines.core.rhythms import Cadence

__all__ = [
    "BATCH",
    "Batch",
    "Polling",
    "Upload",
    "Uploads",
    "UploadsUnavailable",
    "open_uploads",
    "standing",
]

_SCHEMES = ("list", "sqs")

QUIET = timedelta(seconds=3)
CADENCE = Cadence()


@dataclass(frozen=True, slots=True)
class Polling:
    """How a queue is asked.

    Attributes:
        seconds: for how long, in one tick.
        hidden: how long nobody else gets what was received: longer than a tick, by whose end it is done with.
        wait: how long an empty queue is waited at, in seconds; without waiting, SQS does not look at all of a queue.
    """

    seconds: float = 10
    hidden: timedelta = timedelta(minutes=2)
    wait: int = 1


POLLING = Polling()


def open_uploads(
    url: str,
    objects: Objects,
    marks: Marks,
    *,
    cadence: Cadence = CADENCE,
    quiet: timedelta = QUIET,
    polling: Polling = POLLING,
) -> Uploads:
    """The way that a URL names: ``list://``, which looks into ``objects``, or a queue that tells of what lands there.

    Args:
        url: ``list://``, ``sqs://queue``, or ``sqs://account/queue`` for a queue of another account.
        objects: where uploads land.
        marks: keeps how far each listing came.
        cadence: how much is listed, and how often.
        quiet: how long a listed object must be unchanged to count as whole; zero where objects appear whole.
        polling: how a queue is asked.
    """
    listed = ListedUploads(objects, marks, cadence, quiet)
    if _scheme(url) == "list":
        return listed
    seldom = ListedUploads(objects, marks, replace(cadence, recent_hours=0), quiet)
    return QueuedUploads(SqsQueue(url, polling.hidden, polling.wait), objects, listed, seldom, polling.seconds)


def standing(url: str) -> str:
    """How a way to learn of uploads stands, in words; it raises whatever is wrong with it."""
    if _scheme(url) == "list":
        return "found by listing alone"
    return SqsQueue(url).standing()


def _scheme(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise ValueError(f"uploads: unknown scheme; known are {', '.join(f'{known}://' for known in _SCHEMES)}")
    return scheme
