"""A client for stand-ins, and a server without TLS that is told byte by byte what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from pipelines.adapters.https import Credentials, Https, open_https
from pipelines.core.delivery import Answer

KEY = "canary-key-5f0c"
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
JSON = "application/json"
PLAIN = Credentials(SecretStr(KEY))
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def put(url: str, credentials: Credentials, name: str = "a.json", body: bytes = b"{}", **limits: float) -> Answer:
    async def send() -> Answer:
        async with open_https(url, credentials, **limits) as https:  # type: ignore[arg-type]  # all limits are numbers
            return await https.put(name, body, content_type=JSON)

    return asyncio.run(send())


def port_of(listening: asyncio.Server) -> int:
    return int(listening.sockets[0].getsockname()[1])


@asynccontextmanager
async def plain_server(handler: Handler) -> AsyncIterator[str]:
    """A server without TLS, told byte by byte what to do."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{port_of(listening)}/c19appdata"
    finally:
        listening.close()
        for writer in writers:
            writer.close()
        await listening.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    size = next(int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length"))
    return head, await reader.readexactly(size)


def run_plain(handler: Handler, talk: Callable[[Https], Coroutine[Any, Any, Answer]], **limits: float) -> Answer:
    async def run() -> Answer:
        async with plain_server(handler) as url, open_https(url, PLAIN, **limits) as https:  # type: ignore[arg-type]  # all limits are numbers
            return await talk(https)

    return asyncio.run(run())


async def put_one(https: Https) -> Answer:
    return await https.put("a.json", b"{}", content_type=JSON)
