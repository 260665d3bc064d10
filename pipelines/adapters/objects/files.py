"""Objects as local files.

Written by hand and not through obstore: its local store does not fsync, lists in no order, and can't hold names like
``a#1``.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import IO
from uuid import uuid4

from pipelines.adapters.objects.contract import (
    UNFINISHED,
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    ObjectsUnavailable,
    check_key,
    check_prefix,
)

logger = logging.getLogger(__name__)

ABANDONED = timedelta(days=1)
"""A write that has not grown for so long has no writer any more."""

_CHUNK = 1 << 20


class FileObjects:
    """Objects as files below one folder, which is made when it is first written to."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self._root = root

    def head(self, key: str) -> ObjectInfo:
        """See ``Objects``."""
        with self._read_failures(key):
            found = self._path(key).stat()
        if not stat.S_ISREG(found.st_mode):
            raise ObjectMissing(key)
        return _file_info(key, found)

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        """See ``Objects``."""
        with self._open(key, etag) as file:
            return file.read()

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        """See ``Objects``."""
        with self._open(key, etag) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def get_part(self, info: ObjectInfo, start: int, end: int) -> bytes:
        """See ``Objects``."""
        with self._open(info.key, info.etag) as file:
            file.seek(start)
            return file.read(max(0, end - start))

    def put(self, key: str, body: bytes) -> ObjectInfo:
        """See ``Objects``."""
        return self._write(key, io.BytesIO(body))

    def put_file(self, key: str, source: IO[bytes]) -> ObjectInfo:
        """See ``Objects``."""
        return self._write(key, source)

    def list(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """See ``Objects``. Symbolic links, and names that can't be keys, are left out with a warning."""
        return self._walk(check_prefix(prefix), after or "")

    def delete(self, key: str) -> None:
        """See ``Objects``."""
        with suppress(ObjectMissing), self._read_failures(key):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        path = self._root.resolve() / check_key(key)
        if os.path.realpath(path) != str(path):
            raise ValueError(f"a symbolic link stands in the way of {key!r}")
        return path

    @contextmanager
    def _read_failures(self, name: str) -> Iterator[None]:
        """What is absent in a sound store is missing; all else, a file in the place of the root too, is a failure."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            if self._root.exists() and not self._root.is_dir():
                raise ObjectsUnavailable(f"the root is no folder: {self.url}") from error
            raise ObjectMissing(name) from error
        except OSError as error:
            raise ObjectsUnavailable(f"{name}: {error.strerror}") from error

    @contextmanager
    def _open(self, key: str, etag: str | None) -> Iterator[IO[bytes]]:
        """An open file is one version even if another takes its name, but not if it is rewritten in place."""
        with self._read_failures(key), self._path(key).open("rb") as file:
            info = _file_info(key, os.fstat(file.fileno()))
            if etag not in {None, info.etag}:
                raise ObjectChanged(key)
            yield file
            if _file_info(key, os.fstat(file.fileno())) != info:
                raise ObjectChanged(key)

    def _write(self, key: str, source: IO[bytes]) -> ObjectInfo:
        """Writes beside the objects, makes the bytes durable, then gives them their name and makes that durable."""
        try:
            path = self._path(key)
            part = self._root.resolve() / UNFINISHED / uuid4().hex
            _make_folder(part.parent)
            _clear_abandoned(part.parent)
            try:
                with part.open("xb") as file:
                    shutil.copyfileobj(source, file, _CHUNK)
                    file.flush()
                    os.fsync(file.fileno())
                    info = _file_info(key, os.fstat(file.fileno()))
                _make_folder(path.parent)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
            _sync_folder(path.parent)
        except OSError as error:
            raise ObjectsUnavailable(f"{key}: {error.strerror}") from error
        return info

    def _walk(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """Holds the names of one folder at each level; what comes before ``after`` as a whole is not opened."""
        for key, entry in self._entries(prefix):
            if key.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._walk(key, after)
            elif key > after:
                with suppress(ObjectMissing), self._read_failures(key):  # it may be deleted since the folder was read
                    yield _file_info(key, entry.stat(follow_symlinks=False))

    def _entries(self, prefix: str) -> Sequence[tuple[str, os.DirEntry[str]]]:
        """A folder's files and folders (their keys end with a slash), sorted as the keys of all objects are."""
        found, ignored = [], 0
        with suppress(ObjectMissing), self._read_failures(prefix):
            folder = self._path(prefix[:-1]) if prefix else self._root
            with os.scandir(folder) as entries:
                for entry in entries:
                    kind = _kind(prefix, entry)
                    if kind is None:
                        ignored += entry.name != UNFINISHED
                    else:
                        found.append((f"{prefix}{entry.name}{kind}", entry))
        if ignored:
            logger.warning("%d names in %r are links, special files or no keys: left out", ignored, prefix)
        return sorted(found, key=itemgetter(0))


def _kind(prefix: str, entry: os.DirEntry[str]) -> str | None:
    """``/`` for a folder, nothing for a file, ``None`` for what can't hold or be an object."""
    try:
        check_key(prefix + entry.name)
    except ValueError:
        return None
    if entry.is_dir(follow_symlinks=False):
        return "/"
    return "" if entry.is_file(follow_symlinks=False) else None


def _file_info(key: str, found: os.stat_result) -> ObjectInfo:
    etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
    return ObjectInfo(key, found.st_size, etag, datetime.fromtimestamp(found.st_mtime, UTC))


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _clear_abandoned(folder: Path) -> None:
    """Removes what writers that were killed left behind."""
    for part in folder.iterdir():
        with suppress(OSError):  # another writer may be clearing too
            if time.time() - part.stat().st_mtime > ABANDONED.total_seconds():
                part.unlink()
