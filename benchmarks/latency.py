"""From a file's landing to its object at AAE, with everything running as `make run` has it: real processes and paces.

Here: the platform, files dropped at random moments, and when the stand-in had them. Not here: what is made of it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import orjson

from pipelines.core.periods import hour_key
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.files import read_mapping
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.environment import child_variables
from pipelines.sandbox.uploads import event_uploads, uploads
from pipelines_tests.servers.programs import free_ports

_STARTS_WITHIN = 180.0
_ARRIVES_WITHIN = 300.0
_LOOKS_EVERY = 0.1
_SPACING = (1.0, 8.0)
"""Between two files, in seconds."""


def delays(folder: Path, files: int, seed: int = 1) -> dict[str, Sequence[float]]:
    """Seconds from landing to arrival of so many files of each feed, that drop in over minutes.

    Raises:
        TimeoutError: the platform did not come up, or a file did not arrive.
    """
    home = folder / "home"
    rng = Random(seed)  # noqa: S311 - when files drop, no secret
    with _platform(home) as child:
        _wait_for(home, child, {"first": _drop(home, feeds.EVENTS, "first", seed)}, _STARTS_WITHIN)
        landed = dict[str, tuple[feeds.Feed, str, float]]()
        for number in range(files):
            for feed in feeds.FEEDS.values():
                stem = f"{feed.queue.rpartition('/')[2]}-{number}"
                name = _drop(home, feed, stem, seed + number)
                landed[stem] = (feed, name, time.time())
                time.sleep(rng.uniform(*_SPACING))
        arrived = _wait_for(home, child, {stem: name for stem, (_, name, _) in landed.items()}, _ARRIVES_WITHIN)
    return {
        feed.queue: [arrived[name] - at for one, name, at in landed.values() if one is feed]
        for feed in feeds.FEEDS.values()
    }


def _drop(home: Path, feed: feeds.Feed, stem: str, seed: int) -> str:
    """Land one file, whole at once; returns the name of its object."""
    now = datetime.now(UTC)
    mapping = PrivacyMapping.parse(read_mapping("").raw)
    pairs = [(entry.district, entry.authority) for entry in mapping.entries if entry.district]
    make = event_uploads if feed is feeds.EVENTS else uploads
    (made, *_) = make(seed, now.replace(minute=0, second=0, microsecond=0), 1, 1, pairs, bad_share=0)
    key = f"{feed.queue}/{now:%Y/%m/%d/%H}/{stem}.json"
    path = home / "landing" / key
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(b"".join(made.chunks()))
    part.replace(path)
    return feed.export_name(hour_key(now), key)


def _wait_for(home: Path, child: subprocess.Popen[bytes], names: dict[str, str], seconds: float) -> dict[str, float]:
    """When each object was taken in, as the stand-in has it."""
    journal, missing = home / "sandbox/aae/received.jsonl", set(names.values())
    gives_up = time.monotonic() + seconds
    while time.monotonic() < gives_up and child.poll() is None:
        arrived = dict[str, float]()
        for line in journal.read_bytes().splitlines() if journal.exists() else ():
            one = orjson.loads(line)
            if one["kept"]:
                arrived.setdefault(one["name"], datetime.fromisoformat(one["time"]).timestamp())
        if missing <= arrived.keys():
            return arrived
        time.sleep(_LOOKS_EVERY)
    said = _log(home).read_text()[-1000:]
    raise TimeoutError(f"not at the stand-in within {seconds:.0f} s: some of {len(missing)} files; it says: {said}")


def _log(home: Path) -> Path:
    return home.with_suffix(".log")


@contextmanager
def _platform(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    ports = free_ports(2)
    variables = child_variables(
        PIPELINES_HOME=str(home),
        PIPELINES_PORT=str(ports[0]),
        PIPELINES_CODE_PORT=str(ports[1]),
        DAGSTER_HOME=str(home / "dagster"),
    )
    with _log(home).open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "pipelines", "run", "--no-samples"], env=variables, stdout=output, stderr=output
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(60)
