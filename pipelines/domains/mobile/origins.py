"""Where records that are processed again are from, and whether their file was left behind before they were moved.

A store tells neither: here it is told from the records themselves, all of a file's, and from what else is known of the
landed file that they are from in the end, the source.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipelines.adapters.objects import ObjectChanged, ObjectInfo, ObjectMissing, Objects
from pipelines.core.work import Item
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.carried import AGAIN, MOVED
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.line_numbers import LineNumbers
from pipelines.domains.mobile.quarantine import DamagedQuarantine, read_rejects
from pipelines.domains.mobile.records import digest, digests
from pipelines.domains.mobile.rejected import is_as_counted
from pipelines.domains.mobile.reprocessing import FOLDER

Records = Counter[bytes]
"""Records by their digests, each as often as it is there."""


@dataclass(frozen=True)
class Origins:
    """What is known of an hour.

    Attributes:
        feed: whose hour it is.
        landing: the store of landed files and of the quarantine.
        partition: the hour.
        settled: the files that the ledger has as settled, by their keys.
        filtered: copies that were filtered, of whose records some may have been moved on.
    """

    feed: Feed
    landing: Objects
    partition: str
    settled: Mapping[str, Item]
    filtered: Sequence[ObjectInfo]
    _read: dict[str, Records] = field(default_factory=dict, init=False)
    _told: dict[str, str] = field(default_factory=dict, init=False)

    def of(self, copy: ObjectInfo) -> str:
        """The file that a copy was made from: the last copy before it that has all its records, else the source."""
        if copy.key not in self._told:
            self._told[copy.key] = self._origin(copy)
        return self._told[copy.key]

    def is_left_behind(self, copy: ObjectInfo, newer: Iterable[ObjectInfo]) -> bool:
        """Whether a copy, of which no ledger tells and nothing was made, comes from a run that moved nothing.

        Then its records are in quarantine still; or they were moved later, into another copy; or a newer version of the
        source took their place.
        """
        newer = list(newer)
        origin, records = self.of(copy), self._records(copy.key)
        elsewhere = self._elsewhere(origin, newer)
        if records <= elsewhere:
            source = _source(copy.key)
            if not self._were_there_twice(records, source, origin, newer):
                return True
            self._told[copy.key] = source
            return False
        item = self.settled.get(origin)
        if item is not None and is_as_counted(self.landing, item):  # nothing has left it that the ledger does not know
            return True
        unmoved = self._unmoved(origin, records)
        return unmoved is not None and unmoved <= elsewhere

    def _were_there_twice(self, records: Records, source: str, copy: str, newer: Sequence[ObjectInfo]) -> bool:
        """Whether the source held these records once more, beside those in a copy that it names, and lost them since.

        Its newer version may: then what was moved on from the copy is not what was moved from the source.
        """
        item = self.settled.get(source)
        if item is None or copy not in item.detail.get(AGAIN, ()) or is_as_counted(self.landing, item):
            return False
        unmoved = self._unmoved(source, records)
        return unmoved is not None and records <= unmoved - self._elsewhere(source, newer)

    def _elsewhere(self, origin: str, newer: Sequence[ObjectInfo]) -> Records:
        """The records that are in the quarantine of a file, or in newer copies of it."""
        found = self._quarantined(origin)
        for one in newer:
            if self.of(one) == origin:
                found.update(self._records(one.key))
        return found

    def _origin(self, copy: ObjectInfo) -> str:
        source, records = _source(copy.key), self._records(copy.key)
        for one in self._newest_first.get(source, ()):
            if one.modified < copy.modified and records <= self._records(one.key):
                return one.key
        return source

    @cached_property
    def _newest_first(self) -> Mapping[str, Sequence[ObjectInfo]]:
        """The copies that were filtered, by source."""
        found = defaultdict[str, list[ObjectInfo]](list)
        for one in sorted(self.filtered, key=lambda one: one.modified, reverse=True):
            found[_source(one.key)].append(one)
        return found

    def _records(self, key: str) -> Records:
        if key not in self._read:
            self._read[key] = Records(one for _, one in digests(self.feed, self.landing, key))
        return self._read[key]

    def _quarantined(self, key: str) -> Records:
        quarantine = feeds.quarantined_as(self.feed, self.partition, key)
        try:
            return Records(digest(self.feed, one.raw) for one in read_rejects(self.landing.stream(quarantine)))
        except (ObjectMissing, ObjectChanged, DamagedQuarantine):
            return Records()

    def _unmoved(self, key: str, wanted: Records) -> Records | None:
        """Those of these records that are in a file, and not moved as far as is known; None if the file is gone."""
        item = self.settled.get(key)
        moved = LineNumbers.read(item.detail.get(MOVED, ()) if item else ())
        there = digests(self.feed, self.landing, key)
        try:
            return Records(one for number, one in there if one in wanted and number not in moved)
        except (ObjectMissing, ObjectChanged):
            return None


def _source(key: str) -> str:
    """The landed file that the records of a copy are from in the end."""
    folder = key.removeprefix(f"{FOLDER}/").rpartition("/")[0]
    return f"{folder}/{feeds.landed_name(key)}"
