"""Uploads that a queue tells of, and that are listed less often because of it."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from time import monotonic
from typing import Protocol
from urllib.parse import urlsplit

from pipelines.adapters.objects import ObjectInfo, ObjectMissing, Objects, ObjectsUnavailable
from pipelines.adapters.uploads.contract import BATCH, Batch, Upload, UploadsUnavailable, is_finished, nothing
from pipelines.adapters.uploads.listed import ListedUploads
from pipelines.adapters.uploads.sqs import AT_MOST, Message
from pipelines.core.notifications import Fault, read_notice

logger = logging.getLogger(__name__)

_AT_ONCE = 100
"""Messages that are taken in together."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_LOOKS = 16
"""Objects that are looked at side by side."""


class Queue(Protocol):
    """A queue of notifications. All of it may raise ``UploadsUnavailable``."""

    def receive(self) -> list[Message]:
        """Some messages, which nobody else gets for a while; none if there are none."""

    def delete(self, messages: Sequence[Message]) -> None:
        """Take messages off the queue."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A message with the keys that it tells of, below the landing URL, and what of it can't be understood.

    ``foreign`` counts the objects in our bucket that are in no feed's folder.
    """

    message: Message
    keys: tuple[str, ...]
    faults: tuple[Fault, ...]
    foreign: int


class QueuedUploads:
    """Uploads that a queue tells of at once, and that a listing finds if it did not.

    A notification is a hint. What it tells of is looked at: the store says which version is there, if any. A message is
    deleted once the ledger has what it tells of; one that can't be understood stays, for the queue's own dead-letter
    queue. While the queue fails, all is listed as if there were none.
    """

    def __init__(
        self, queue: Queue, objects: Objects, listed: ListedUploads, listed_less: ListedUploads, seconds: float
    ) -> None:
        place = urlsplit(objects.url)
        if place.scheme != "s3":
            raise ValueError("uploads: a queue tells of what lands under s3:// only")
        self._bucket = place.netloc
        self._root = f"{place.path.strip('/')}/".lstrip("/")
        self._queue = queue
        self._objects = objects
        self._seconds = seconds
        self._listed = listed
        self._listed_less = listed_less

    def folder(self, folder: str, now: datetime) -> Iterator[tuple[Upload, ...]]:
        """See ``Uploads``."""
        return self._listed.folder(folder, now)

    def batches(self, prefix: str, now: datetime, also: Collection[str] = ()) -> Iterator[Batch]:
        """See ``Uploads``."""
        listed, failure = self._listed_less, None
        try:
            yield from self._told({prefix, *also})
        except (UploadsUnavailable, ObjectsUnavailable) as error:
            logger.warning("not all notifications could be taken in (%s)", type(error).__name__)
            listed, failure = self._listed, error
        yield from listed.batches(prefix, now)
        if failure is not None:
            raise failure

    def _told(self, prefixes: Collection[str]) -> Iterator[Batch]:
        """What the queue tells of, until it is empty or the time is over that it may take of a tick."""
        ends_at = monotonic() + self._seconds
        while monotonic() < ends_at:
            messages = self._receive(ends_at)
            if not messages:
                return
            yield from self._looked_at([self._read(one, prefixes) for one in messages])

    def _receive(self, ends_at: float) -> list[Message]:
        messages: list[Message] = []
        while len(messages) < _AT_ONCE and monotonic() < ends_at:
            received = self._queue.receive()
            messages += received
            if len(received) < AT_MOST:
                break
        return messages

    def _read(self, message: Message, prefixes: Collection[str]) -> _Read:
        """What is in our bucket but no upload of these feeds needs nothing: what we write ourselves, above all."""
        notice = read_notice(message.body)
        ours = [one.key for one in notice.created if one.bucket == self._bucket]
        elsewhere = [Fault.ELSEWHERE] * (len(notice.created) - len(ours))
        below = [key.removeprefix(self._root) for key in ours if key.startswith(self._root)]
        fed = [key for key in below if _is_in(key, prefixes)]
        keys = tuple(key for key in fed if is_finished(key) and not _CONTROL.search(key))
        unheld = [Fault.CONTROL for key in fed if _CONTROL.search(key)]
        return _Read(message, keys, (*notice.faults, *elsewhere, *unheld), len(ours) - len(fed))

    def _looked_at(self, read: Sequence[_Read]) -> Iterator[Batch]:
        """The versions that are there now, and the messages that are done with once those are recorded."""
        found = self._look(list(dict.fromkeys(key for one in read for key in one.keys)))
        failures = {key: one for key, one in found.items() if isinstance(one, ObjectsUnavailable)}
        faults = [one.faults for one in read if one.faults]
        if faults:
            words = "%d messages are left to their queue's dead-letter queue: %s"
            logger.warning(words, len(faults), dict(Counter(map(str, chain.from_iterable(faults)))))
        foreign = sum(one.foreign for one in read)
        if foreign:
            logger.info("%d objects that the queue told of are in the folder of no feed here", foreign)
        done = [one.message for one in read if not one.faults and failures.keys().isdisjoint(one.keys)]
        uploads = tuple(Upload.of(one) for one in found.values() if isinstance(one, ObjectInfo))
        while len(uploads) > BATCH:
            yield Batch(uploads[:BATCH], nothing)
            uploads = uploads[BATCH:]
        yield Batch(uploads, partial(self._queue.delete, done), len(faults), foreign)
        if failures:
            raise next(iter(failures.values()))

    def _look(self, keys: Sequence[str]) -> dict[str, ObjectInfo | ObjectsUnavailable | None]:
        with ThreadPoolExecutor(_LOOKS) as looks:
            return dict(zip(keys, looks.map(self._look_at, keys), strict=True))

    def _look_at(self, key: str) -> ObjectInfo | ObjectsUnavailable | None:
        """The version that is there, none, or that the store can't tell."""
        try:
            return self._objects.head(key)
        except ObjectsUnavailable as error:
            return error
        except (ObjectMissing, ValueError):  # deleted since; or a name that no store of ours can hold, as of a folder
            return None


def _is_in(key: str, prefixes: Collection[str]) -> bool:
    return any(key.startswith(f"{prefix}/") for prefix in prefixes)
