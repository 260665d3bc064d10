"""Objects under one URL: what lands, the lake, the quarantine.

Here: keys and bytes, each form of a store held to the same promises. Not here: what a key means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

from obstore.store import MemoryStore

from pipelines.adapters.objects.contract import (
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    Objects,
    ObjectsUnavailable,
)
from pipelines.adapters.objects.files import FileObjects
from pipelines.adapters.objects.stored import StoredObjects

__all__ = ["ObjectChanged", "ObjectInfo", "ObjectMissing", "Objects", "ObjectsUnavailable", "exists", "open_objects"]


def open_objects(url: str) -> Objects:
    """The store that a URL names.

    Those are ``file:///folder``, ``memory://``, which is empty each time it is opened, and ``s3://bucket/folder``, for
    which address and credentials come from where AWS's own clients have them.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _FORMS:
        raise ValueError(f"objects: unknown scheme; known are {', '.join(f'{known}://' for known in _FORMS)}")
    return _FORMS[scheme](url, rest)


def exists(store: Objects, key: str, etag: str | None = None) -> bool:
    """Whether there is an object under this key, and, where an etag is given, whether it is that version."""
    try:
        return etag in {None, store.head(key).etag}
    except ObjectMissing:
        return False


def _open_files(url: str, rest: str) -> Objects:
    if not rest.startswith("/"):
        raise ValueError("objects: file:// needs an absolute path, as in file:///folder")
    return FileObjects(url, Path(unquote(rest)))


def _open_s3(url: str, rest: str) -> Objects:
    from pipelines.adapters.objects.s3 import open_s3  # noqa: PLC0415 (who keeps objects elsewhere has no use for it)

    return open_s3(url, rest)


def _open_memory(url: str, _: str) -> Objects:
    return StoredObjects(url, MemoryStore())


_FORMS: Mapping[str, Callable[[str, str], Objects]] = {
    "file": _open_files,
    "memory": _open_memory,
    "s3": _open_s3,
}
