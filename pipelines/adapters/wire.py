"""Requests over HTTP, each sent once at most: what came back, or what is known when nothing did.

Here: the wire that every adapter of an HTTP endpoint shares. Not here: what is sent, and what an answer means.
"""

import asyncio
import io
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

import aiohttp
from aiohttp.connector import Connection
from pydantic import SecretStr
from yarl import URL

from pipelines.adapters.certificates import CredentialError
from pipelines.core.delivery import Answer, Failure

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_WHOLE_BYTES = 64 << 10  # of a body: written in one go up to this size
# Alerts by which the other side refuses our certificate, and with it the request.
_REFUSAL = re.compile(r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED|DECRYPT_ERROR)$")


@dataclass(frozen=True, slots=True)
class Wire:
    """An open wire; see `open_wire`."""

    _session: aiohttp.ClientSession = field(repr=False)
    _slots: asyncio.Semaphore = field(repr=False)
    _pace: Callable[[], Awaitable[None]] | None = field(repr=False)

    async def send(
        self,
        method: str,
        url: URL,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
        answer_bytes: int = 4096,
    ) -> tuple[Answer, bytes | None]:
        """Sends one request at most. Waiting for one's turn does not count towards the time limit.

        Returns:
            What became of it, whatever goes wrong on the wire; and the body of the answer, None if there is none, if it
            was not whole, or if it is longer than `answer_bytes`.
        """
        attempt = _Attempt()
        _attempts.set(attempt)
        answer: Answer | None = None
        # Large bytes as a file: aiohttp warns of them, since it writes them in one go.
        data = body if body is None or len(body) <= _WHOLE_BYTES else io.BytesIO(body)
        try:
            async with self._slots:
                if self._pace is not None:
                    await self._pace()
                async with self._session.request(
                    method, url, data=data, headers=headers, allow_redirects=False
                ) as response:
                    answer = _read_answer(response)
                    return answer, await _read_whole(response, answer_bytes)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return answer or _explain(error, attempt), None


@asynccontextmanager
async def open_wire(
    context: ssl.SSLContext | None,
    headers: Mapping[str, str],
    *,
    connections: int,
    connect_seconds: float,
    total_seconds: float,
    pace: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Wire]:
    """Opens a wire; the first connection is made by the first request. No redirect, proxy or cookie is used.

    Args:
        context: Whom to trust, and who we are; None for a wire that is plain.
        headers: Sent with every request.
        connections: How many requests may be under way at once.
        connect_seconds: Limit for connecting, the TLS handshake included.
        total_seconds: Limit for a whole request.
        pace: Returns when the next request may be sent; None if at once.
    """
    if context is not None:
        context.sslobject_class = _Connection
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context or True, limit=0),
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=[_send_once],
        request_class=_Request,
    ) as session:
        yield Wire(session, asyncio.Semaphore(connections), pace)


def parse_endpoint(url: str) -> URL:
    """Reads the URL of an endpoint: `https://`, or `http://` for a loopback host.

    Raises:
        ValueError: If it is not one of these forms. The message does not repeat it.
    """
    try:
        endpoint = URL(url)
    except ValueError:
        raise ValueError("not a readable URL") from None
    if endpoint.scheme not in {"https", "http"}:
        raise ValueError(f"the scheme {endpoint.scheme!r} is not known; known are https, and http for loopback hosts")
    if endpoint.user is not None or endpoint.password is not None:
        raise ValueError("a URL with a user or password in it is refused: credentials stand beside it")
    if not endpoint.host or endpoint.query_string or endpoint.fragment:
        raise ValueError("the URL needs a host, and takes neither query nor fragment")
    if endpoint.scheme == "http" and not _is_loopback(endpoint.host):
        raise ValueError("http is for loopback hosts only; use https")
    return endpoint


def header_text(secret: SecretStr, noun: str) -> str:
    """The text of a secret that a header is to carry.

    Raises:
        CredentialError: If no header can carry it. The message has `noun` in its place.
    """
    text = secret.get_secret_value()
    if not re.fullmatch(r"[!-~]+", text):
        raise CredentialError(f"{noun} is empty or holds a character that a header can't carry")
    return text


def read_retry_after(value: str | None, now: datetime) -> float | None:
    """Reads a Retry-After header, whole seconds or an HTTP date, as seconds from `now`; None if it is neither."""
    if value is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", value.strip()):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())
    except (ValueError, OverflowError):
        return None


@dataclass(slots=True)
class _Attempt:
    """How far one request came."""

    sent: bool = False
    refused: bool = False


_attempts: ContextVar[_Attempt] = ContextVar("attempts")  # of the running task, or of the one that opened a connection


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request again by itself when the connection is lost.

    It does so, with a pooled or a new connection alike, on these two exceptions and only on them; their parent passes.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise aiohttp.ClientConnectionError("not sent again") from error


class _Request(aiohttp.ClientRequest):
    """Notes the moment in which there is a connection and writing begins; a trace would cost a tenth of the request."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        _attempts.get().sent = True
        return await super().send(conn)


class _Connection(ssl.SSLObject):
    """The TLS side of a connection, in the two moments that aiohttp does not let us see."""

    def read(self, *args: Any, **kwargs: Any) -> bytes:
        """Notes a refusal: under TLS 1.3 it may come so late that aiohttp reports a failed write in its place."""
        try:
            return super().read(*args, **kwargs)
        except ssl.SSLError as error:
            if _REFUSAL.search(error.reason or ""):
                _attempts.get().refused = True
            raise

    def unwrap(self) -> None:
        """Says goodbye without waiting for the reply: a server that hangs would hold the connection for long."""
        with suppress(ssl.SSLWantReadError):
            super().unwrap()


def _read_answer(response: aiohttp.ClientResponse) -> Answer:
    now = datetime.now(UTC)
    return Answer(status=response.status, retry_after=read_retry_after(response.headers.get("Retry-After"), now))


async def _read_whole(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The body, if it is whole and not longer than `limit`: then its connection serves again, else it is closed."""
    body = await response.content.read(limit + 1)
    while len(body) <= limit and not response.content.at_eof():
        body += await response.content.read(limit + 1 - len(body))
    return body if len(body) <= limit else None


def _explain(error: BaseException, attempt: _Attempt) -> Answer:
    maybe_received = attempt.sent and not attempt.refused
    if isinstance(error, TimeoutError):
        return Answer(failure=Failure.TIMEOUT, maybe_received=maybe_received)
    if attempt.refused or _is_caused_by_tls(error):
        return Answer(failure=Failure.TLS, maybe_received=maybe_received)
    return Answer(failure=Failure.CONNECTION, maybe_received=maybe_received)


def _is_caused_by_tls(error: BaseException | None) -> bool:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return False  # the connection just ended, which is no fault of TLS
    return isinstance(error, ssl.SSLError) or (error is not None and _is_caused_by_tls(error.__cause__))
