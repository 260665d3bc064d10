"""Packages as typed records, read at once: what nearly all of them allow.

Here: the types, made of the table of columns, and reading in one go. Not here: the odd package, good or bad; what is
not read here is read again in `faults`, slowly, to say why or to take it after all.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from pipelines.domains.mobile.packages.columns import COLUMNS, LIVE_COLUMNS, Kind, Place, Presence

ABSENT = 1 << 32
"""Stands for a narrow metric that a package doesn't have: no such column can hold it, and its low 32 bits are zero."""

WIDE = tuple(column for column in LIVE_COLUMNS if column.place is Place.METRICS and column.kind is Kind.INT64)
"""The metrics of 64 bits, absent as None."""

NARROW = tuple(column for column in COLUMNS if column.place is Place.METRICS and column.kind is Kind.INT32)
"""The metrics of 32 bits, absent as `ABSENT`; those no longer read are among them, since old apps send them."""

_Int32 = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class _Part(msgspec.Struct, rename="camel", gc=False, omit_defaults=True):
    """A JSON object."""


class Window(_Part):
    """The window, its instants as they are written."""

    start_date: str
    end_date: str


class Metadata(_Part):
    """The metadata."""

    operating_system_version: str
    latest_application_version: str
    device_model: str
    postal_district: str
    local_authority: str | None = None


# In the order in which apps send them: a key is looked for behind the one before it.
_Metrics: Any = msgspec.defstruct(
    "_Metrics",
    [(c.source, _Int64 | None, None) for c in WIDE] + [(c.source, _Int32, ABSENT) for c in NARROW],
    gc=False,
    omit_defaults=True,
)


class Record(_Part):
    """A package whose values are those that their columns take, but for the window: it is not judged here."""

    analytics_window: Window
    metadata: Metadata
    metrics: _Metrics
    includes_multiple_application_versions: bool

    def split_metrics(self) -> tuple[tuple[int | None, ...], tuple[int, ...]]:
        """The wide metrics and the narrow ones."""
        metrics = msgspec.structs.astuple(self.metrics)
        return metrics[: len(WIDE)], metrics[len(WIDE) :]


_decode = msgspec.json.Decoder(Record).decode
_encode = msgspec.json.Encoder().encode
# All keys but the one that may be absent from the metadata, and the colons within the window's two instants.
_COLONS = sum(len(part.__struct_fields__) for part in (Record, Window, Metadata, _Metrics)) - 1 + 4


def read_record(data: bytes) -> Record | None:
    """Read one record, if it is strict JSON with nothing odd in it: no null, no escape, no key that isn't known.

    Returns:
        The record; None says nothing but that it must be read again.
    """
    try:
        record = _decode(data)
    except (msgspec.DecodeError, ValueError):
        return None
    # The parser skips unknown keys and keeps the last of duplicates, silently. But the encoder writes the shortest text
    # of what was kept, so in a text that is no longer nothing else can stand.
    return record if len(_encode(record)) == len(data) or _has_no_other_key(record, data) else None


def convert_package(package: Mapping[str, Any]) -> Record | None:
    """Make a record of a package that was read, without its unknown keys and its nulls where those are allowed.

    Returns:
        The record; None if one of the values is not what its column takes.
    """
    metrics = {
        key: value
        for key, value in package["metrics"].items()
        if key in _LIVE and (value is not None or key in _NEVER_NULL)
    }
    try:
        record = msgspec.convert({**package, "metrics": metrics}, Record)
    except msgspec.ValidationError:
        return None
    if record.metadata.local_authority is None and "localAuthority" in package["metadata"]:
        return None
    return record


def _has_no_other_key(record: Record, data: bytes) -> bool:
    """Whether a text with spaces in it has no key but those whose values the record holds.

    Without escapes every colon of the text ends a key or stands inside a string, and the window's two instants hold two
    each (a window that doesn't is rejected for that). So no more colons than keys means no other keys.
    """
    wide, narrow = record.split_metrics()
    colons = _COLONS - wide.count(None) - narrow.count(ABSENT) + (record.metadata.local_authority is not None)
    return data.count(b":") == colons and b"\\" not in data


_LIVE = {column.source for column in LIVE_COLUMNS}
_NEVER_NULL = {column.source for column in COLUMNS if column.presence is Presence.ZERO}
