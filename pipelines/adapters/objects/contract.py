"""What every store of objects promises, and what a key is.

A key is segments joined by ``/``, none of them empty, ``.``, ``..`` or longer than 255 bytes, 1,024 bytes in all and
free of control characters. A prefix is a folder: empty for everything, else a key with ``/`` after it. Whatever is
neither is refused with ``ValueError``.
"""
# ruff: noqa: N818  # the exceptions here say what is the case, and read as sentences where they are caught

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Protocol

UNFINISHED = ".unfinished"
"""The folder, at the root of a file store, for what is not whole yet; no key may have it as a segment."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class ObjectMissing(Exception):
    """There is no object under this key."""


class ObjectChanged(Exception):
    """The object is not, or not any more, the version that was asked for."""


class ObjectsUnavailable(Exception):
    """The store did not do what it was asked. It says nothing about whether an object exists."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One version of an object: size in bytes, time of change (UTC), an etag that differs wherever the bytes differ."""

    key: str
    size: int
    etag: str
    modified: datetime


class Objects(Protocol):
    """A store of objects. All of it may raise ``ObjectsUnavailable``, and ``ValueError`` for what is no key."""

    url: str

    def head(self, key: str) -> ObjectInfo:
        """The present version; ``ObjectMissing`` if there is none."""

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        """The whole object; ``ObjectChanged`` if it is not the version with that etag."""

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        """The object in chunks, all of one version.

        Raises:
            ObjectMissing: before the first chunk.
            ObjectChanged: before the first chunk, or at the latest after the last: until the end, trust nothing.
        """

    def get_part(self, info: ObjectInfo, start: int, end: int) -> bytes:
        """The bytes from one place to before another, of that version; those beyond its end are left out.

        Raises:
            ObjectMissing: it is gone.
            ObjectChanged: there is another version now.
        """

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """Stores the object whole or not at all, and durably."""

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        """Stores, in the same way and in little memory, what is left to read of an open file."""

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """The objects in a folder, at any depth, in the order of their keys; of those, the ones after ``after``.

        (SeaweedFS goes through folders, each in the order of its names, and goes on ``after`` a key in that order.)
        It is read as it is consumed. A folder that does not exist is empty; a listing that fails raises.
        """

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""


def check_key(key: str) -> str:
    """The key itself, if it is one in every form of store."""
    segments = key.split("/")
    sound = len(key.encode()) <= 1024 and not _CONTROL.search(key)
    if not sound or any(segment in {"", ".", "..", UNFINISHED} or len(segment.encode()) > 255 for segment in segments):
        raise ValueError(f"not a key: {key!r}")
    return key


def check_prefix(prefix: str) -> str:
    """The prefix itself, if it names a folder."""
    if prefix and not (prefix.endswith("/") and check_key(prefix[:-1])):
        raise ValueError(f"not a folder, which ends with a slash: {prefix!r}")
    return prefix
