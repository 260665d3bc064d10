"""Rejected records, each a line of JSON beside the landed files: where it stood, why it was rejected, and itself."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pipelines.core.lines import LongLine, split_lines

LONGEST_LINE = 64 << 20
"""In bytes: what a rejected record's line may grow to, escaped as it stands there."""


class DamagedQuarantine(ValueError):  # noqa: N818 (it says what is the case)
    """A line is not what was written. Nothing of what it holds is repeated."""


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


def read_rejects(chunks: Iterable[bytes]) -> Iterator[Reject]:
    """The rejected records of a quarantined file, lazily, in the order in which they stood.

    Raises:
        DamagedQuarantine: at the first line that is not what was written.
    """
    for line in split_lines(chunks, LONGEST_LINE):
        reject = None if isinstance(line, LongLine) else _read(line.data)
        if reject is None:
            raise DamagedQuarantine(f"line {line.number} of a quarantined file is not what was written")
        yield reject


def _read(line: bytes) -> Reject | None:
    try:
        entry = orjson.loads(line)
        text = entry.get("record")
        raw = base64.b64decode(entry["record_base64"], validate=True) if text is None else text.encode()
        return Reject(int(entry["line"]), entry["field"] or "", str(entry["reason"]), raw, int(entry["length"]))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
