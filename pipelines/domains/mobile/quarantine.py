"""Rejected records, each a line of JSON beside the landed files: where it stood, why it was rejected, and itself."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import orjson


@dataclasses.dataclass(frozen=True, slots=True)
class Reject:
    """A rejected record: its line number, its fault, its bytes (of an overlong line the head) and their full length."""

    line: int
    field: str
    reason: str
    raw: bytes = dataclasses.field(repr=False)
    length: int

    @property
    def is_whole(self) -> bool:
        """Whether all of the record is here, not only its head."""
        return len(self.raw) == self.length


def write_reject(reject: Reject) -> bytes:
    """The line of a rejected record; the record stands there as text where it is text."""
    entry: dict[str, Any] = {
        "line": reject.line,
        "field": reject.field or None,
        "reason": str(reject.reason),
        "length": reject.length,
    }
    try:
        entry["record"] = reject.raw.decode()
    except UnicodeDecodeError:
        entry["record_base64"] = base64.b64encode(reject.raw).decode()
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def read_rejects(lines: Iterable[bytes]) -> Iterator[Reject]:
    """The rejected records of a quarantined file's lines."""
    for line in lines:
        entry = orjson.loads(line)
        text = entry.get("record")
        raw = base64.b64decode(entry["record_base64"]) if text is None else text.encode()
        yield Reject(entry["line"], entry["field"] or "", entry["reason"], raw, entry["length"])
