"""Files with records that are processed again, found in landing by who restores a lost ledger: no listing finds them.

Here: that their records are counted there and not in the file that they came from. Not here: how they are made, how
they are filtered, and how it is told where their records came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from pipelines.adapters.ledger import Family, Ledger, Span
from pipelines.adapters.objects import ObjectChanged, ObjectInfo, ObjectMissing, Objects, exists
from pipelines.core.receipts import receipts_request
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.carried import AGAIN, ELSEWHERE, MOVED, CopyMissingError, carry_over, copies_of
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.line_numbers import LineNumbers
from pipelines.domains.mobile.origins import Origins
from pipelines.domains.mobile.rejected import count


@dataclass(frozen=True, slots=True)
class Copies:
    """Where copies are looked for, and what a ledger that is being restored knows by now."""

    feed: Feed
    landing: Objects
    lake: Objects
    ledger: Ledger
    now: datetime

    def of_hour(self, partition: str, infos: Sequence[ObjectInfo]) -> list[NewItem]:
        """The copies of an hour that are work, or were; the ledger is told of the files that their records are from.

        It is told first: a copy that the ledger knows, and no file names, would be counted and sent from both. That a
        copy is named, and not known yet, is what the next restoring finds after a crash.
        """
        known = list(self.ledger.items(self.feed.queue, Span(partition, partition)))
        names = {item.name for item in known}
        named = {key for item in known for key in copies_of(item.detail)}
        copies = {info.key: _copy(self.feed, info, partition) for info in infos}
        certain = {key for key, copy in copies.items() if key in names | named or self._is_made(copy)}
        settled = {item.name: item for item in known if item.state is State.SETTLED}
        done = {name for name, item in settled.items() if not item.detail["rejected"]}
        filtered = [info for info in infos if info.key in certain - done]
        origins = Origins(self.feed, self.landing, partition, settled, filtered)
        kept = list[ObjectInfo]()
        for info in sorted(infos, key=lambda info: info.modified, reverse=True):
            if info.key in certain or not origins.is_left_behind(info, newer=kept):
                kept.append(info)
        found = {info.key: copies[info.key] for info in kept}
        for info in (one for one in kept if one.key not in named):
            source = origins.of(info)
            if source in found and source not in names:
                detail = found[source].detail
                more = {ELSEWHERE: [*detail.get(ELSEWHERE, ()), info.key]}
                found[source] = replace(found[source], detail={**detail, **more})
            else:
                self._tell(source, found[info.key])
        return list(found.values())

    def _is_made(self, copy: NewItem) -> bool:
        """Whether a copy was filtered."""
        return exists(self.lake, feeds.output_key(copy)) or exists(self.landing, feeds.quarantine_key(copy))

    def _tell(self, source: str, copy: NewItem) -> None:
        """Records of this file are in this copy."""
        versions = self.ledger.versions(self.feed.queue, source)
        for item in (one for one in versions if one.state is State.SETTLED):
            changes = self._counted_elsewhere(item, [one for one in versions if one.id != item.id], copy.name)
            if self.ledger.amend(item, changes, [receipts_request(item, copy.name)], self.now):
                return
        # Its next version, which is all that is known of it then, is compared with what this one names.
        told = replace(copy, name=source, version=copy.name, size=0, state=State.SUPERSEDED)
        self.ledger.restore([Family(replace(told, detail={ELSEWHERE: [copy.name]}))], self.now)

    def _counted_elsewhere(self, item: Item, others: Sequence[Item], key: str) -> Mapping[str, Any]:
        """What changes in a settled file's facts: all as when its records were moved, where that can still be told."""
        told = {ELSEWHERE: [*item.detail.get(ELSEWHERE, ()), key]}
        try:
            found = carry_over(self.feed, self.landing, replace(item, detail={**item.detail, **told}), others).detail
        except (CopyMissingError, ObjectMissing, ObjectChanged):
            return told
        moved, before = (LineNumbers.read(one.get(MOVED, ())) for one in (found, item.detail))
        left = count(self.landing, replace(item, detail=found))
        if left.total() + len(moved) - len(before) != sum(item.detail["rejected"].values()):
            return told
        facts = {"rejected": dict(sorted(left.items())), "read": item.detail["written"] + left.total()}
        return {MOVED: found[MOVED], AGAIN: found[AGAIN], ELSEWHERE: [], **facts}


def _copy(feed: Feed, info: ObjectInfo, partition: str) -> NewItem:
    detail = {"etag": info.etag, "landed_at": info.modified.isoformat()}
    return NewItem(
        feed.queue, info.key, f"{info.etag} {info.size}", partition, info.size, cause="restored", detail=detail
    )
