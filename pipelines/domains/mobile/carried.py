"""What a new version of a landed file takes over from the others under its name.

Records that were moved out of another version into a file of their own are counted and exported from there: where this
version holds them too, byte for byte, they are passed over. And a mapping that a person chose for what had left is not
forgotten because the file was rewritten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects
from pipelines.core.work import Item
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.line_numbers import Collected, LineNumbers
from pipelines.domains.mobile.records import digests

MOVED = "moved"
"""In an item's detail: the lines whose records are in files of their own now, since they were processed again."""

AGAIN = "again"
"""In an item's detail: the keys of the files that its rejected records were moved to, whose lines ``MOVED`` has."""

ELSEWHERE = "elsewhere"
"""The same of files that are known to hold records of it, while nobody knows yet on which of its lines these are."""

REMAP = "remap"
"""In an item's detail: the sha256 of the mapping that it is to be made with although its output has left."""

REMAPPED = "remapped"
"""In an item's detail: the mapping that it was made with anew although its output had left."""

CHOSEN_AT = "chosen_at"
"""In an item's detail: when a person chose that mapping, in UTC as ISO 8601 has it."""


class CopyMissingError(Exception):
    """A file with records of another version is gone or altered: nobody can tell which records have left."""


def is_fresh(detail: Mapping[str, Any]) -> bool:
    """Whether a file was not filtered since it landed: facts don't keep when that was.

    It may have been filtered before, if it was put back in the place of another version.
    """
    return "landed_at" in detail


def copies_of(detail: Mapping[str, Any]) -> list[str]:
    """The keys of all files that are known to hold records of a file."""
    return [*detail.get(ELSEWHERE, ()), *detail.get(AGAIN, ())]


def carry_over(feed: Feed, landing: Objects, item: Item, others: Sequence[Item]) -> Item:
    """The item with what the other versions of its name say about it in its detail.

    Memory grows with the number of records that were moved, by some bytes for each.

    Raises:
        CopyMissingError: see there.
        ObjectMissing: the item's own file is gone.
        ObjectChanged: it is another version now.
    """
    detail = {**_with_choice(item.detail, [one.detail for one in reversed(others)])}
    accounted = detail.get(AGAIN, ())
    copies = dict.fromkeys(key for one in (item, *others) for key in copies_of(one.detail))
    unaccounted = [key for key in copies if key not in accounted]
    if unaccounted:
        moved = LineNumbers.read(detail.get(MOVED, ()))
        detail[MOVED] = (moved | _find(feed, landing, item, moved, _moved_records(feed, landing, unaccounted))).stored
        detail[AGAIN] = [*accounted, *unaccounted]
        detail.pop(ELSEWHERE, None)
    return replace(item, detail=detail)


def _with_choice(own: Mapping[str, Any], others: Collection[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The detail with the mapping that a person chose last, whichever version was the newest then.

    Of one that was filtered since it landed no other version can know more: the times are not asked, which are those
    of a clock that may jump.
    """
    if not is_fresh(own):
        return own
    chosen = [detail for detail in (own, *others) if REMAP in detail or REMAPPED in detail]
    last = max(chosen, key=lambda detail: str(detail.get(CHOSEN_AT, "")), default=own)
    if last is own:
        return own
    rest = {name: value for name, value in own.items() if name not in (REMAP, CHOSEN_AT)}
    at = {CHOSEN_AT: last[CHOSEN_AT]} if CHOSEN_AT in last else {}
    return {**rest, REMAPPED: last.get(REMAP) or last[REMAPPED], **at}


def _moved_records(feed: Feed, landing: Objects, keys: Collection[str]) -> Counter[bytes]:
    """The digests of all records in these files, each as often as it stands there."""
    records = Counter[bytes]()
    for key in keys:
        try:
            records.update(digest for _, digest in digests(feed, landing, key))
        except (ObjectMissing, ObjectChanged):
            raise CopyMissingError(key) from None
    return records


def _find(feed: Feed, landing: Objects, item: Item, moved: LineNumbers, wanted: Counter[bytes]) -> LineNumbers:
    """The lines of a file, without those that were moved, that hold one of these records each."""
    found = Collected()
    for number, digest in digests(feed, landing, item.name, item.detail["etag"]):
        if number not in moved and wanted[digest] > 0:
            wanted[digest] -= 1
            found.add(number)
    return found.numbers
