"""What can be wrong with a landed record, whatever it is of: why it is rejected, and where.

A fault names a known key and a kind, never a value, nor a key that we don't know: the sender chose it.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import orjson

_KEYS_AND_BRACES = re.compile(rb'[{}]|"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?')


class Reason(StrEnum):
    """Why a record is rejected."""

    TOO_LONG = "too long"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    DUPLICATE_KEY = "duplicate key"
    MISSING = "missing"
    NULL = "null"
    WRONG_TYPE = "wrong type"
    NOT_WHOLE = "not a whole number"
    OUT_OF_RANGE = "out of range"
    BAD_DATE = "bad date"
    IN_FUTURE = "window in the future"
    UNKNOWN_TYPE = "unknown type or version"
    UNKNOWN_VALUE = "not one of the known values"


@dataclass(frozen=True, slots=True)
class Fault:
    """The key at fault, if it is one that we know (else empty), and what is wrong."""

    field: str
    reason: Reason


def find_duplicate_key(data: bytes) -> str | None:
    """Find the first key that stands twice in one object, at any depth, of a text that is known to be JSON."""
    objects: list[set[str]] = []
    for token in _KEYS_AND_BRACES.finditer(data):
        text, colon = token.groups()
        if colon:
            key: str = orjson.loads(b'"%b"' % text)
            if key in objects[-1]:
                return key
            objects[-1].add(key)
        elif token[0] == b"{":
            objects.append(set())
        elif token[0] == b"}":
            objects.pop()
    return None


def judge_unparsed(data: bytes) -> Fault:
    """Why a text that no JSON parser takes is rejected."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return Fault("", Reason.NOT_UTF8)
    return Fault("", Reason.NOT_JSON)


def judge_number(value: object, bits: int) -> Reason | None:
    """Whether a parsed JSON value is a whole number of so many bits (32 or 64), and if not, why."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Reason.WRONG_TYPE
    # The parser reads a whole number beyond 64 bits as a float, which can't be told from 1e30: both are out of range.
    if isinstance(value, float) and abs(value) < 1 << 63:
        return Reason.NOT_WHOLE
    limit = 1 << (bits - 1)
    return None if -limit <= value < limit and isinstance(value, int) else Reason.OUT_OF_RANGE
