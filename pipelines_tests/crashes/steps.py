"""The steps at which a process may die, taken from the code itself.

A step is the moment after any call that changes something outside the process: every public method of the adapters'
protocols that is not named here as one that only reads. A method that is added later is thus a step from the beginning.
The moment before a call is the one after the call before it. Inside of such calls each change of files is a step too;
a transaction of the ledger has none, since it is whole or not at all, which the ledger's own tests try.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from pipelines.adapters.drive import Drive
from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.here_to_help import HereToHelp
from pipelines.adapters.https import Https
from pipelines.adapters.ledger import Ledger
from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads import Batch, Upload, Uploads

Step = Callable[[str], None]
"""Called with the name of what has just happened."""

READS: Mapping[type, frozenset[str]] = {
    Ledger: frozenset(
        {
            *("queues", "backlog", "next_due", "items", "partitions", "versions", "named", "standings", "search"),
            *("placed", "alike"),
            *("unrecorded", "paused", "journal", "mark", "circuit", "close"),
        }
    ),
    Objects: frozenset({"url", "head", "get", "get_part", "stream", "list"}),
    Uploads: frozenset({"batches", "folder"}),
    Https: frozenset({"destination", "head"}),
    Drive: frozenset({"url", "keeps_ids", "sheets", "sha256", "read", "outcomes"}),
    HereToHelp: frozenset({"destination", "get_help_request", "get_resident_requests", "ping"}),
}
"""What each protocol has that changes nothing; all else is an effect."""

TOLD = "Uploads.done"
"""The effect of a batch of uploads, which is no method of a protocol."""

_T = TypeVar("_T")


def members(protocol: type) -> frozenset[str]:
    """The public names of a protocol."""
    return frozenset(name for name in {**vars(protocol), **protocol.__annotations__} if not name.startswith("_"))


def effects(protocol: type) -> frozenset[str]:
    """What changes something."""
    return members(protocol) - READS[protocol]


def all_effects() -> frozenset[str]:
    """Every effect of every protocol, by the name that its steps have."""
    return frozenset({TOLD, *(f"{one.__name__}.{name}" for one in READS for name in effects(one))})


def nothing(_: str) -> None:
    """No step kills."""


Moment = int | tuple[str, int]
"""A step, counted from 1: among all of them, or among those of one name. Side by side only the latter is the same."""


@dataclass
class Dying:
    """Notes every step in a file, and kills the process at one of them."""

    log: Path
    at: Moment | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._lock = threading.RLock()

    def __call__(self, name: str) -> None:
        with self._lock:  # once it is decided nothing else gets further
            self.counts[name] += 1
            os.write(self._file, f"{name}\n".encode())
            if self.at in {self.counts.total(), (name, self.counts[name])}:
                os.kill(os.getpid(), signal.SIGKILL)

    @staticmethod
    def read(log: Path) -> list[str]:
        """The steps that were noted."""
        return log.read_text().splitlines()


def watch(adapter: _T, protocol: type, step: Step) -> _T:
    """The same adapter, each of whose effects is a step."""
    return cast(_T, _Watched(adapter, protocol, step))


class _Watched:
    def __init__(self, adapter: object, protocol: type, step: Step) -> None:
        self._adapter, self._protocol, self._step = adapter, protocol, step

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._adapter, name)
        if name not in effects(self._protocol):
            return found
        return stepping(f"{self._protocol.__name__}.{name}", found, self._step)


def stepping(name: str, act: Callable[..., Any], step: Step) -> Callable[..., Any]:
    """The same act with a step after it."""

    @wraps(act)
    def stepped(*args: Any, **kwargs: Any) -> Any:
        result = act(*args, **kwargs)
        step(name)
        return result

    @wraps(act)
    async def stepped_later(*args: Any, **kwargs: Any) -> Any:
        result = await act(*args, **kwargs)
        step(name)
        return result

    return stepped_later if inspect.iscoroutinefunction(act) else stepped


@dataclass(frozen=True)
class WatchedUploads:
    """Uploads of which each batch that is done is a step."""

    uploads: Uploads
    step: Step

    def batches(self, prefix: str, now: datetime, also: Collection[str] = ()) -> Iterator[Batch]:
        for batch in self.uploads.batches(prefix, now, also):
            yield replace(batch, done=stepping(TOLD, batch.done, self.step))

    def folder(self, folder: str, now: datetime) -> Iterator[tuple[Upload, ...]]:
        return self.uploads.folder(folder, now)


@dataclass(frozen=True)
class WatchedEndpoint(Endpoint):
    """An endpoint of which each request is a step."""

    step: Step = field(default=nothing)

    def open(self) -> AbstractAsyncContextManager[Https]:
        return watch_opened(Endpoint.open(self), Https, self.step)


@asynccontextmanager
async def watch_opened(opening: AbstractAsyncContextManager[_T], protocol: type, step: Step) -> AsyncIterator[_T]:
    """What is open for a while, each of whose effects is a step."""
    async with opening as adapter:
        yield watch(adapter, protocol, step)


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FILE_EFFECTS = {"os.mkdir": 0, "os.rename": 0, "os.remove": 0, "os.rmdir": 0, "os.link": 0, "os.truncate": 0}
"""What Python tells its auditors of, before it happens, with the place of the path among what it tells."""

_WORKSHOP = "outcome-"
"""How folders begin in which a drive makes its workbooks, of dozens of files: nobody else ever looks into them."""


def step_inside(folders: list[Path], step: Step) -> None:
    """From now on, and for the rest of this process, every change of files below these folders is a step before it."""
    below = tuple(f"{folder}{os.sep}" for folder in folders)
    busy = threading.local()

    def told(event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path = args[0] if args[2] & _WRITES else None
        else:
            path = args[_FILE_EFFECTS[event]] if event in _FILE_EFFECTS else None
        if path is None or not isinstance(path, str | Path) or getattr(busy, "now", False):
            return
        if str(path).startswith(below) and not Path(path).parent.name.startswith(_WORKSHOP):
            busy.now = True
            step(f"before {event} in {next(one.name for one in folders if one in Path(path).parents)}")
            busy.now = False

    sys.addaudithook(told)
