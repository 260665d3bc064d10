"""An HTTPS endpoint that takes objects by PUT: one `put` sends at most one request and says what became of it.

Here: the wire. Not here: what an answer means, and whether and when to send again (the delivery policy decides).
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote, urlencode

from pydantic import SecretStr
from yarl import URL

from pipelines.adapters.certificates import CredentialError, build_context
from pipelines.adapters.wire import Wire, header_text, open_wire, parse_endpoint, read_retry_after
from pipelines.core.delivery import Answer

__all__ = ["CredentialError", "Credentials", "Https", "open_https", "read_retry_after"]

_NO_QUERY: Mapping[str, str] = MappingProxyType({})


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
    endpoint = parse_endpoint(url)
    headers = {"Ocp-Apim-Subscription-Key": header_text(credentials.subscription_key, "the subscription key")}
    context = build_context(credentials.certificate, credentials.password, credentials.authority)
    async with open_wire(
        context, headers, connections=connections, connect_seconds=connect_seconds, total_seconds=total_seconds
    ) as wire:
        yield _Endpoint(endpoint, wire)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    _url: URL
    _wire: Wire = field(repr=False)

    @property
    def destination(self) -> str:
        return str(self._url).rstrip("/")

    async def put(self, name: str, body: bytes, *, content_type: str, query: Mapping[str, str] = _NO_QUERY) -> Answer:
        if not name or "/" in name or name in {".", ".."}:
            raise ValueError("the name of an object is one path segment")
        address = f"{self.destination}/{quote(name, safe='')}"
        if query:
            address += f"?{urlencode(query, quote_via=quote)}"
        headers = {"Content-Type": content_type}
        answer, _ = await self._wire.send("PUT", URL(address, encoded=True), body=body, headers=headers)
        return answer

    async def head(self) -> Answer:
        answer, _ = await self._wire.send("HEAD", URL(self.destination, encoded=True))
        return answer
