"""Sample uploads in a local landing folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.sandbox.phones import Pair
from pipelines.sandbox.uploads import UploadFile, event_uploads, land, uploads


def land_samples(
    landing_url: str,
    pairs: Sequence[Pair],
    now: datetime,
    *,
    seed: int = 1,
    hours: int = 48,
    packages: int = 20_000,
    events: int = 0,
    canaries: Sequence[str] = (),
) -> list[UploadFile]:
    """Land uploads over the last hours, the present one included; one seed and hour give the same files.

    Args:
        landing_url: where they land.
        pairs: the places that phones are at, the keys of a privacy mapping.
        now: the moment (aware) whose hour is the last one.
        seed: all that is made follows from it.
        hours: how many.
        packages: in files of several.
        events: submissions of events, each in a file of its own.
        canaries: texts that are planted where personal values may stand, each once in each feed that lands anything.

    Raises:
        ValueError: the landing URL is not a local folder: samples never go anywhere else. Or there are more canaries
            than records of a feed.
    """
    parts = urlsplit(landing_url)
    if parts.scheme != "file":
        raise ValueError("samples are landed in a local folder only: PIPELINES_LANDING is not file://")
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    files = chain(
        uploads(seed, start, hours, packages, pairs, canaries=canaries if packages or not events else ()),
        event_uploads(seed, start, hours, events, pairs, canaries=canaries if events else ()),
    )
    return land(files, Path(unquote(parts.path)))
