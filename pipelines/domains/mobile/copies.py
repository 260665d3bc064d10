"""Files with records that are processed again, found in landing by who restores a lost ledger: no listing finds them.

Here: which of them were made by a run that ended before it moved anything, and that the others' records are counted
there and not in the file that they came from. Not here: how they are made, and how they are filtered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pipelines.adapters.ledger import Family, Ledger, Span
from pipelines.adapters.objects import ObjectChanged, ObjectInfo, ObjectMissing, Objects, exists
from pipelines.core.lines import BrokenStream, Line, gunzip, split_lines
from pipelines.core.receipts import receipts_request
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.carried import AGAIN, ELSEWHERE, MOVED, CopyMissingError, carry_over
from pipelines.domains.mobile.feeds import EVENTS, Feed
from pipelines.domains.mobile.line_numbers import LineNumbers
from pipelines.domains.mobile.quarantine import LONGEST_LINE, DamagedQuarantine, read_rejects


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
        moved = {key for item in known for key in item.detail.get(AGAIN, ())}
        told = {key for item in known for key in item.detail.get(ELSEWHERE, ())}
        names = {item.name for item in known}
        found, taken = dict[str, NewItem](), set[bytes]()
        for info in sorted(infos, key=lambda info: info.modified, reverse=True):  # once moved, none is copied
            copy = _copy(self.feed, info, partition)
            if info.key not in moved:
                record = self._first_record(info.key)
                is_known = info.key in told | names or self._is_made(copy)
                if not is_known and (record in taken or self._is_left_behind(known, copy)):
                    continue
                taken.add(record)
            found[info.key] = copy
        done = {item.name for item in known if item.state is State.SETTLED and not item.detail["rejected"]}
        older = [info for info in infos if info.key in found.keys() - done]
        for info in (one for one in infos if one.key in found.keys() - moved - told):
            source = self._source(info, older)
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

    def _is_left_behind(self, known: Collection[Item], copy: NewItem) -> bool:
        """Whether a copy, of which no ledger tells and nothing was made, comes from a run that moved nothing.

        Its records are in the quarantine still; or they were moved later, into another copy; or a newer version of the
        file that they came from took their place.
        """
        record = self._first_record(copy.name)
        stem = feeds.source_name(copy.name).partition(feeds.AGAIN_MARK)[0]
        for info in self.landing.list(f"{feeds.quarantine_key(copy).rpartition('/')[0]}/"):
            if feeds.source_name(info.key).startswith(stem) and self._is_quarantined(info.key, record):
                return True
        key = _landed_key(self.feed, copy.name)
        source = next((item.detail for item in known if item.name == key and item.state is State.SETTLED), {})
        try:
            line = next((number for number, one in self._records(key) if one == record), None)
        except (ObjectMissing, ObjectChanged, BrokenStream):
            return AGAIN in source
        return line is None or line in LineNumbers.read(source.get(MOVED, ()))

    def _source(self, info: ObjectInfo, older: Collection[ObjectInfo]) -> str:
        """The file that a copy's records are from: the last copy before it that holds them, else the landed file."""
        landed, record = _landed_key(self.feed, info.key), self._first_record(info.key)
        for one in sorted(older, key=lambda one: one.modified, reverse=True):
            is_before = one.modified < info.modified and _landed_key(self.feed, one.key) == landed
            if is_before and any(had == record for _, had in self._records(one.key)):
                return one.key
        return landed

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
        left = self._left(item, moved)
        if left is None or left.total() + len(moved) - len(before) != sum(item.detail["rejected"].values()):
            return told
        facts = {"rejected": dict(sorted(left.items())), "read": item.detail["written"] + left.total()}
        return {MOVED: found[MOVED], AGAIN: found[AGAIN], ELSEWHERE: [], **facts}

    def _left(self, item: Item, moved: LineNumbers) -> Counter[str] | None:
        """The records that are left in a file's quarantine, by reason, unless that is damaged."""
        try:
            rejects = read_rejects(self.landing.stream(feeds.quarantine_key(item)))
            return Counter(reject.reason for reject in rejects if reject.line not in moved)
        except ObjectMissing:
            return Counter()
        except (DamagedQuarantine, ObjectChanged):
            return None

    def _first_record(self, key: str) -> bytes:
        """The first record of a landed file, empty if it has none."""
        return next((record for _, record in self._records(key)), b"")

    def _records(self, key: str) -> Iterator[tuple[int, bytes]]:
        if self.feed is EVENTS:
            yield 1, self.landing.get(key)
            return
        chunks = self.landing.stream(key)
        for line in split_lines(gunzip(chunks) if key.endswith(".gz") else chunks, LONGEST_LINE):
            if isinstance(line, Line):
                yield line.number, line.data

    def _is_quarantined(self, key: str, record: bytes) -> bool:
        try:
            return any(reject.raw == record for reject in read_rejects(self.landing.stream(key)))
        except DamagedQuarantine:
            return False


def _landed_key(feed: Feed, key: str) -> str:
    """The landed file that a copy's first records came from, as far as its name was not cut for its length."""
    *_, year, month, day, hour, name = key.split("/")
    stem = name.partition(feeds.AGAIN_MARK)[0]
    return f"{feed.queue}/{year}/{month}/{day}/{hour}/{stem}{'.json' if feed is EVENTS else ''}"


def _copy(feed: Feed, info: ObjectInfo, partition: str) -> NewItem:
    detail = {"etag": info.etag, "landed_at": info.modified.isoformat()}
    return NewItem(
        feed.queue, info.key, f"{info.etag} {info.size}", partition, info.size, cause="restored", detail=detail
    )
