"""A stand-in that runs in a thread, for callers without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def running_in_a_thread(serve: Callable[[], AbstractAsyncContextManager[T]], name: str) -> Iterator[T]:
    """Runs what ``serve`` opens in an event loop in a thread called ``name``; raises its errors at start."""
    started: Future[tuple[T, Callable[[], object]]] = Future()

    async def main() -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with serve() as server:
                started.set_result((server, lambda: loop.call_soon_threadsafe(stopped.set)))
                await stopped.wait()
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name=name, daemon=True)
    thread.start()
    server, stop = started.result()
    try:
        yield server
    finally:
        stop()
        thread.join()
