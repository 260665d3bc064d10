"""Sample uploads, and a local landing folder with them in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from urllib.parse import urlsplit

from pipelines.adapters.objects import open_objects
from pipelines.sandbox.phones import Pair
from pipelines.sandbox.uploads import UploadFile, event_uploads, land, uploads


def samples(
    pairs: Sequence[Pair],
    now: datetime,
    *,
    seed: int = 1,
    hours: int = 48,
    packages: int = 20_000,
    events: int = 0,
    canaries: Sequence[str] = (),
) -> Iterator[UploadFile]:
    """Uploads of the last hours, the present one included; one seed and hour give the same files.

    Args:
        pairs: the places that phones are at, the keys of a privacy mapping.
        now: the moment (aware) whose hour is the last one.
        seed: all that is made follows from it.
        hours: how many.
        packages: in files of several.
        events: submissions of events, each in a file of its own.
        canaries: texts that are planted where personal values may stand, each once in each feed that has anything.

    Raises:
        ValueError: there are more canaries than records of a feed.
    """
    start = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours - 1)
    return chain(
        uploads(seed, start, hours, packages, pairs, canaries=canaries if packages or not events else ()),
        event_uploads(seed, start, hours, events, pairs, canaries=canaries if events else ()),
    )


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
    """Land sample uploads in a local folder; see ``samples``.

    Raises:
        ValueError: the landing URL is not a local folder: what really landed is not to be mixed with samples. Or there
            are more canaries than records of a feed.
    """
    if urlsplit(landing_url).scheme != "file":
        raise ValueError("samples are landed in a local folder only: PIPELINES_LANDING is not file://")
    files = samples(pairs, now, seed=seed, hours=hours, packages=packages, events=events, canaries=canaries)
    return land(files, open_objects(landing_url))
