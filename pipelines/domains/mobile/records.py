"""Records of landed files compared by digests: none is kept itself, and memory does not grow with their length."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterator
from contextlib import suppress

from pipelines.adapters.objects import Objects
from pipelines.core.lines import BrokenStream, Line, gunzip, split_lines
from pipelines.domains.mobile.feeds import EVENTS, Feed
from pipelines.domains.mobile.quarantine import LONGEST_LINE

_DIGEST = 16
"""In bytes."""


def digests(feed: Feed, landing: Objects, key: str, etag: str | None = None) -> Iterator[tuple[int, bytes]]:
    """The number and the digest of each record of a landed file; of one that is damaged, of what can be read.

    Raises:
        ObjectMissing: it is gone.
        ObjectChanged: it is not the version that the etag names, or was rewritten meanwhile.
    """
    chunks = landing.stream(key, etag=etag)
    if feed is EVENTS:
        whole = hashlib.blake2b(digest_size=_DIGEST)
        for chunk in chunks:
            whole.update(chunk)
        yield 1, whole.digest()
        return
    with suppress(BrokenStream):
        for line in split_lines(gunzip(chunks) if key.endswith(".gz") else chunks, LONGEST_LINE):
            if isinstance(line, Line):
                yield line.number, digest(feed, line.data)


def digest(feed: Feed, record: bytes) -> bytes:
    """The digest of one record: the same before and after it is moved."""
    return hashlib.blake2b(record if feed is EVENTS else _bare(record), digest_size=_DIGEST).digest()


def _bare(record: bytes) -> bytes:
    """Without what a line may lose as it is moved: a mark where it comes to stand first, signs of its end."""
    return record.removeprefix(codecs.BOM_UTF8).rstrip(b"\r")
