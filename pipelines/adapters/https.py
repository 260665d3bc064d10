"""An HTTPS endpoint that takes objects by PUT: one `put` sends at most one request and says what became of it.

Here: the wire. Not here: what an answer means, and whether and when to send again (the delivery policy decides).
"""

import asyncio
import io
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import SecretStr
from yarl import URL

from pipelines.adapters.certificates import CredentialError, build_context
from pipelines.core.delivery import Answer, Failure

__all__ = ["CredentialError", "Credentials", "Https", "open_https", "read_retry_after"]

_NO_QUERY: Mapping[str, str] = MappingProxyType({})
_WHOLE_BYTES = 64 << 10  # of a body: written in one go up to this size
_BODY_BYTES = 4096  # of an answer: read so that its connection can serve again, then dropped
# Alerts by which the other side refuses our certificate, and with it the request.
_REFUSAL = re.compile(r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|HANDSHAKE_FAILURE|ACCESS_DENIED|DECRYPT_ERROR)$")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are and whom we trust.

    Attributes:
        subscription_key: Sent with every request.
        certificate: The client certificate with its key, a PEM bundle or PKCS12; which one is detected.
        password: Of the certificate's key.
        authority: PEM of the authorities to trust instead of the system's.
    """

    subscription_key: SecretStr
    certificate: bytes | None = field(default=None, repr=False)
    password: SecretStr | None = None
    authority: bytes | None = field(default=None, repr=False)


class Https(Protocol):
    """An open endpoint. `destination` names it in receipts: scheme, host, port and path, nothing secret."""

    @property
    def destination(self) -> str:
        """The endpoint's URL in one canonical spelling."""

    async def put(self, name: str, body: bytes, *, content_type: str, query: Mapping[str, str] = _NO_QUERY) -> Answer:
        """Sends `body` as the object `name`, in one request at most.

        Waiting for a free connection does not count towards the time limit.

        Raises:
            ValueError: If `name` is not one path segment. Whatever goes wrong on the wire is an `Answer`.
        """

    async def head(self) -> Answer:
        """Asks for the endpoint itself and stores nothing: are wire, certificate and key right?

        Any status but 401 and 403 says so: an endpoint that takes objects by PUT need not answer to anything else.
        """


@asynccontextmanager
async def open_https(
    url: str, credentials: Credentials, *, connections: int = 16, connect_seconds: float = 10, total_seconds: float = 30
) -> AsyncIterator[Https]:
    """Opens the endpoint at `url`; the first connection is made by the first `put`.

    Args:
        url: `https://`, or `http://` for a loopback host.
        credentials: Used for every request.
        connections: How many requests may be under way at once.
        connect_seconds: Limit for connecting, the TLS handshake included.
        total_seconds: Limit for a whole request.

    Raises:
        ValueError: If the URL is not one of the forms above. The message does not repeat it.
        CredentialError: If a credential can't be used.
    """
    endpoint = _parse_endpoint(url)
    key = credentials.subscription_key.get_secret_value()
    if not re.fullmatch(r"[!-~]+", key):
        raise CredentialError("the subscription key is empty or holds a character that a header can't carry")
    context = build_context(credentials.certificate, credentials.password, credentials.authority)
    context.sslobject_class = _Connection
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),
        headers={"Ocp-Apim-Subscription-Key": key},
        timeout=aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        middlewares=[_send_once],
        trace_configs=[_trace_sending()],
    ) as session:
        yield _Endpoint(endpoint, session, asyncio.Semaphore(connections))


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


@dataclass(frozen=True, slots=True)
class _Endpoint:
    _url: URL
    _session: aiohttp.ClientSession = field(repr=False)
    _slots: asyncio.Semaphore = field(repr=False)

    @property
    def destination(self) -> str:
        return str(self._url).rstrip("/")

    async def put(self, name: str, body: bytes, *, content_type: str, query: Mapping[str, str] = _NO_QUERY) -> Answer:
        if not name or "/" in name or name in {".", ".."}:
            raise ValueError("the name of an object is one path segment")
        address = f"{self.destination}/{quote(name, safe='')}"
        if query:
            address += f"?{urlencode(query, quote_via=quote)}"
        # Large bytes as a file: aiohttp warns of them, since it writes them in one go.
        data = body if len(body) <= _WHOLE_BYTES else io.BytesIO(body)
        return await self._ask("PUT", address, data=data, headers={"Content-Type": content_type})

    async def head(self) -> Answer:
        return await self._ask("HEAD", self.destination)

    async def _ask(self, method: str, address: str, **parts: Any) -> Answer:
        attempt = _Attempt()
        _attempts.set(attempt)
        answer: Answer | None = None
        try:
            async with (
                self._slots,
                self._session.request(method, URL(address, encoded=True), allow_redirects=False, **parts) as response,
            ):
                answer = _read_answer(response)
                await response.content.readexactly(_BODY_BYTES)
        except (aiohttp.ClientError, OSError, EOFError) as error:  # TimeoutError is an OSError
            return answer or _explain(error, attempt)
        return answer


def _parse_endpoint(url: str) -> URL:
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


def _trace_sending() -> aiohttp.TraceConfig:
    async def note(*_: object) -> None:
        _attempts.get().sent = True

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(note)
    return trace


def _read_answer(response: aiohttp.ClientResponse) -> Answer:
    now = datetime.now(UTC)
    return Answer(status=response.status, retry_after=read_retry_after(response.headers.get("Retry-After"), now))


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
