"""What every way to learn of uploads promises."""
# ruff: noqa: N818  # the exception here says what is the case, and reads as a sentence where it is caught

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pipelines.adapters.objects import ObjectInfo
from pipelines.core.rhythms import Mark

BATCH = 1000

_UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp", ".temp", "._copying_", "~")


class UploadsUnavailable(Exception):
    """The queue of notifications did not do what it was asked. What it holds stays there."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of a landed object; size in bytes, time of change in UTC."""

    key: str
    etag: str
    size: int
    modified: datetime

    @classmethod
    def of(cls, info: ObjectInfo) -> Upload:
        """The version that a store tells of."""
        return cls(info.key, info.etag, info.size, info.modified)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some uploads, none at times, and what to call once the ledger has them.

    ``unreadable`` counts the messages that came with them, could not be understood, and stay where they are;
    ``foreign`` the objects that were told of, but lie in the folder of no feed that was asked for.
    """

    uploads: tuple[Upload, ...]
    done: Callable[[], None]
    unreadable: int = 0
    foreign: int = 0


class Marks(Protocol):
    """Where the marks of listings are kept, by name."""

    def mark(self, name: str) -> Mark | None:
        """The mark, if there is one."""

    def set_mark(self, name: str, mark: Mark) -> None:
        """Keeps the mark in the place of the one before."""


class Uploads(Protocol):
    """A way to learn of uploads. It may tell of one many times."""

    def batches(self, prefix: str, now: datetime, also: Collection[str] = ()) -> Iterator[Batch]:
        """The uploads under a feed's prefix (no slash at its end), at most 1,000 at a time.

        Take a batch in and call its ``done`` before asking for the next one. To stop early loses nothing: the next
        call goes on from the last ``done``.

        Args:
            prefix: of the feed whose turn it is.
            now: the time of the tick.
            also: prefixes of other feeds that the caller takes in as well, if it happens to be told of their uploads.
                A queue tells of all feeds at once, and of each upload as a rule once.

        Raises:
            ObjectsUnavailable: a listing failed, or a look at an object; what is not done stays to be done.
            UploadsUnavailable: the queue failed; all that could be learnt otherwise came first.
        """

    def folder(self, folder: str, now: datetime) -> Iterator[tuple[Upload, ...]]:
        """The uploads in one folder (a slash at its end), at most 1,000 at a time; nothing is remembered of it."""


def is_finished(key: str) -> bool:
    """Whether a name is none that writers give to what they have not finished."""
    hidden = any(segment.startswith(".") for segment in key.split("/"))
    return not hidden and not key.lower().endswith(_UNFINISHED)


def nothing() -> None:
    """What is left to do where nothing is remembered."""
