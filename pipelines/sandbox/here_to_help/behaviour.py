"""How the stand-in of the Here to Help API is told to fail, and how its gateway throttles."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import count


class Call(StrEnum):
    """The calls that it knows, named as the adapter's methods."""

    POST_HELP_REQUEST = "post_help_request"
    GET_HELP_REQUEST = "get_help_request"
    POST_CASE_NOTE = "post_case_note"
    GET_RESIDENT_REQUESTS = "get_resident_requests"
    POST_RESIDENT_REQUEST = "post_resident_request"
    PING = "ping"


class Cut(StrEnum):
    """When the connection ends without an answer: before or after the request was carried out."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How requests are treated that come with a valid key.

    Attributes:
        status: The answer in place of the API's own. Such a request is carried out only if ``stored`` says so.
        times: For how many requests; ``None`` for all.
        calls: Shell pattern of the calls that it is for.
        last_names: Shell pattern of the last names that it is for; a request without one has an empty one.
        delay: Seconds before the request is carried out.
        wait: Seconds between that and the answer or the cut.
        retry_after: The header's text, seconds or an HTTP date.
        location: The header's text, for redirects.
        body: The answer's text in place of the usual one.
        cut: Whether the connection is cut in place of the answer.
        stored: Whether the request is carried out though ``status`` hides it.
    """

    status: int | None = None
    times: int | None = None
    calls: str = "*"
    last_names: str = "*"
    delay: float = 0
    wait: float = 0
    retry_after: str | None = None
    location: str | None = None
    body: str | None = None
    cut: Cut | None = None
    stored: bool = False

    @property
    def carries_out(self) -> bool:
        """Whether the request does what it says."""
        return self.cut is not Cut.BEFORE and (self.status is None or self.stored)


class Behaviours:
    """What was told last. Any thread may tell."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: list[tuple[Behaviour, Iterator[int]]] = []

    def tell(self, *behaviours: Behaviour) -> None:
        """Replaces what was told before; the first that fits a request and is not used up is followed."""
        with self._lock:
            self._told = [(each, count() if each.times is None else iter(range(each.times))) for each in behaviours]

    def choose(self, call: Call, last_name: str) -> Behaviour:
        """The behaviour for one request, which uses it up by one."""
        with self._lock:
            for behaviour, turns in self._told:
                fits = fnmatchcase(call, behaviour.calls) and fnmatchcase(last_name, behaviour.last_names)
                if fits and next(turns, None) is not None:
                    return behaviour
        return Behaviour()


class Throttle:
    """A bucket of ``burst`` requests that fills by ``rate`` a second, as the gateway's."""

    def __init__(self, rate: float = 100, burst: float = 200, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._left, self._seen = burst, clock()

    def take(self) -> bool:
        """Takes one request out; false if there is none."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
