"""The Here to Help API over HTTP: one call sends at most one request and says what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import orjson
from pydantic import SecretStr
from yarl import URL

from pipelines.adapters.certificates import build_context
from pipelines.adapters.here_to_help.reasons import read_reason
from pipelines.adapters.here_to_help.replies import (
    Reply,
    StoredRequest,
    Unreadable,
    read_bare_id,
    read_created,
    read_stored,
    read_stored_list,
    read_success,
)
from pipelines.adapters.pace import pace_of
from pipelines.adapters.wire import Wire, header_text, open_wire, parse_endpoint

T = TypeVar("T")

Payload = Mapping[str, Any]
_NOTHING: Payload = MappingProxyType({})
_ANSWER_BYTES = 4 << 20  # a resident may have many requests with many notes; more than this is no answer


class HereToHelp(Protocol):
    """The open API. `destination` names it in receipts: scheme, host, port and path, nothing secret.

    Whatever goes wrong on the wire is a `Reply`; ids are those that the API gave.
    """

    @property
    def destination(self) -> str:
        """The API's URL in one canonical spelling."""

    async def post_help_request(self, payload: Payload) -> Reply[int]:
        """Finds or creates resident and help request, adds `CaseNotes` as a note: gives the help request's id.

        A repeat without `CaseNotes` adds nothing if the payload has a deduplication key. 201 says that it is there,
        not that it is new. After a refusal with 400 the resident, and even the request, may be there; the note is not.

        Raises:
            ValueError: If the payload has no form in JSON.
        """

    async def get_help_request(self, help_request_id: int) -> Reply[StoredRequest]:
        """Reads one help request with its notes."""

    async def post_case_note(self, resident_id: int, help_request_id: int, text: str) -> Reply[int]:
        """Adds a note, one more each time: gives the note's id.

        Raises:
            ValueError: If the text has no form in JSON.
        """

    async def get_resident_requests(
        self, resident_id: int, include_type: str | None = None
    ) -> Reply[tuple[StoredRequest, ...]]:
        """Lists a resident's help requests, none for a resident that is not there; those of type `EUSS` if named."""

    async def post_resident_request(self, resident_id: int, payload: Payload) -> Reply[int]:
        """Adds a help request to a resident, one more each time: gives its id.

        Raises:
            ValueError: If the payload has no form in JSON.
        """

    async def ping(self) -> Reply[bool]:
        """Asks whether the API is well and lets us in; stores nothing."""


@asynccontextmanager
async def open_here_to_help(
    url: str,
    api_key: SecretStr,
    *,
    authority: bytes | None = None,
    connections: int = 16,
    calls_per_second: float | None = 90,
    connect_seconds: float = 10,
    total_seconds: float = 40,
) -> AsyncIterator[HereToHelp]:
    """Opens the API at `url`; the first connection is made by the first call.

    Args:
        url: What the paths of the calls are joined to, up to `/api`: `https://`, or `http://` for a loopback host.
        api_key: Sent with every request.
        authority: PEM of the authorities to trust instead of the system's.
        connections: How many calls may be under way at once.
        calls_per_second: Over all who call this URL in this process; None for no limit.
        connect_seconds: Limit for connecting, the TLS handshake included.
        total_seconds: Limit for a whole request: longer than the gateway's own of 29, whose answer says more than none.

    Raises:
        ValueError: If the URL is not one of the forms above. The message does not repeat it.
        CredentialError: If the key or the authority can't be used.
    """
    endpoint = parse_endpoint(url)
    destination = str(endpoint).rstrip("/")
    # To read the system's authorities takes longer than a dozen calls, and over http nobody asks for them.
    is_verified = endpoint.scheme == "https" or authority is not None
    headers = {
        "x-api-key": header_text(api_key, "the API key"),
        "Accept-Encoding": "identity",  # so that what is read is bounded by what is sent
    }
    async with open_wire(
        build_context(None, None, authority) if is_verified else None,
        headers,
        connections=connections,
        connect_seconds=connect_seconds,
        total_seconds=total_seconds,
        pace=None if calls_per_second is None else partial(pace_of(destination).wait, calls_per_second),
    ) as wire:
        yield _Api(destination, wire)


@dataclass(frozen=True, slots=True)
class _Api:
    destination: str
    _wire: Wire = field(repr=False)

    async def post_help_request(self, payload: Payload) -> Reply[int]:
        return await self._post("v3/help-requests", payload, read_created)

    async def get_help_request(self, help_request_id: int) -> Reply[StoredRequest]:
        return await self._call("GET", f"v3/help-requests/{help_request_id:d}", read_stored)

    async def post_case_note(self, resident_id: int, help_request_id: int, text: str) -> Reply[int]:
        path = f"{_requests_of(resident_id)}/{help_request_id:d}/case-notes"
        return await self._post(path, {"CaseNote": text}, read_created)

    async def get_resident_requests(
        self, resident_id: int, include_type: str | None = None
    ) -> Reply[tuple[StoredRequest, ...]]:
        query = {} if include_type is None else {"includeType": include_type}
        return await self._call("GET", _requests_of(resident_id), read_stored_list, query=query)

    async def post_resident_request(self, resident_id: int, payload: Payload) -> Reply[int]:
        return await self._post(_requests_of(resident_id), payload, read_bare_id)

    async def ping(self) -> Reply[bool]:
        return await self._call("GET", "v3/healthcheck/ping", read_success)

    async def _post(self, path: str, payload: Payload, read: Callable[[bytes], T]) -> Reply[T]:
        return await self._call("POST", path, read, payload=payload)

    async def _call(
        self,
        method: str,
        path: str,
        read: Callable[[bytes], T],
        *,
        payload: Payload = _NOTHING,
        query: Mapping[str, str] = _NOTHING,
    ) -> Reply[T]:
        url = URL(f"{self.destination}/{path}", encoded=True)
        if query:
            url = url.with_query(query)
        body = _write(payload) if method == "POST" else None
        headers = {"Content-Type": "application/json"}
        answer, said = await self._wire.send(method, url, body=body, headers=headers, answer_bytes=_ANSWER_BYTES)
        if answer.status is None:
            return Reply(answer)
        if not 200 <= answer.status < 300:
            return Reply(answer, reason=read_reason(said, payload.keys()))
        try:
            return Reply(answer, None if said is None else read(said))
        except Unreadable:
            return Reply(answer)


def _requests_of(resident_id: int) -> str:
    return f"v4/residents/{resident_id:d}/help-requests"


def _write(payload: Payload) -> bytes:
    try:
        return orjson.dumps(dict(payload))
    except orjson.JSONEncodeError:
        raise ValueError("the payload has no form in JSON") from None
