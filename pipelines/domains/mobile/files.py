"""Reference files named by a path or a ``file://`` URL: the privacy mapping and its populations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference file as it was read, with its hash."""

    raw: bytes
    sha256: str


def read_mapping(url: str) -> Reference:
    """The mapping's file; an empty URL is the sample that is shipped."""
    return _read(url, "sample_mapping.csv")


def read_population(url: str, mapping_url: str) -> Reference | None:
    """The populations' file. The shipped sample has its own; another mapping without one is checked for no bounds."""
    return _read(url, "sample_population.csv") if url or not mapping_url else None


def _read(url: str, sample: str) -> Reference:
    if url:
        scheme = urlsplit(url).scheme
        if scheme not in ("", "file"):
            raise ValueError("a reference file is a path or a file:// URL")
        raw = Path(unquote(urlsplit(url).path) if scheme else url).read_bytes()
    else:
        raw = (files("pipelines.domains.mobile") / sample).read_bytes()
    return Reference(raw, hashlib.sha256(raw).hexdigest())
