"""One call is one request at most: what the API answers, and what is known when it does not."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pipelines.adapters.here_to_help import CredentialError, HereToHelp, Reply, open_here_to_help
from pipelines.core.delivery import Answer, Failure
from pipelines.sandbox.certificates import Certificates
from pipelines.sandbox.here_to_help import Behaviour, Call, Counts, Cut, Throttle, running
from pipelines.sandbox.here_to_help import HereToHelp as Sandbox
from pipelines_tests.adapters.wires import Handler, plain_server, port_of, read_request

KEY = "canary-key-31ad"
PAYLOAD: dict[str, Any] = {
    "FirstName": "Canaria",
    "LastName": "Canary-Smith",
    "NhsNumber": "1112223333",
    "HelpNeeded": "Shielding",
    "Metadata": {"spl_id": "canary-spl"},
}
Talk = Callable[[HereToHelp], Awaitable[Reply[Any]]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("api"), KEY) as api:
        yield api


@pytest.fixture
def api(server: Sandbox) -> Sandbox:
    server.behave()
    return server


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Sandbox]:
    """One with nothing in it."""
    with running(tmp_path / "api", KEY) as api:
        yield api


def ask(url: str, talk: Talk, key: str = KEY, **limits: Any) -> Reply[Any]:
    async def run() -> Reply[Any]:
        async with open_here_to_help(url, SecretStr(key), **{"calls_per_second": None} | limits) as here_to_help:
            return await talk(here_to_help)

    return asyncio.run(run())


def ask_plain(handler: Handler, talk: Talk, **limits: Any) -> Reply[Any]:
    async def run() -> Reply[Any]:
        opened = {"calls_per_second": None} | limits
        async with plain_server(handler) as url, open_here_to_help(url, SecretStr(KEY), **opened) as here_to_help:
            return await talk(here_to_help)

    return asyncio.run(run())


def saying(answer: bytes, status: str = "201 Created") -> Handler:
    """A server that says so to one request of any kind."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(answer)
        writer.close()

    return handle


async def post_one(here_to_help: HereToHelp) -> Reply[int]:
    return await here_to_help.post_help_request(PAYLOAD)


CALLS: dict[Call, Talk] = {
    Call.POST_HELP_REQUEST: post_one,
    Call.GET_HELP_REQUEST: lambda each: each.get_help_request(1),
    Call.POST_CASE_NOTE: lambda each: each.post_case_note(1, 1, "canary note"),
    Call.GET_RESIDENT_REQUESTS: lambda each: each.get_resident_requests(1),
    Call.POST_RESIDENT_REQUEST: lambda each: each.post_resident_request(1, {"HelpNeeded": "Shielding"}),
    Call.PING: lambda each: each.ping(),
}
every_call = pytest.mark.parametrize("call", Call)


# Answers


def test_each_call_does_what_it_says(fresh: Sandbox) -> None:
    async def talk(each: HereToHelp) -> Reply[bool]:
        text = '{"author": "a", "note": "quotes \\", 漢字 and\\nlines"}'
        assert await each.post_help_request(PAYLOAD) == Reply(Answer(status=201), 1)
        assert await each.post_help_request(PAYLOAD) == Reply(Answer(status=201), 1)
        assert await each.post_case_note(1, 1, text) == Reply(Answer(status=201), 1)
        stored = (await each.get_help_request(1)).body
        assert stored is not None
        assert (stored.id, stored.resident_id, stored.help_needed) == (1, 1, "Shielding")
        assert stored.case_notes == f"[{text}]"
        assert {name: stored.fields[name] for name in ("FirstName", "Metadata")} == {
            "FirstName": "Canaria",
            "Metadata": '{"spl_id": "canary-spl"}',
        }
        euss = {"HelpNeeded": "EUSS", "CallbackRequired": False}
        assert await each.post_resident_request(1, euss) == Reply(Answer(status=201), 2)
        for kind, ids in ((None, [1]), ("EUSS", [1, 2])):
            listed = (await each.get_resident_requests(1, kind)).body
            assert listed is not None
            assert [one.id for one in listed] == ids
            assert listed[0].case_notes == f"[{text}]"
        assert await each.get_resident_requests(99) == Reply(Answer(status=200), ())
        return await each.ping()

    assert ask(fresh.url, talk) == Reply(Answer(status=200), body=True)
    assert fresh.count() == Counts(residents=1, help_requests=2, case_notes=1)


def test_a_large_note_arrives_whole(fresh: Sandbox) -> None:
    text = "é" * 1_000_000

    async def talk(each: HereToHelp) -> Reply[Any]:
        await each.post_help_request(PAYLOAD)
        await each.post_case_note(1, 1, text)
        return await each.get_help_request(1)

    stored = ask(fresh.url, talk).body
    assert stored is not None
    assert stored.case_notes == f"[{text}]"


@every_call
@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 408, 409, 429, 500, 502, 503, 504])
def test_every_status_is_an_answer(api: Sandbox, call: Call, status: int) -> None:
    api.behave(Behaviour(status=status))
    reply = ask(api.url, CALLS[call])
    assert (reply.answer, reply.body) == (Answer(status=status), None)
    assert reply.is_unknown == (status in {408, 500, 502, 503, 504})


@every_call
def test_the_wrong_key_is_an_answer(api: Sandbox, call: Call) -> None:
    before = api.count()
    reply = ask(api.url, CALLS[call], key="another")
    assert (reply, reply.is_unknown) == (Reply(Answer(status=403)), False)
    assert api.count() == before


def test_what_is_not_there_is_an_answer(fresh: Sandbox) -> None:
    assert ask(fresh.url, CALLS[Call.GET_HELP_REQUEST]) == Reply(Answer(status=404))
    assert ask(fresh.url, CALLS[Call.POST_CASE_NOTE]) == Reply(Answer(status=500))
    assert ask(fresh.url, CALLS[Call.POST_RESIDENT_REQUEST]) == Reply(Answer(status=500))


def test_retry_after_is_read_in_both_forms(api: Sandbox) -> None:
    api.behave(Behaviour(status=429, retry_after="7"))
    assert ask(api.url, post_one) == Reply(Answer(status=429, retry_after=7))
    later = datetime.now(UTC) + timedelta(hours=1)
    api.behave(Behaviour(status=503, retry_after=format_datetime(later, usegmt=True)))
    seconds = ask(api.url, post_one).answer.retry_after
    assert seconds is not None
    assert 0 < seconds <= 3600


def test_the_gateways_own_limit_is_an_answer(tmp_path: Path) -> None:
    throttle = Throttle(rate=1, burst=1, clock=lambda: 0.0)
    with running(tmp_path, KEY, throttle=throttle) as api:
        assert ask(api.url, post_one).answer == Answer(status=201)
        reply = ask(api.url, post_one)
    assert (reply, reply.is_unknown) == (Reply(Answer(status=429)), False)


def test_a_row_is_refused_alone(api: Sandbox) -> None:
    api.behave(Behaviour(status=400, last_names="Planted"))

    async def talk(each: HereToHelp) -> Reply[int]:
        refused, taken = await asyncio.gather(
            each.post_help_request(PAYLOAD | {"LastName": "Planted"}), each.post_help_request(PAYLOAD)
        )
        assert refused == Reply(Answer(status=400), reason="InvalidOperationException")
        return taken

    assert ask(api.url, talk).answer == Answer(status=201)


def test_a_refusal_names_the_fields_that_it_is_about(api: Sandbox) -> None:
    reply = ask(api.url, lambda each: each.post_help_request(PAYLOAD | {"NhsNumber": 1112223333}))
    assert reply == Reply(Answer(status=400), reason="not of the right type: NhsNumber")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(api: Sandbox, status: int) -> None:
    """The key and the resident would go to whoever the redirect names."""
    contacted: list[int] = []

    async def run() -> Reply[int]:
        async def note(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
            contacted.append(1)

        async with plain_server(note) as elsewhere, open_here_to_help(api.url, SecretStr(KEY)) as here_to_help:
            api.behave(Behaviour(status=status, location=elsewhere))
            return await post_one(here_to_help)

    assert asyncio.run(run()) == Reply(Answer(status=status))
    assert contacted == []


def test_a_proxy_is_not_used(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert ask(api.url, post_one).answer == Answer(status=201)


# Strict reading


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"Id":7}', 7),
        (b'{"Id":"7","More":1}', 7),
        (b'{"Id":0}', None),
        (b'{"Id":-7}', None),
        (b'{"Id":7.0}', None),
        (b'{"Id":true}', None),
        (b'{"Id":null}', None),
        (b'{"Id":""}', None),
        (b'{"Id":" 7"}', None),
        (b'{"Id":"7a"}', None),
        (b'{"Id":"-7"}', None),
        ('{"Id":"\u0667"}'.encode(), None),
        (b'{"Id":"' + b"9" * 5000 + b'"}', None),
        (b'{"Id":' + b"9" * 5000 + b"}", None),
        (b'{"id":7}', None),
        (b"{}", None),
        (b"7", None),
        (b"[7]", None),
        (b"null", None),
        (b"__import__('os').abort()", None),
        (b"<html>", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
        (b"", None),
    ],
)
def test_an_id_is_an_integer_or_digits(body: bytes, expected: int | None) -> None:
    reply = ask_plain(saying(body), post_one)
    assert (reply.answer, reply.body) == (Answer(status=201), expected)
    assert reply.is_unknown is (expected is None)


@pytest.mark.parametrize(
    ("body", "expected"), [(b"22", 22), (b'"22"', 22), (b' 22\n"', None), (b'{"Id":22}', None), (b"22.5", None)]
)
def test_the_id_of_a_case_is_bare(body: bytes, expected: int | None) -> None:
    assert ask_plain(saying(body), CALLS[Call.POST_RESIDENT_REQUEST]).body == expected


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"Id":1}',
        b'{"Id":1,"ResidentId":null}',
        b'{"Id":1,"ResidentId":1,"CaseNotes":[]}',
        b'{"Id":1,"ResidentId":1,"HelpNeeded":5}',
    ],
)
def test_a_help_request_that_is_not_one_is_no_answer(body: bytes) -> None:
    assert ask_plain(saying(body, "200 OK"), CALLS[Call.GET_HELP_REQUEST]) == Reply(Answer(status=200))
    listed = b"[" + body + b"]"
    assert ask_plain(saying(listed, "200 OK"), CALLS[Call.GET_RESIDENT_REQUESTS]) == Reply(Answer(status=200))


def test_the_least_that_a_help_request_is() -> None:
    body = b'{"Id":"1","ResidentId":"2","CaseNotes":null,"HelpNeeded":null}'
    stored = ask_plain(saying(body, "200 OK"), CALLS[Call.GET_HELP_REQUEST]).body
    assert stored is not None
    assert (stored.id, stored.resident_id, stored.help_needed, stored.case_notes) == (1, 2, None, "[]")


def test_an_api_that_does_not_say_that_it_is_well_is_not() -> None:
    assert ask_plain(saying(b'{"success": false}', "200 OK"), CALLS[Call.PING]).body is None


@pytest.mark.parametrize("rest", [b"", b'{"Id"', b'{"Id":7}'])
def test_the_status_counts_though_the_body_is_cut(rest: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n" + rest)
        writer.close()

    reply = ask_plain(answer, post_one)
    assert (reply, reply.is_unknown) == (Reply(Answer(status=201)), True)


def test_the_status_counts_though_the_body_never_ends() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n{"Id":7}')

    assert ask_plain(answer, post_one, total_seconds=0.3) == Reply(Answer(status=201))


def test_an_answer_without_end_is_cut_short() -> None:
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while sent < 1 << 30:
                writer.write(b" " * (1 << 20))
                sent += 1 << 20
                await writer.drain()
        except ConnectionError:
            pass

    assert ask_plain(answer, CALLS[Call.GET_HELP_REQUEST]) == Reply(Answer(status=200))
    assert sent < 64 << 20


def test_no_packed_answer_is_asked_for() -> None:
    """A few bytes may unpack to any number of them."""
    heads: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + b'{"success":true}')

    assert ask_plain(handle, CALLS[Call.PING]).body is True
    (head,) = heads
    assert head.startswith("GET /c19appdata/v3/healthcheck/ping HTTP/1.1\r\n")
    assert "Accept-Encoding: identity\r\n" in head
    assert f"x-api-key: {KEY}\r\n" in head


# Failures of the wire


def test_no_answer_in_time_may_have_been_received(fresh: Sandbox) -> None:
    for hang in (Behaviour(delay=60), Behaviour(wait=60)):
        fresh.behave(hang)
        reply = ask(fresh.url, post_one, total_seconds=0.5)
        assert (reply, reply.is_unknown) == (Reply(Answer(failure=Failure.TIMEOUT)), True)
    assert fresh.count().help_requests == 1


def test_a_refused_connection_sent_nothing() -> None:
    with socket.socket() as bound:  # bound but not listening: refuses, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        reply = ask(f"http://127.0.0.1:{bound.getsockname()[1]}", post_one)
    assert reply == Reply(Answer(failure=Failure.CONNECTION, maybe_received=False))
    assert reply.is_unknown is False


@every_call
@pytest.mark.parametrize("cut", Cut)
def test_a_cut_connection_is_one_request_that_may_have_been_received(api: Sandbox, call: Call, cut: Cut) -> None:
    """Some of them count as repeatable: aiohttp would send them again by itself, unseen by the policy that paces."""
    api.behave()
    ask(api.url, post_one)
    api.behave(Behaviour(cut=cut))
    seen = len(api.received())
    reply = ask(api.url, CALLS[call])
    assert (reply, reply.is_unknown) == (Reply(Answer(failure=Failure.CONNECTION)), True)
    (received,) = api.received()[seen:]
    assert (received.call, received.carried_out) == (call, cut is Cut.AFTER)


def test_a_kept_connection_that_is_dropped_is_no_second_request() -> None:
    requests: list[int] = []

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        requests.append(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + b'{"success":true}')
        await reader.readuntil(b"\r\n\r\n")
        requests.append(2)
        writer.close()

    async def ping_twice(each: HereToHelp) -> Reply[bool]:
        assert (await each.ping()).body is True
        return await each.ping()

    assert ask_plain(answer_the_first, ping_twice) == Reply(Answer(failure=Failure.CONNECTION))
    assert requests == [1, 2]


def test_a_server_of_an_untrusted_authority_gets_nothing(certificates: Certificates, strangers: Certificates) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)

    async def run(authority: bytes | None) -> Reply[bool]:
        listening = await asyncio.start_server(saying(b'{"success":true}', "200 OK"), "127.0.0.1", 0, ssl=context)
        url = f"https://127.0.0.1:{port_of(listening)}"
        async with listening, open_here_to_help(url, SecretStr(KEY), authority=authority) as here_to_help:
            return await here_to_help.ping()

    assert asyncio.run(run(certificates.authority.read_bytes())).body is True
    for authority in (strangers.authority.read_bytes(), None):
        assert asyncio.run(run(authority)) == Reply(Answer(failure=Failure.TLS, maybe_received=False))


# How many and how fast


def test_no_more_calls_at_once_than_connections() -> None:
    now_open, most = 0, 0
    three = asyncio.Barrier(3)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now_open, most
        now_open += 1
        most = max(most, now_open)
        await read_request(reader)
        await three.wait()
        writer.write(b'HTTP/1.1 201 Created\r\nContent-Length: 8\r\nConnection: close\r\n\r\n{"Id":7}')
        now_open -= 1
        writer.close()

    async def post_many(each: HereToHelp) -> Reply[int]:
        replies = await asyncio.gather(*(post_one(each) for _ in range(12)))
        assert replies == [Reply(Answer(status=201), 7)] * 12
        return replies[0]

    ask_plain(answer, post_many, connections=3)
    assert most == 3


def test_two_who_call_one_url_share_its_pace(api: Sandbox) -> None:
    """At ten a second, of which one may be made up for, the sixth call of both together waits for 0.4 s at least."""

    async def run() -> float:
        loop = asyncio.get_running_loop()
        opened = (open_here_to_help(url, SecretStr(KEY), calls_per_second=10) for url in (api.url, api.url + "/"))
        one, two = opened
        async with one as first, two as second:
            started = loop.time()
            replies = await asyncio.gather(*(each.ping() for each in (first, second) for _ in range(3)))
            assert {reply.body for reply in replies} == {True}
            return loop.time() - started

    assert asyncio.run(run()) > 0.39


def test_many_at_once_lose_nothing(fresh: Sandbox) -> None:
    async def talk(each: HereToHelp) -> Reply[int]:
        rows = (PAYLOAD | {"NhsNumber": str(n), "Metadata": {"spl_id": str(n)}} for n in range(500))
        replies = await asyncio.gather(*(each.post_help_request(row) for row in rows))
        assert sorted(reply.body or 0 for reply in replies) == list(range(1, 501))
        return replies[0]

    ask(fresh.url, talk, connections=64)
    assert fresh.count() == Counts(residents=500, help_requests=500, case_notes=0)


# Addresses and secrets


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://api.example/api", "loopback"),
        ("https://canary@api.example/", "refused"),
        ("sandbox://here-to-help", "known are https"),
        ("https://api.example/?key=canary", "query"),
    ],
)
def test_an_address_that_will_not_do_is_refused_without_being_repeated(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        ask(url, post_one)
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize("key", ["", "canary\n", "canary key", "canäry"])
def test_a_key_that_no_header_carries_is_refused(key: str) -> None:
    with pytest.raises(CredentialError, match="API key") as caught:
        ask("https://127.0.0.1:1", post_one, key=key)
    assert "can" not in str(caught.value).replace("can't", "")


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_authority_that_cannot_be_used_is_refused_also_where_nothing_is_verified(scheme: str) -> None:
    """A setting that is wrong is told of before the day on which it counts."""
    with pytest.raises(CredentialError) as caught:
        ask(f"{scheme}://127.0.0.1:1", post_one, authority=b"canary")
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize("payload", [{"FirstName": object()}, {"FirstName": "canary\ud800"}, {"Canary": {1: 2}}])
def test_a_payload_without_a_form_in_json_is_an_error_that_does_not_repeat_it(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no form in JSON") as caught:
        ask("https://127.0.0.1:1", lambda each: each.post_help_request(payload))
    assert "anary" not in repr(caught.value)


@pytest.mark.parametrize("url", ["https://API.example:443/prod/api/", "https://api.example/prod/api"])
def test_an_api_has_one_name_however_it_is_spelt(url: str) -> None:
    async def name() -> str:
        async with open_here_to_help(url, SecretStr(KEY)) as here_to_help:
            return here_to_help.destination

    assert asyncio.run(name()) == "https://api.example/prod/api"


def test_nothing_of_a_person_and_no_secret_shows_anywhere(
    fresh: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = [
        Behaviour(),
        Behaviour(status=400),
        Behaviour(status=500, body="Canary-Smith 1112223333"),
        Behaviour(status=201, body='{"Id": "Canary-Smith"}'),
        Behaviour(status=400, body='{"errors": {"$.Canary": ["Canary-Smith"], "$.FirstName": ["Canaria"]}}'),
        Behaviour(cut=Cut.AFTER),
        Behaviour(wait=60),
    ]
    seen: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with open_here_to_help(fresh.url, SecretStr(KEY), total_seconds=0.3) as here_to_help:
            seen.append(repr(here_to_help) + str(here_to_help))
            for fault in faults:
                fresh.behave(fault)
                for talk in CALLS.values():
                    reply = await talk(here_to_help)
                    seen.append(repr(reply) + str(reply))
                    body = reply.body if isinstance(reply.body, tuple) else (reply.body,)
                    seen.extend(repr(each) + str(each) for each in body)

    asyncio.run(run())
    text = "".join(seen) + caplog.text + "".join(capfd.readouterr())
    assert all(each in text for each in ("StoredRequest", "status=400", "status=500", "Failure.TIMEOUT", "FirstName"))
    assert "canar" not in text.lower()
    assert "1112223333" not in text
