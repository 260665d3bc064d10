"""Dead letters sent again, because a person says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Reason, State
from pipelines.domains.aae.exports import Export


@dataclass(slots=True)
class Replayed:
    """Dead letters that are, or would be, sent again: objects, bytes, and objects by the reason they died of."""

    objects: int = 0
    bytes: int = 0
    reopened: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


def replay(
    export: Export,
    ledger: Ledger,
    reasons: Collection[str],
    since: datetime | None,
    until: datetime | None,
    now: datetime,
    *,
    dry_run: bool,
) -> Replayed:
    """Make dead letters due again: of these reasons (none named: of any), that died from ``since`` until ``until``."""
    replayed, ids = Replayed(), list[int]()
    for item in ledger.items(export.queue, states=[State.DEAD]):
        in_time = (since is None or item.changed_at >= since) and (until is None or item.changed_at < until)
        if in_time and (not reasons or item.reason in reasons):
            replayed.objects += 1
            replayed.bytes += item.size
            replayed.reasons[item.reason or ""] += 1
            ids.append(item.id)
    if not dry_run:  # of those that a colleague's replay has delivered meanwhile none is sent again
        replayed.reopened = ledger.reopen(ids, now, Reason.REPLAYED, states=[State.DEAD])
    return replayed
