"""Whether the ledger was lost: then nothing may be taken in, since all that is still there would be sent again.

A ledger that receipts are written from says so in itself, before the first of them is there. One that does not, while
the lake has receipts, has never seen what they tell of; one that is being restored says that, until it is whole.
"""

from __future__ import annotations

from datetime import datetime

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.objects import Objects
from pipelines.core.receipts import RECEIPTS
from pipelines.core.rhythms import Mark

_RECEIPTS = (RECEIPTS, "residents/receipts")
"""The folders of the lake that tell of what left."""

_OUTPUTS = ("mobile/packages", "mobile/events", "residents")
"""The folders of the lake that tell of what may have left before the first receipts were written."""

_MARK = "receipts"
_BEGUN = "restoring"


class LedgerLost(Exception):  # noqa: N818 (it says what is the case)
    """The lake tells of work that the ledger has never seen."""


def is_lost(ledger: Ledger, lake: Objects) -> bool:
    """Whether the lake tells of deliveries that the ledger does not know, or may not know to the end."""
    mark = ledger.mark(_MARK)
    if mark is not None:
        return mark.position == _BEGUN
    if any(_holds(lake, folder) for folder in _RECEIPTS):
        return True
    return not ledger.queues() and any(_holds(lake, folder) for folder in _OUTPUTS)


def refuse_if_lost(ledger: Ledger, lake: Objects) -> None:
    """Let nothing begin with a ledger that was lost.

    Raises:
        LedgerLost: it was.
    """
    if is_lost(ledger, lake):
        raise LedgerLost("the ledger is lost: run `pipelines ledger restore`, else all would be sent again")


def begin_restoring(ledger: Ledger, now: datetime) -> None:
    """From now on the ledger is lost, whatever it holds, until it is whole."""
    ledger.set_mark(_MARK, Mark(now, _BEGUN))


def make_whole(ledger: Ledger, now: datetime) -> None:
    """The ledger knows all that the receipts tell of, and whatever they will."""
    ledger.set_mark(_MARK, Mark(now))


def _holds(lake: Objects, folder: str) -> bool:
    return next(iter(lake.list(f"{folder}/")), None) is not None
