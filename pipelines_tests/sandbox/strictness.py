"""Strict reading of what phones send, in the words of the tests: independent of the platform's own."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def read_strictly(raw: bytes) -> Any:
    """A record's JSON.

    Raises:
        ValueError: it is not JSON in UTF-8, a key stands twice in an object, or a text is half a character.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    record = json.loads(raw.decode(), object_pairs_hook=unique)
    json.dumps(record, ensure_ascii=False).encode()
    return record


def read_moment(text: str) -> datetime | None:
    """A moment in the one form that every reader must take; ``None`` for another form, or if there is no such one."""
    try:
        return datetime.fromisoformat(text) if INSTANT.fullmatch(text) else None
    except ValueError:
        return None
