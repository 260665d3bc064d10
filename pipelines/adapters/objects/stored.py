"""Objects in any store that obstore speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import IO, TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PreconditionError

from pipelines.adapters.objects.contract import (
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    ObjectsUnavailable,
    check_key,
    check_prefix,
)

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ObjectStore

_CHUNK = 1 << 20
_PAGE = 1000


class StoredObjects:
    """Objects in any store that obstore speaks to."""

    def __init__(self, url: str, store: ObjectStore) -> None:
        self.url = url
        self._store = store

    def head(self, key: str) -> ObjectInfo:
        """See ``Objects``."""
        with _store_failures(check_key(key), reading=True):
            return _stored_info(obstore.head(self._store, key))

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        """See ``Objects``."""
        with _store_failures(check_key(key), reading=True):
            return bytes(self._open(key, etag).bytes())

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        """See ``Objects``."""
        with _store_failures(check_key(key), reading=True):
            yield from self._open(key, etag).stream(_CHUNK)

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """See ``Objects``."""
        return self._put(key, body)

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        """See ``Objects``."""
        return self._put(key, source)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """See ``Objects``."""
        with _store_failures(check_prefix(prefix)):
            for page in obstore.list(self._store, prefix, offset=after, chunk_size=_PAGE):
                yield from map(_stored_info, page)

    def delete(self, key: str) -> None:
        """See ``Objects``."""
        with suppress(ObjectMissing), _store_failures(check_key(key), reading=True):
            obstore.delete(self._store, key)

    def _open(self, key: str, etag: str | None) -> GetResult:
        return obstore.get(self._store, key, options={} if etag is None else {"if_match": f'"{etag}"'})

    def _put(self, key: str, body: bytes | IO[bytes]) -> ObjectInfo:
        with _store_failures(check_key(key)):
            etag = _bare(obstore.put(self._store, key, body)["e_tag"])
        info = self.head(key)
        if info.etag != etag:
            raise ObjectChanged(key)
        return info


@contextmanager
def _store_failures(name: str, *, reading: bool = False) -> Iterator[None]:
    """Only to a read does "not found" mean the object: a listing or a write does not find its bucket."""
    try:
        yield
    except PreconditionError as error:
        raise ObjectChanged(name) from error
    except (BaseError, OSError) as error:
        if reading and isinstance(error, FileNotFoundError):
            raise ObjectMissing(name) from error
        raise ObjectsUnavailable(f"{name}: {type(error).__name__}") from error


def _stored_info(meta: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], _bare(meta["e_tag"]), meta["last_modified"].astimezone(UTC))


def _bare(etag: str | None) -> str:
    """An etag without its quotes, as notifications of the same object carry it."""
    return (etag or "").strip('"')
