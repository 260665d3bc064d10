"""A stand-in for the Advanced Analytics Environment: takes objects by PUT over mutual TLS, on this machine only.

Here: what the real one is known to demand (a client certificate, a subscription key) and every way in which it, or the
way to it, may fail, on demand. Not here: certificates, and what is sent to it.
"""

import asyncio
import hashlib
import secrets
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from fnmatch import fnmatchcase
from http import HTTPStatus
from itertools import count
from pathlib import Path

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from pipelines.sandbox.certificates import Certificates
from pipelines.sandbox.running import running_in_a_thread

_PATH = "/c19appdata"
_BODY_BYTES = 1 << 30
_NAME_BYTES = 255  # what file systems take


class Cut(StrEnum):
    """When the connection ends without an answer: before or after the object was kept."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How requests are treated that come with a valid key. An object is kept if the status is a 2xx.

    Attributes:
        status: The answer.
        times: For how many requests; None for all.
        names: Shell pattern of the objects' names that it is for.
        delay: Seconds before the answer, or before the cut.
        retry_after: The header's text, seconds or an HTTP date.
        location: The header's text, for redirects.
        cut: Whether the connection is cut in place of the answer.
    """

    status: int = HTTPStatus.CREATED
    times: int | None = None
    names: str = "*"
    delay: float = 0
    retry_after: str | None = None
    location: str | None = None
    cut: Cut | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One PUT, as the journal has it.

    Attributes:
        time: When it was answered, ISO 8601 in UTC.
        name: Of the object, unquoted.
        query: Its parameters.
        content_type: As sent.
        size: Bytes of the body; 0 if the key was wrong, since the body is not read then.
        sha256: Of the body, empty in that case.
        status: The answer; None if the connection was cut.
        kept: Whether the object was taken in.
    """

    time: str
    name: str
    query: dict[str, str]
    content_type: str
    size: int
    sha256: str
    status: int | None
    kept: bool


_RECEIVED = TypeAdapter(Received)
_BEHAVIOURS = TypeAdapter(list[Behaviour])


class Aae:
    """The running stand-in. Its methods may be called from any thread.

    Attributes:
        folder: `objects/` has the newest version of each object by name, `versions/` every version by its sha256,
            `received.jsonl` a line for each request.
        url: Where objects are PUT, each under its name.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.url = ""
        self._key = key
        self._lock = threading.Lock()
        self._told: list[tuple[Behaviour, Iterator[int]]] = []
        for each in (folder, folder / "objects", folder / "versions"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal = folder / "received.jsonl"
        self._journal.touch(mode=0o600)

    def behave(self, *behaviours: Behaviour) -> None:
        """Replaces what was told before; the first that fits a request and is not used up is followed.

        Without arguments all is well again.
        """
        with self._lock:
            self._told = [(each, count() if each.times is None else iter(range(each.times))) for each in behaviours]

    def received(self) -> list[Received]:
        """All requests so far, those of earlier runs over the same folder included, oldest first."""
        with self._journal.open("rb") as lines:
            return [_RECEIVED.validate_json(line) for line in lines]

    async def accept_object(self, request: web.Request) -> web.Response:
        """Handles a PUT of an object."""
        name = request.match_info["name"]
        if not self._is_authorised(request):
            self._record(request, name, None, HTTPStatus.UNAUTHORIZED, kept=False)
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        body = await request.read()
        behaviour = self._choose_behaviour(name)
        if not _is_file_name(name):
            behaviour = Behaviour(status=HTTPStatus.BAD_REQUEST)
        await asyncio.sleep(behaviour.delay)
        kept = behaviour.status // 100 == 2 and behaviour.cut is not Cut.BEFORE
        if kept:
            self._keep(name, body)
        self._record(request, name, body, None if behaviour.cut else behaviour.status, kept=kept)
        if behaviour.cut and request.transport:
            request.transport.abort()
        headers = {"Retry-After": behaviour.retry_after, "Location": behaviour.location}
        return web.Response(status=behaviour.status, headers={k: v for k, v in headers.items() if v is not None})

    async def answer_head(self, request: web.Request) -> web.Response:
        """Handles a HEAD of the endpoint itself: whether the key is right."""
        return web.Response(status=HTTPStatus.OK if self._is_authorised(request) else HTTPStatus.UNAUTHORIZED)

    async def accept_behaviour(self, request: web.Request) -> web.Response:
        """Handles a PUT of a JSON list of behaviours, for callers in another process."""
        if not self._is_authorised(request):
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        try:
            self.behave(*_BEHAVIOURS.validate_json(await request.read()))
        except ValidationError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))
        return web.Response(status=HTTPStatus.NO_CONTENT)

    def _is_authorised(self, request: web.Request) -> bool:
        sent = request.headers.get("Ocp-Apim-Subscription-Key", "")
        return secrets.compare_digest(sent.encode(errors="surrogateescape"), self._key.encode())

    def _choose_behaviour(self, name: str) -> Behaviour:
        with self._lock:
            for behaviour, turns in self._told:
                if fnmatchcase(name, behaviour.names) and next(turns, None) is not None:
                    return behaviour
        return Behaviour()

    def _keep(self, name: str, body: bytes) -> None:
        version = self.folder / "versions" / hashlib.sha256(body).hexdigest()
        incoming = self.folder / secrets.token_hex(8)
        if not version.exists():
            incoming.write_bytes(body)
            incoming.replace(version)
        incoming.hardlink_to(version)
        incoming.replace(self.folder / "objects" / name)
        incoming.unlink(missing_ok=True)  # renaming a link onto another one of the same file leaves both

    def _record(self, request: web.Request, name: str, body: bytes | None, status: int | None, *, kept: bool) -> None:
        received = Received(
            time=datetime.now(UTC).isoformat(),
            name=name,
            query=dict(request.query),
            content_type=request.headers.get("Content-Type", ""),
            size=len(body or b""),
            sha256="" if body is None else hashlib.sha256(body).hexdigest(),
            status=status,
            kept=kept,
        )
        with self._journal.open("ab", buffering=0) as journal:  # one write: a reader never sees half a line
            journal.write(_RECEIVED.dump_json(received) + b"\n")


@asynccontextmanager
async def serve(folder: Path, certificates: Certificates, key: str, port: int = 0) -> AsyncIterator[Aae]:
    """Runs the stand-in on 127.0.0.1 in this event loop.

    Args:
        folder: For what it receives; made if absent.
        certificates: Of the server, and of the authority whose clients it lets in.
        key: The subscription key that it demands.
        port: To listen at; 0 takes a free one.

    Raises:
        OSError: If the port is taken.
    """
    aae = Aae(folder, key)
    app = web.Application(client_max_size=_BODY_BYTES)
    app.router.add_put(f"{_PATH}/{{name}}", aae.accept_object)
    app.router.add_head(_PATH, aae.answer_head)
    app.router.add_put("/sandbox/behaviour", aae.accept_behaviour)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=_demand_certificates(certificates))
        await site.start()
        aae.url = f"https://127.0.0.1:{runner.addresses[0][1]}{_PATH}"
        yield aae
    finally:
        await runner.cleanup()


@contextmanager
def running(folder: Path, certificates: Certificates, key: str, port: int = 0) -> Iterator[Aae]:
    """Runs the stand-in in a thread, for callers without an event loop; see `serve`."""
    with running_in_a_thread(lambda: serve(folder, certificates, key, port), "sandbox-aae") as aae:
        yield aae


class _Refusal(ssl.SSLObject):
    """Lets a refused client know: asyncio drops the alert when a handshake fails, but sends it while one goes on."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            raise ssl.SSLWantReadError from error


def _demand_certificates(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    context.load_cert_chain(certificates.server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslobject_class = _Refusal
    return context


def _is_file_name(name: str) -> bool:
    return name not in {".", ".."} and not {"/", "\0"} & set(name) and len(name.encode()) <= _NAME_BYTES
