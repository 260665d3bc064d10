"""The other sides of what is sent: each takes what it gets over TLS, answers after a while, and hardly does more.

The sandbox's stand-ins keep all that they get on disk, which costs more than to send it does: that would be what is
measured.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import orjson
import uvloop
from aiohttp import web
from pydantic import SecretStr

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.https import Credentials
from pipelines.sandbox.certificates import Certificates
from pipelines.sandbox.here_to_help.fields import lay_out

ANSWER_SECONDS = 0.02

Calls = Counter[str]
"""How often each kind of call was answered."""

Handler = Callable[[web.Request], Awaitable[web.Response]]

Make = Callable[[web.Application, str, Calls], None]
"""Teaches a server its routes; it answers those who send the key."""


@contextmanager
def other_side(certificates: Certificates, limits: Limits) -> Iterator[Endpoint]:
    """Takes objects, over mutual TLS.

    Raises:
        EOFError: it did not start.
    """
    with _running(_take_objects, certificates, ssl.CERT_REQUIRED) as running:
        credentials = Credentials(
            SecretStr(running.key), certificates.client.read_bytes(), authority=certificates.authority.read_bytes()
        )
        yield Endpoint("sandbox://aae", running.url, credentials, limits)


@contextmanager
def residents_side(certificates: Certificates) -> Iterator[Running]:
    """Takes help requests and notes; whoever asks gets a request without notes.

    Raises:
        EOFError: it did not start.
    """
    with _running(_take_residents, certificates, ssl.CERT_NONE) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Running:
    """A server in a process of its own."""

    url: str
    key: str
    _caller: Connection

    def calls(self) -> Mapping[str, int]:
        """How often each kind of call was answered so far."""
        self._caller.send("calls")
        calls: Mapping[str, int] = self._caller.recv()
        return calls


@contextmanager
def _running(make: Make, certificates: Certificates, who: ssl.VerifyMode) -> Iterator[Running]:
    key = secrets.token_hex(16)
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(make, certificates, who, key, theirs))
    process.start()
    theirs.close()
    try:
        yield Running(ours.recv(), key, ours)
    finally:
        ours.close()
        process.join()


def _serve(make: Make, certificates: Certificates, who: ssl.VerifyMode, key: str, caller: Connection) -> None:
    uvloop.run(_answer(make, certificates, who, key, caller))


async def _answer(make: Make, certificates: Certificates, who: ssl.VerifyMode, key: str, caller: Connection) -> None:
    trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    trust.load_cert_chain(certificates.server)
    trust.verify_mode = who
    app, calls = web.Application(), Calls()
    make(app, key, calls)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=trust).start()
    caller.send(f"https://127.0.0.1:{runner.addresses[0][1]}")
    while await asyncio.to_thread(_is_asked, caller):  # until the other end is closed
        caller.send(calls)
    await runner.cleanup()


def _is_asked(caller: Connection) -> bool:
    try:
        caller.recv()
    except EOFError:
        return False
    return True


def _take_objects(app: web.Application, key: str, _: Calls) -> None:
    async def take(request: web.Request) -> web.Response:
        if request.headers.get("Ocp-Apim-Subscription-Key") != key:
            return web.Response(status=401)
        await request.read()
        await asyncio.sleep(ANSWER_SECONDS)
        return web.Response(status=201)

    app.router.add_put("/{name}", take)


def _take_residents(app: web.Application, key: str, calls: Calls) -> None:
    ids = itertools.count(1)

    def answer(kind: str, say: Callable[[web.Request], object], status: int) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            if request.headers.get("x-api-key") != key:
                return web.Response(status=403)
            await request.read()
            await asyncio.sleep(ANSWER_SECONDS)
            calls[kind] += 1
            return web.Response(status=status, body=orjson.dumps(say(request)), content_type="application/json")

        return handle

    def create(_: web.Request) -> object:
        return {"Id": next(ids)}

    def show(request: web.Request) -> object:
        one = int(request.match_info["id"])
        return lay_out(one, one, {"CaseNotes": "[]", "HelpNeeded": "Shielding", "Postcode": "N16 5AA"})

    app.router.add_post("/v3/help-requests", answer("requests", create, 201))
    app.router.add_get("/v3/help-requests/{id}", answer("reads", show, 200))
    app.router.add_post("/v4/residents/{resident}/help-requests/{id}/case-notes", answer("notes", create, 201))
