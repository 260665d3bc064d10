"""How a run that sends much over many connections goes through its event loop."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

_OBJECTS = 20_000
"""So many new objects wait for the collector, some megabytes: each of hundreds of requests under way has dozens."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on a loop of its own.

    What was there before it is put out of sight of the garbage collector meanwhile: a run leaves so many objects behind
    with each request that the collector would go through all that was imported, over and over, for a fifth of the time.
    What is new it looks at less often for the same reason: hardly any of it is waste that only it can find.
    """
    often = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS, *often[1:])
    try:
        return uvloop.run(main)
    finally:
        gc.set_threshold(*often)
        gc.unfreeze()
