"""Sample uploads in a local landing folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.sandbox.uploads import UploadFile, land, uploads

Pair = tuple[str, str | None]


def land_samples(
    landing_url: str,
    pairs: Sequence[Pair],
    now: datetime,
    *,
    seed: int = 1,
    hours: int = 48,
    packages: int = 20_000,
    canaries: Sequence[str] = (),
) -> list[UploadFile]:
    """Land packages over the last hours, the present one included; one seed and hour give the same files.

    Raises:
        ValueError: the landing URL is not a local folder: samples never go anywhere else.
    """
    parts = urlsplit(landing_url)
    if parts.scheme != "file":
        raise ValueError("samples are landed in a local folder only: PIPELINES_LANDING is not file://")
    this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    files = uploads(seed, this_hour - timedelta(hours=hours - 1), hours, packages, pairs, canaries=canaries)
    return land(files, Path(unquote(parts.path)))
