"""Uploads found by listing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from time import monotonic

from pipelines.adapters.objects import ObjectInfo, Objects
from pipelines.adapters.uploads.contract import BATCH, Batch, Marks, Upload, is_finished, nothing
from pipelines.core.rhythms import Cadence, Listing, Mark, Rhythm, due_listings


class ListedUploads:
    """Uploads found by listing in three rhythms.

    An object that is still changing is passed over, for the next listing of its folder to find.
    """

    def __init__(self, objects: Objects, marks: Marks, cadence: Cadence, quiet: timedelta) -> None:
        self._objects = objects
        self._marks = marks
        self._cadence = cadence
        self._quiet = quiet

    def folder(self, folder: str, now: datetime) -> Iterator[tuple[Upload, ...]]:
        """See ``Uploads``."""
        pages = self._pages(Listing(Rhythm.RECENT, (folder,), None, now), now, monotonic())
        return (uploads for _, uploads in pages if uploads)

    def batches(self, prefix: str, now: datetime, also: Collection[str] = ()) -> Iterator[Batch]:
        """See ``Uploads``."""
        marks = {rhythm: self._marks.mark(_mark_name(rhythm, prefix)) or Mark() for rhythm in Rhythm}
        started = monotonic()
        for listing in due_listings(prefix, now, marks, self._cadence):
            pages = self._pages(listing, now, started)
            if listing.rhythm is Rhythm.RECENT:  # listed at every tick, so there is nothing to remember
                yield from (Batch(uploads, nothing) for _, uploads in pages if uploads)
                continue
            name = _mark_name(listing.rhythm, prefix)
            for position, uploads in pages:
                yield Batch(uploads, partial(self._marks.set_mark, name, Mark(listing.began, position)))
            yield Batch((), partial(self._marks.set_mark, name, Mark(listing.began)))

    def _pages(self, listing: Listing, now: datetime, started: float) -> Iterator[tuple[str, tuple[Upload, ...]]]:
        """The uploads among each next thousand keys, with the last of those keys.

        Listing takes time: a file written since it began must not seem to lie far ahead of ``now`` and be whole.
        """
        found = chain.from_iterable(self._objects.list(folder, after=listing.after) for folder in listing.prefixes)
        while page := tuple(islice(found, BATCH)):
            present = now + timedelta(seconds=monotonic() - started)
            yield page[-1].key, tuple(Upload.of(info) for info in page if _is_whole(info, present, self._quiet))


def _is_whole(info: ObjectInfo, now: datetime, quiet: timedelta) -> bool:
    """Whether a name is no writer's temporary one and its object stopped changing.

    The time since the change counts without its sign: a clock that is ahead must not hide a file until ours gets there.
    """
    return is_finished(info.key) and abs(now - info.modified) >= quiet


def _mark_name(rhythm: Rhythm, prefix: str) -> str:
    return f"uploads/{rhythm}/{prefix}"
