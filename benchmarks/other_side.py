"""The other side of a delivery: takes objects over mutual TLS, answers each after a while, and hardly does more.

The sandbox's stand-in keeps every version of every object on disk, which costs more than to deliver it does: that would
be what is measured.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

import uvloop
from aiohttp import web
from pydantic import SecretStr

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.https import Credentials
from pipelines.sandbox.certificates import Certificates

ANSWER_SECONDS = 0.02


@contextmanager
def other_side(certificates: Certificates, limits: Limits) -> Iterator[Endpoint]:
    """Run it in a process of its own.

    Raises:
        EOFError: it did not start.
    """
    key = secrets.token_hex(16)
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(certificates, key, theirs))
    process.start()
    theirs.close()
    try:
        credentials = Credentials(
            SecretStr(key), certificates.client.read_bytes(), authority=certificates.authority.read_bytes()
        )
        yield Endpoint("sandbox://aae", ours.recv(), credentials, limits)
    finally:
        ours.close()
        process.join()


def _serve(certificates: Certificates, key: str, caller: Connection) -> None:
    uvloop.run(_answer(certificates, key, caller))


async def _answer(certificates: Certificates, key: str, caller: Connection) -> None:
    async def take(request: web.Request) -> web.Response:
        if request.headers.get("Ocp-Apim-Subscription-Key") != key:
            return web.Response(status=401)
        await request.read()
        await asyncio.sleep(ANSWER_SECONDS)
        return web.Response(status=201)

    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    trust.load_cert_chain(certificates.server)
    trust.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_put("/{name}", take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust).start()
    caller.send(f"https://127.0.0.1:{runner.addresses[0][1]}")
    await asyncio.to_thread(caller.poll, None)  # until its end is closed
    await runner.cleanup()
