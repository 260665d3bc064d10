"""What a submission of epidemiological events may hold, key by key, and the columns of the events' table.

A column is never removed, moved or given another type; a new one goes last. A key that is not named here leaves the
platform in no form. Not here: how values are judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Kind(StrEnum):
    """What a value is; `INSTANT` is text that names a moment in UTC, `NUMBER` is whole or not."""

    TEXT = "text"
    INSTANT = "instant"
    CHOICE = "choice"
    BOOL = "bool"
    INT32 = "int32"
    NUMBER = "number"
    SCANS = "scans"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a JSON object and what it holds; only an optional one may be absent, and none may be null.

    Attributes:
        name: of the key.
        kind: of its value.
        choices: the texts that a choice may be.
        optional: whether it may be absent.
    """

    name: str
    kind: Kind
    choices: frozenset[str] = frozenset()
    optional: bool = False


METADATA = (
    Key("operatingSystemVersion", Kind.TEXT),
    Key("latestApplicationVersion", Kind.TEXT),
    Key("deviceModel", Kind.TEXT),
    Key("postalDistrict", Kind.TEXT),
    Key("localAuthority", Kind.TEXT, optional=True),
)

SCAN = tuple(Key(name, Kind.INT32) for name in ("secondsSinceLastScan", "minimumAttenuation", "typicalAttenuation"))
"""One scan of an exposure window."""

_WINDOW = (
    Key("date", Kind.INSTANT),
    Key("infectiousness", Kind.CHOICE, frozenset({"none", "standard", "high"})),
    Key("scanInstances", Kind.SCANS),
    Key("riskScore", Kind.NUMBER),
    Key("riskCalculationVersion", Kind.INT32),
)
_RISKY = Key("isConsideredRisky", Kind.BOOL)
_TEST = Key("testType", Kind.CHOICE, frozenset({"LAB_RESULT", "RAPID_RESULT", "unknown"}))
_CONFIRMATORY = Key("requiresConfirmatoryTest", Kind.BOOL)

PAYLOADS: Mapping[tuple[str, int], tuple[Key, ...]] = {
    ("exposureWindow", 1): _WINDOW,
    ("exposureWindow", 2): (*_WINDOW, _RISKY),
    ("exposureWindowPositiveTest", 1): (*_WINDOW, _TEST),
    ("exposureWindowPositiveTest", 2): (*_WINDOW, _TEST, _CONFIRMATORY),
    ("exposureWindowPositiveTest", 3): (*_WINDOW, _TEST, _CONFIRMATORY, _RISKY),
}
"""The payload of each type and version of an event."""

_SCANS = pa.list_(pa.struct([(key.name.lower(), pa.int32()) for key in SCAN]))

_COLUMNS: dict[str, pa.DataType] = {
    "type": pa.string(),
    "version": pa.int32(),
    "riskscore": pa.float64(),
    "riskcalculationversion": pa.int32(),
    "infectiousness": pa.string(),
    "isconsideredrisky": pa.bool_(),
    "scaninstances": _SCANS,
    "date": pa.string(),
    "operatingsystemversion": pa.string(),
    "localauthority": pa.string(),
    "latestapplicationversion": pa.string(),
    "devicemodel": pa.string(),
    "postaldistrict": pa.string(),
    "uuid": pa.string(),
}

SCHEMA = pa.schema(_COLUMNS)
"""The table has one row for each event. The type of a test, and whether it needs another, are in the export alone."""
