"""Effects that are had again, because a person says so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import OVER, Item, Reason, State
from pipelines.domains.residents.entries import REFUSALS, effects_queue, sheets_queue
from pipelines.domains.residents.feeds.contract import Feed


class What(StrEnum):
    """Which effects of a sheet."""

    GIVEN_UP = "given up"
    """What was tried often enough."""
    REFUSED = "refused"
    UNKNOWN = "unknown"
    """What may have happened; what has no key might now happen twice."""
    EVERYTHING = "everything"
    """All of it: the API finds what it has by its keys, and notes that are there are not added again."""


@dataclass(slots=True)
class Resent:
    """Sheets and effects that are, or would be, taken up again, effects by why they were over."""

    sheets: int = 0
    effects: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def resend(feed: Feed, ledger: Ledger, sheet: str, what: What, now: datetime, *, dry_run: bool) -> Resent:
    """Make a sheet due again with some of its effects; without any it is read again, and sends what is not sent.

    Raises:
        LookupError: no such sheet is over.
    """
    versions = ledger.named(sheets_queue(feed), None, [sheet])
    if not any(item.state in OVER for item in versions):
        raise LookupError("no sheet of this id is settled or given up")
    ids = {item.id for item in versions}
    effects = [
        item for item in ledger.items(effects_queue(feed), states=OVER) if item.parent in ids and _is_wanted(item, what)
    ]
    resent = Resent(1, len(effects), Counter(item.reason or "settled" for item in effects))
    if not dry_run:
        wanted = {item.id for item in effects}
        ledger.reopen(sorted(wanted), now, Reason.REPLAYED)
        ledger.reopen(sorted(ids), now, Reason.REPLAYED)  # takes the newest of the versions, and withdraws its effects
        # The others likewise: the sheet asks for what is in it, and what is not waits for nobody.
        waiting = [item for item in ledger.items(effects_queue(feed), states=[State.PENDING]) if item.id in wanted]
        for item in waiting:
            ledger.withhold(item.queue, item.partition, item.name, now)
    return resent


def _is_wanted(item: Item, what: What) -> bool:
    if what is What.EVERYTHING or item.state is State.SETTLED:
        return what is What.EVERYTHING
    if item.reason in REFUSALS:
        return what is What.REFUSED
    return what is (What.UNKNOWN if item.uncertain else What.GIVEN_UP)
