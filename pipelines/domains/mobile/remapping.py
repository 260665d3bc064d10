"""Old hours mapped anew: files whose output has left under an earlier mapping, made and released once more.

This is never done by itself. Whoever holds both releases can intersect them: a record that stood in one cell under the
first mapping and in another under the second one lies where the two overlap, which may be a handful of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import Objects, exists
from pipelines.core.work import Reason, State
from pipelines.domains.mobile.carried import CHOSEN_AT, REMAP
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.landed import may_have_left


@dataclass(slots=True)
class Remapped:
    """What would, or will, be mapped anew.

    Attributes:
        files: made with another mapping, and their landed bytes are there.
        records: in those files.
        delivered: of those files, have left or may have.
        without_raw: files made with another mapping whose landed bytes are gone.
        reopened: files that are due again; fewer than ``files`` if others worked on some meanwhile.
    """

    files: int = 0
    records: int = 0
    delivered: int = 0
    without_raw: int = 0
    reopened: int = 0

    @property
    def consequences(self) -> str:
        """What it means, in words."""
        return (
            f"{self.delivered} of {self.files} objects have left, or may have, under an earlier mapping. They are sent "
            "again under the same names, their bytes being others: whoever keeps both can intersect them, record by "
            "record, and may find groups of people smaller than any that one mapping allows. "
            f"{self.without_raw} files can't be mapped anew, since their landed bytes are gone or were rewritten."
        )


def remap(
    feed: Feed, landing: Objects, ledger: Ledger, span: Span, mapping: str, now: datetime, *, dry_run: bool
) -> Remapped:
    """Reopen the files of these hours that were made with another mapping than the one of this sha256."""
    found, ids = Remapped(), list[int]()
    left = {one.parent for one in ledger.items(feed.exports, span) if may_have_left(one)}
    for item in ledger.items(feed.queue, span, [State.SETTLED]):
        if item.detail["mapping"] == mapping or not item.detail["written"]:
            continue
        if not exists(landing, item.name, item.detail["etag"]):
            found.without_raw += 1
            continue
        found.files += 1
        found.records += item.detail["written"]
        found.delivered += item.id in left
        ids.append(item.id)
    if ids and not dry_run:
        found.reopened = ledger.reopen(ids, now, Reason.REMAPPED, {REMAP: mapping, CHOSEN_AT: now.isoformat()})
    return found
