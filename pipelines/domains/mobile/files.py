"""Reference files named by a path, a ``file://`` URL or that of an object: the privacy mapping and its populations."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipelines.adapters.objects import open_objects


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference file as it was read, with its hash."""

    raw: bytes
    sha256: str


def read_mapping(url: str) -> Reference:
    """The mapping's file; an empty URL is the sample that is shipped.

    Raises:
        ValueError: the URL is of no kind that is read here.
        OSError: there is no such file, or it can't be read.
        ObjectMissing, ObjectsUnavailable: the same of an object.
    """
    return _read(url, "sample_mapping.csv")


def read_population(url: str, mapping_url: str) -> Reference | None:
    """The populations' file. The shipped sample has its own; another mapping without one is checked for no bounds."""
    return _read(url, "sample_population.csv") if url or not mapping_url else None


def _read(url: str, sample: str) -> Reference:
    scheme = urlsplit(url).scheme
    if not url:
        raw = (files("pipelines.domains.mobile") / sample).read_bytes()
    elif scheme == "s3":
        folder, _, name = url.rpartition("/")
        raw = open_objects(folder).get(name)
    elif scheme in ("", "file"):
        raw = Path(unquote(urlsplit(url).path) if scheme else url).read_bytes()
    else:
        raise ValueError("a reference file is a path, file:// or s3://bucket/key")
    return Reference(raw, hashlib.sha256(raw).hexdigest())
