"""The accepted versions of the privacy mapping, kept in the lake.

A version is kept under its sha256 for good, so that a file can be built again with the mapping it was made with. Each
time that one is accepted, an earlier one once more included, leaves an object without content. The current one is named
by a small file of its own, written last: until then the version before it is in force.
"""

from __future__ import annotations

from datetime import datetime

import orjson

from pipelines.adapters.objects import ObjectMissing, Objects
from pipelines.domains.mobile.mapping import PrivacyMapping

FOLDER = "mobile/privacy_mapping/versions"
CURRENT = f"{FOLDER}/current.json"
_HISTORY = f"{FOLDER}/accepted"


def accept(lake: Objects, raw: bytes, mapping: PrivacyMapping) -> None:
    """Put a checked version in force."""
    lake.put(_key(mapping.sha256), raw)
    times = sum(1 for _ in lake.list(f"{_HISTORY}/"))
    lake.put(f"{_HISTORY}/{times:08}-{mapping.sha256}", b"")
    lake.put(CURRENT, orjson.dumps({"sha256": mapping.sha256, "version": mapping.version, "rows": mapping.rows}))


def named(lake: Objects) -> str | None:
    """The sha256 of the version in force, without reading that; ``None`` before the first one was accepted."""
    try:
        return str(orjson.loads(lake.get(CURRENT))["sha256"])
    except ObjectMissing:
        return None


def current(lake: Objects) -> PrivacyMapping | None:
    """The version in force; ``None`` before the first one was accepted."""
    sha256 = named(lake)
    return None if sha256 is None else version(lake, sha256)


def version(lake: Objects, sha256: str) -> PrivacyMapping:
    """An accepted version.

    Raises:
        LookupError: that version was never accepted here, or is lost.
        ValueError: the stored file is not what was accepted.
    """
    try:
        raw = lake.get(_key(sha256))
    except ObjectMissing:
        raise LookupError("an accepted version of the privacy mapping is lost") from None
    mapping = PrivacyMapping.parse(raw)
    if mapping.sha256 != sha256:
        raise ValueError("a stored version of the privacy mapping is not what was accepted")
    return mapping


def kept(lake: Objects) -> list[str]:
    """The sha256 of every version that was accepted and is not lost; outputs of each may have left."""
    keys = [info.key for info in lake.list(f"{FOLDER}/") if info.key.endswith(".csv")]
    return sorted(key.rpartition("/")[-1].removesuffix(".csv") for key in keys)


def in_force_at(lake: Objects, moment: datetime) -> str | None:
    """The sha256 of the version that was in force at a moment, as far as the lake tells: the one accepted before it."""
    times = sorted((info.modified, info.key) for info in lake.list(f"{_HISTORY}/") if info.modified <= moment)
    return times[-1][1].rpartition("-")[-1] if times else None


def _key(sha256: str) -> str:
    return f"{FOLDER}/{sha256}.csv"
