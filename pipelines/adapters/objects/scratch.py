"""Bytes on their way into a store, in files without a name: nobody sees them before they are whole."""

from __future__ import annotations

import hashlib
import tempfile
from typing import IO

_AT_ONCE = 1 << 20
_IN_MEMORY = 1 << 20
"""Up to this size, in bytes, nothing is written to a disk."""


def scratch() -> IO[bytes]:
    """An empty file that is gone once it is closed."""
    return tempfile.SpooledTemporaryFile(_IN_MEMORY)


def measure(file: IO[bytes]) -> tuple[str, int]:
    """The sha256 of a file and its size in bytes; then it stands at its beginning."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_AT_ONCE):
        digest.update(chunk)
    size = file.tell()
    file.seek(0)
    return digest.hexdigest(), size
