"""Objects as files for Arrow: opened when they are scanned, and read in parts, each object as the version listed."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from fsspec import AbstractFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from pipelines.adapters.objects.contract import ObjectInfo, Objects


def as_filesystem(objects: Objects, listed: Iterable[ObjectInfo]) -> PyFileSystem:
    """A file system of these objects and nothing else, under their keys."""
    return PyFileSystem(FSSpecHandler(_Listed(objects, listed)))  # type: ignore[abstract]  # its stubs say so


class _Listed(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Only to be read."""

    protocol = "objects"
    cachable = False

    def __init__(self, objects: Objects, listed: Iterable[ObjectInfo]) -> None:
        super().__init__()
        self._objects = objects
        self._listed = {info.key: info for info in listed}

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """What Arrow wants to know of a file."""
        if path not in self._listed:
            raise FileNotFoundError(path)
        return {"name": path, "size": self._listed[path].size, "type": "file"}

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        """The object, of which nothing is read yet."""
        return _Parts(self._objects, self._listed[path])


class _Parts(io.RawIOBase):
    """An object that is read where one looks."""

    def __init__(self, objects: Objects, info: ObjectInfo) -> None:
        super().__init__()
        self._objects = objects
        self._info = info
        self._at = 0

    def readable(self) -> bool:
        """As all of it."""
        return True

    def seekable(self) -> bool:
        """To any place."""
        return True

    def tell(self) -> int:
        """The place where it is read next."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Asks for nothing yet."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """From there on."""
        end = self._info.size if size is None or size < 0 else self._at + size
        found = self._objects.get_part(self._info, self._at, end)
        self._at += len(found)
        return found
