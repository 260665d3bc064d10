"""Whether the ledger was lost: then nothing may be taken in, since all that is still there would be sent again."""

from __future__ import annotations

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.objects import Objects

RECEIPTS = "aae/receipts"
"""The folder of the lake that tells of deliveries."""

RESTORE = "restore the ledger"
"""What the journal calls it."""


def is_lost(ledger: Ledger, lake: Objects) -> bool:
    """Whether the ledger is empty, or was not restored to the end, though the lake tells of deliveries."""
    if ledger.queues():
        return is_half_restored(ledger)
    return next(iter(lake.list(f"{RECEIPTS}/")), None) is not None


def is_half_restored(ledger: Ledger) -> bool:
    """Whether the last restoring ended without a word."""
    entry = next((entry for entry in ledger.journal() if entry.action == RESTORE), None)
    return entry is not None and entry.effect is None
