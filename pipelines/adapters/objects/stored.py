"""Objects in any store that obstore speaks to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC
from typing import IO, TYPE_CHECKING, TypeAlias

import obstore
from obstore.exceptions import BaseError, InvalidPathError, PreconditionError

from pipelines.adapters.objects.contract import (
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    ObjectsUnavailable,
    check_key,
    check_prefix,
)

if TYPE_CHECKING:
    from typing import Unpack

    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import ObjectStore

_CHUNK = 1 << 20
_PAGE = 1000

_ANSWERED = "Server returned "
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_KEYLESS = re.compile(r"credential provider: (\w+)")
_KIND = re.compile(r"kind: (Connect|Timeout|Interrupted|Decode)")


Lister: TypeAlias = Callable[[str, str | None], Iterator[ObjectInfo]]


class StoredObjects:
    """Objects in any store that obstore speaks to.

    Args:
        url: what the store is called.
        store: the store itself.
        missing: the word by which it says that an object is absent and not, say, the bucket; empty if it has none.
        list_by_hand: lists a folder after a key, as ``list`` does, where obstore gives up: at a name that is no key.
    """

    def __init__(self, url: str, store: ObjectStore, *, missing: str = "", list_by_hand: Lister | None = None) -> None:
        self.url = url
        self._store = store
        self._missing = missing
        self._list_by_hand = list_by_hand

    def head(self, key: str) -> ObjectInfo:
        """See ``Objects``."""
        with self._failures(check_key(key), reading=True):
            try:
                return _stored_info(obstore.head(self._store, key))
            except FileNotFoundError:
                if not self._missing:
                    raise
            return _stored_info(obstore.get(self._store, key).meta)  # an answer to a HEAD has no room for the word

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        """See ``Objects``."""
        with self._failures(check_key(key), reading=True):
            return bytes(self._get(key, etag).bytes())

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        """See ``Objects``."""
        with self._failures(check_key(key), reading=True):
            yield from self._get(key, etag).stream(_CHUNK)

    def get_part(self, info: ObjectInfo, start: int, end: int) -> bytes:
        """See ``Objects``."""
        if start >= min(end, info.size):
            return b""
        with self._failures(check_key(info.key), reading=True):
            return bytes(self._get(info.key, info.etag, range=(start, min(end, info.size))).bytes())

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """See ``Objects``."""
        return self._put(key, body)

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        """See ``Objects``."""
        return self._put(key, source)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """See ``Objects``. Names that can't be keys are left out with a warning."""
        with self._failures(check_prefix(prefix)):
            try:
                for page in obstore.list(self._store, prefix, offset=after, chunk_size=_PAGE):
                    for meta in page:
                        yield _stored_info(meta)
                        after = meta["path"]
            except InvalidPathError:
                if self._list_by_hand is None:
                    raise
                yield from self._list_by_hand(prefix, after)

    def delete(self, key: str) -> None:
        """See ``Objects``."""
        with suppress(ObjectMissing), self._failures(check_key(key), reading=True):
            obstore.delete(self._store, key)

    def _get(self, key: str, etag: str | None, **options: Unpack[GetOptions]) -> GetResult:
        if etag is None:
            return obstore.get(self._store, key, options=options)
        try:
            return obstore.get(self._store, key, options={**options, "if_match": f'"{etag}"'})
        except FileNotFoundError:
            if self._missing:  # with a condition, SeaweedFS says the same of a bucket that is gone
                obstore.get(self._store, key)
            raise

    def _put(self, key: str, body: bytes | IO[bytes]) -> ObjectInfo:
        with self._failures(check_key(key)):
            etag = _bare(obstore.put(self._store, key, body)["e_tag"])
        info = self.head(key)
        if info.etag != etag:
            raise ObjectChanged(key)
        return info

    @contextmanager
    def _failures(self, name: str, *, reading: bool = False) -> Iterator[None]:
        """Only to a read does "not found" mean the object: a listing or a write does not find its bucket.

        What the store said is not handed on: it may repeat what was signed, and so a session's token.
        """
        try:
            yield
        except PreconditionError:
            raise ObjectChanged(name) from None
        except (BaseError, OSError) as error:
            if reading and isinstance(error, FileNotFoundError) and self._missing in {"", _code(error)}:
                raise ObjectMissing(name) from None
            raise ObjectsUnavailable(f"{name}: {_reason(error)}") from None


def _code(error: Exception) -> str:
    """The word of S3 for what was wrong, from the end of the sentence: before it stands the key, which may be any."""
    found = _CODE.search(_sentence(error).rpartition(_ANSWERED)[2])
    return found[1] if found else ""


def _reason(error: Exception) -> str:
    """What was wrong, as far as it can be told to anyone."""
    if keyless := _KEYLESS.search(_sentence(error)):
        return f"no credentials could be had ({keyless[1]})"
    status = _STATUS.match(_sentence(error).rpartition(_ANSWERED)[2])
    kind = _KIND.search(str(error))
    words = [status[1] if status else "", _code(error)]
    return " ".join(filter(None, words)) or (f"not reached ({kind[1]})" if kind else type(error).__name__)


def _sentence(error: Exception) -> str:
    return str(error).partition("\n\nDebug source:")[0]


def _stored_info(meta: ObjectMeta) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], _bare(meta["e_tag"]), meta["last_modified"].astimezone(UTC))


def _bare(etag: str | None) -> str:
    """An etag without its quotes, as notifications of the same object carry it."""
    return (etag or "").strip('"')
