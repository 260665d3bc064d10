"""The stand-in of the Here to Help API on the wire: its gateway, its routes, its answers; on this machine only."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from pipelines.sandbox.here_to_help.behaviour import Behaviour, Behaviours, Call, Throttle
from pipelines.sandbox.here_to_help.reading import BadJson, Problems, read_json, read_note, read_number, read_request
from pipelines.sandbox.here_to_help.service import (
    Gap,
    file_case,
    file_help_request,
    file_note,
    list_requests,
    show_request,
)
from pipelines.sandbox.here_to_help.store import Counts, Store
from pipelines.sandbox.running import running_in_a_thread

_BODY_BYTES = 10 << 20  # what the gateway takes
_BEHAVIOURS = TypeAdapter(list[Behaviour])
_MESSAGES: dict[int, str] = {
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.TOO_MANY_REQUESTS: "Too Many Requests",
    HTTPStatus.GATEWAY_TIMEOUT: "Endpoint request timed out",
}

Act = Callable[[web.Request, object], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Received:
    """One request, as the journal has it, without anything that it said.

    Attributes:
        call: Which one.
        status: The answer; ``None`` if the connection was cut.
        carried_out: Whether it was let through to the API, which may have refused it.
    """

    call: Call
    status: int | None
    carried_out: bool


class HereToHelp:
    """The running stand-in. Its methods may be called from any thread.

    Attributes:
        url: What the paths of the calls are joined to.
        gap: What happens between looking up and writing while requests run at once; ``None`` lets in one at a time.
        throttle: The gateway's; ``None`` lets everything through.
    """

    def __init__(self, store: Store, key: str, gap: Gap | None, throttle: Throttle | None) -> None:
        self.url = ""
        self.gap = gap
        self.throttle = throttle
        self._store = store
        self._key = key.encode()
        self._behaviours = Behaviours()
        self._received: list[Received] = []

    def behave(self, *behaviours: Behaviour) -> None:
        """Replaces what was told before; the first that fits a request and is not used up is followed.

        Without arguments all is well again.
        """
        self._behaviours.tell(*behaviours)

    def received(self) -> list[Received]:
        """All requests since it runs, in the order in which they were answered."""
        return list(self._received)

    def count(self) -> Counts:
        """How many residents, help requests and notes there are."""
        return self._store.count()

    def digest(self, note: Callable[[str], str] = str) -> str:
        """What is stored in one text; see ``Store.digest``."""
        return self._store.digest(note)

    def contents(self, note: Callable[[str], str] = str) -> list[Any]:
        """What is stored; see ``Store.contents``."""
        return self._store.contents(note)

    def routes(self) -> list[web.RouteDef]:
        """All calls."""
        requests = "/api/v4/residents/{resident}/help-requests"
        return [
            web.post("/api/v3/help-requests", self._through(Call.POST_HELP_REQUEST, self._post_help_request)),
            web.get("/api/v3/help-requests/{request}", self._through(Call.GET_HELP_REQUEST, self._get_help_request)),
            web.post(f"{requests}/{{request}}/case-notes", self._through(Call.POST_CASE_NOTE, self._post_case_note)),
            web.get(requests, self._through(Call.GET_RESIDENT_REQUESTS, self._get_resident_requests)),
            web.post(requests, self._through(Call.POST_RESIDENT_REQUEST, self._post_resident_request)),
            web.get("/api/v3/healthcheck/ping", self._through(Call.PING, self._ping)),
            web.put("/sandbox/behaviour", self._accept_behaviour),
        ]

    def _through(self, call: Call, act: Act) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Puts the gateway, the behaviours and the journal around a call."""

        async def handle(request: web.Request) -> web.Response:
            turned_away = self._turn_away(request)
            if turned_away is not None:
                self._received.append(Received(call, turned_away.status, carried_out=False))
                return turned_away
            raw = read_json(await request.read())
            behaviour = self._behaviours.choose(call, _last_name(raw))
            await asyncio.sleep(behaviour.delay)
            response = web.Response()
            if behaviour.carries_out:
                response = await self._act(act, request, raw)
            if behaviour.status is not None:
                response = _misbehave(behaviour, behaviour.status, raw)
            await asyncio.sleep(behaviour.wait)
            status = None if behaviour.cut else response.status
            self._received.append(Received(call, status, behaviour.carries_out))
            if behaviour.cut and request.transport:
                request.transport.abort()
            return response

        return handle

    def _turn_away(self, request: web.Request) -> web.Response | None:
        if not self._is_authorised(request):
            return _message(HTTPStatus.FORBIDDEN)
        if self.throttle is not None and not self.throttle.take():
            return _message(HTTPStatus.TOO_MANY_REQUESTS)
        return None

    def _is_authorised(self, request: web.Request) -> bool:
        sent = request.headers.get("x-api-key", "")
        return secrets.compare_digest(sent.encode(errors="surrogateescape"), self._key)

    async def _act(self, act: Act, request: web.Request, raw: object) -> web.Response:
        try:
            return await act(request, raw)
        except BadJson as bad:
            return _problem(bad.problems)
        except Exception as error:
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR, text=str(error))

    async def _post_help_request(self, _: web.Request, raw: object) -> web.Response:
        fields = read_request(raw)
        try:
            request_id = await file_help_request(self._store, fields, self.gap or _no_gap)
        except Exception:
            what = traceback.format_exc(limit=-1)
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"Record not created. {what}")
        location = {"Location": f"api/v3/help-requests/{request_id}"}
        return _json({"Id": request_id}, HTTPStatus.CREATED, location)

    async def _get_help_request(self, request: web.Request, _: object) -> web.Response:
        found = show_request(self._store, read_number(request.match_info["request"]))
        return _not_found() if found is None else _json(found)

    async def _post_case_note(self, request: web.Request, raw: object) -> web.Response:
        resident, of = (read_number(request.match_info[each]) for each in ("resident", "request"))
        return _json(file_note(self._store, resident, of, read_note(raw)), HTTPStatus.CREATED)

    async def _get_resident_requests(self, request: web.Request, _: object) -> web.Response:
        resident = read_number(request.match_info["resident"])
        return _json(list_requests(self._store, resident, request.query.get("includeType")))

    async def _post_resident_request(self, request: web.Request, raw: object) -> web.Response:
        resident = read_number(request.match_info["resident"])
        return _json(file_case(self._store, resident, read_request(raw)), HTTPStatus.CREATED)

    async def _ping(self, _: web.Request, __: object) -> web.Response:
        return _json({"success": True})

    async def _accept_behaviour(self, request: web.Request) -> web.Response:
        """Handles a PUT of a JSON list of behaviours, for callers in another process."""
        if not self._is_authorised(request):
            return _message(HTTPStatus.FORBIDDEN)
        try:
            self.behave(*_BEHAVIOURS.validate_json(await request.read()))
        except ValidationError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))
        return web.Response(status=HTTPStatus.NO_CONTENT)


async def give_way() -> None:
    """The smallest gap: whatever else is ready goes first."""
    await asyncio.sleep(0)


@asynccontextmanager
async def serve(
    folder: Path, key: str, port: int = 0, *, gap: Gap | None = None, throttle: Throttle | None = None
) -> AsyncIterator[HereToHelp]:
    """Runs the stand-in on 127.0.0.1 in this event loop.

    Args:
        folder: For what it stores; made if absent.
        key: The API key that it demands.
        port: To listen at; 0 takes a free one.
        gap: See `HereToHelp`; ``give_way`` lets requests race as they do there.
        throttle: See `HereToHelp`.

    Raises:
        OSError: If the port is taken.
    """
    with closing(Store(folder)) as store:
        api = HereToHelp(store, key, gap, throttle)
        app = web.Application(client_max_size=_BODY_BYTES)
        app.router.add_routes(api.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
            yield api
        finally:
            await runner.cleanup()


@contextmanager
def running(
    folder: Path, key: str, port: int = 0, *, gap: Gap | None = None, throttle: Throttle | None = None
) -> Iterator[HereToHelp]:
    """Runs the stand-in in a thread, for callers without an event loop; see `serve`."""

    def start() -> AbstractAsyncContextManager[HereToHelp]:
        return serve(folder, key, port, gap=gap, throttle=throttle)

    with running_in_a_thread(start, "sandbox-here-to-help") as api:
        yield api


async def _no_gap() -> None:
    """Awaits nothing, so that a request runs from its first step to its last before any other."""


def _last_name(raw: object) -> str:
    name = raw.get("LastName") if isinstance(raw, dict) else None
    return name if isinstance(name, str) else ""


def _misbehave(behaviour: Behaviour, status: int, raw: object) -> web.Response:
    headers = {"Retry-After": behaviour.retry_after, "Location": behaviour.location}
    response = _message(status)
    if behaviour.body is not None:
        response = web.Response(status=status, text=behaviour.body)
    elif status == HTTPStatus.BAD_REQUEST:
        # What went wrong is told with the values at hand, as database drivers do.
        text = f"Record not created. System.InvalidOperationException: refused {raw}\n   at Gateway.Create(HelpRequest)"
        response = web.Response(status=status, text=text)
    response.headers.update({name: value for name, value in headers.items() if value is not None})
    return response


def _json(body: object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, content_type="application/json", charset="utf-8", headers=headers
    )


def _message(status: int) -> web.Response:
    return _json({"message": _MESSAGES.get(status, "Internal server error")}, status)


def _not_found() -> web.Response:
    body = {"title": "Not Found", "status": HTTPStatus.NOT_FOUND}
    return web.Response(body=orjson.dumps(body), status=HTTPStatus.NOT_FOUND, content_type="application/problem+json")


def _problem(problems: Problems) -> web.Response:
    body = {
        "title": "One or more validation errors occurred.",
        "status": HTTPStatus.BAD_REQUEST,
        "errors": problems,
    }
    return web.Response(body=orjson.dumps(body), status=HTTPStatus.BAD_REQUEST, content_type="application/problem+json")
