"""Uploads: which objects have landed, as far as can be told now.

Here: finding them, whole ones only. Not here: which of them are new, which the ledger knows, and what they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from time import monotonic
from typing import Protocol

from pipelines.adapters.objects import ObjectInfo, Objects
from pipelines.core.rhythms import Cadence, Listing, Mark, Rhythm, due_listings

BATCH = 1000
QUIET = timedelta(seconds=3)
CADENCE = Cadence()

_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", "._copying_", "~")


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of a landed object; size in bytes, time of change in UTC."""

    key: str
    etag: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Some uploads, none at times, and what to call once the ledger has them."""

    uploads: tuple[Upload, ...]
    done: Callable[[], None]


class Marks(Protocol):
    """Where the marks of listings are kept, by name."""

    def mark(self, name: str) -> Mark | None:
        """The mark, if there is one."""

    def set_mark(self, name: str, mark: Mark) -> None:
        """Keeps the mark in the place of the one before."""


class Uploads(Protocol):
    """A way to learn of uploads. It may tell of one many times."""

    def batches(self, prefix: str, now: datetime) -> Iterator[Batch]:
        """The uploads under a feed's prefix (no slash at its end), at most 1,000 at a time.

        Take a batch in and call its ``done`` before asking for the next one. To stop early loses nothing: the next
        call goes on from the last ``done``.

        Raises:
            ObjectsUnavailable: a listing failed; what is not done stays to be done.
        """

    def folder(self, folder: str, now: datetime) -> Iterator[tuple[Upload, ...]]:
        """The uploads in one folder (a slash at its end), at most 1,000 at a time; nothing is remembered of it."""


def open_uploads(
    url: str, objects: Objects, marks: Marks, *, cadence: Cadence = CADENCE, quiet: timedelta = QUIET
) -> Uploads:
    """The way that a URL names: ``list://``, which looks into ``objects``.

    Args:
        url: ``list://``.
        objects: where uploads land.
        marks: keeps how far each listing came.
        cadence: how much is listed, and how often.
        quiet: how long an object must be unchanged to count as whole; zero where objects appear whole.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _FORMS:
        raise ValueError(f"uploads: unknown scheme; known are {', '.join(f'{known}://' for known in _FORMS)}")
    return _FORMS[scheme](objects, marks, cadence, quiet)


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

    def batches(self, prefix: str, now: datetime) -> Iterator[Batch]:
        """See ``Uploads``."""
        marks = {rhythm: self._marks.mark(_mark_name(rhythm, prefix)) or Mark() for rhythm in Rhythm}
        started = monotonic()
        for listing in due_listings(prefix, now, marks, self._cadence):
            pages = self._pages(listing, now, started)
            if listing.rhythm is Rhythm.RECENT:  # listed at every tick, so there is nothing to remember
                yield from (Batch(uploads, _nothing) for _, uploads in pages if uploads)
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
            yield page[-1].key, tuple(_upload(info) for info in page if _is_whole(info, present, self._quiet))


def _is_whole(info: ObjectInfo, now: datetime, quiet: timedelta) -> bool:
    """Whether a name is no writer's temporary one and its object stopped changing.

    The time since the change counts without its sign: a clock that is ahead must not hide a file until ours gets there.
    """
    hidden = any(segment.startswith(".") for segment in info.key.split("/"))
    return not hidden and not info.key.lower().endswith(_UNFINISHED) and abs(now - info.modified) >= quiet


def _upload(info: ObjectInfo) -> Upload:
    return Upload(info.key, info.etag, info.size, info.modified)


def _mark_name(rhythm: Rhythm, prefix: str) -> str:
    return f"uploads/{rhythm}/{prefix}"


def _nothing() -> None:
    """What is left to do where no mark is kept."""


_FORMS: Mapping[str, Callable[[Objects, Marks, Cadence, timedelta], Uploads]] = {"list": ListedUploads}
