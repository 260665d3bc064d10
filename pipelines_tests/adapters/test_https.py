import asyncio
import contextlib
import logging
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from pipelines.adapters.https import CredentialError, Credentials, Https, open_https, read_retry_after
from pipelines.core.delivery import Answer, Failure
from pipelines.sandbox.aae import Aae, Behaviour, Cut, running
from pipelines.sandbox.certificates import Certificates, make_certificates

KEY = "canary-key-5f0c"
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
JSON = "application/json"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("ours"), datetime.now(UTC))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("strangers"), datetime.now(UTC))


@pytest.fixture(scope="module")
def server(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aae]:
    with running(tmp_path_factory.mktemp("aae"), certificates, KEY) as aae:
        yield aae


@pytest.fixture
def aae(server: Aae) -> Aae:
    server.behave()
    return server


@pytest.fixture
def credentials(certificates: Certificates) -> Credentials:
    return Credentials(SecretStr(KEY), certificates.client.read_bytes(), authority=certificates.authority.read_bytes())


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


# Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 307, 400, 401, 404, 409, 429, 500, 503])
def test_every_status_is_an_answer(aae: Aae, credentials: Credentials, status: int) -> None:
    aae.behave(Behaviour(status=status))
    assert put(aae.url, credentials) == Answer(status=status)


def test_what_was_sent_arrives_unchanged(aae: Aae, credentials: Credentials) -> None:
    body = bytes(range(256)) * 10_000  # more than aiohttp likes to write in one go

    async def send() -> Answer:
        async with open_https(aae.url + "/", credentials) as https:
            query = {"feedName": "Epidemiological"}
            return await https.put("events.json", body, content_type=JSON, query=query)

    assert asyncio.run(send()).status == 201
    assert (aae.folder / "objects" / "events.json").read_bytes() == body
    newest = aae.received()[-1]
    assert (newest.query, newest.content_type) == ({"feedName": "Epidemiological"}, JSON)


@pytest.mark.parametrize(
    "name", ["a b.json", "é漢字😀.json", "100%.json", "a%2Fb.json", "q?x=1&y#z.json", "+;=@:.json"]
)
def test_names_arrive_as_they_are(aae: Aae, credentials: Credentials, name: str) -> None:
    assert put(aae.url, credentials, name).status == 201
    assert aae.received()[-1].name == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.json", "../secret"])
def test_a_name_is_one_path_segment(credentials: Credentials, name: str) -> None:
    with pytest.raises(ValueError, match="one path segment"):
        put("https://127.0.0.1:1/c19appdata", credentials, name)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(aae: Aae, credentials: Credentials, status: int) -> None:
    """The key and the object would go to whoever the redirect names."""
    contacted: list[int] = []

    async def run() -> Answer:
        async def note(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
            contacted.append(1)

        async with plain_server(note) as elsewhere, open_https(aae.url, credentials) as https:
            aae.behave(Behaviour(status=status, location=elsewhere))
            return await put_one(https)

    assert asyncio.run(run()) == Answer(status=status)
    assert contacted == []


def test_retry_after_is_read_in_both_forms(aae: Aae, credentials: Credentials) -> None:
    aae.behave(Behaviour(status=429, retry_after="7"))
    assert put(aae.url, credentials) == Answer(status=429, retry_after=7)
    later = datetime.now(UTC) + timedelta(hours=1)
    aae.behave(Behaviour(status=503, retry_after=format_datetime(later, usegmt=True)))
    answer = put(aae.url, credentials)
    assert answer.status == 503
    assert answer.retry_after is not None
    assert 0 < answer.retry_after <= 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("Sat, 01 Mar 2025 12:01:30 GMT", 90),
        ("Saturday, 01-Mar-25 12:01:30 GMT", 90),
        ("Sat Mar  1 12:01:30 2025", 90),
        ("Sat, 01 Mar 2025 11:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("٣", None),
    ],
)
def test_retry_after_table(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ \S+"))
def test_no_retry_after_text_is_an_error(value: str) -> None:
    seconds = read_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize("rest", [b"x" * 10, b"x" * 100_000])
def test_the_status_counts_though_the_body_of_the_answer_is_cut_or_huge(rest: bytes) -> None:
    """Losing the status would send again what was delivered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n" + rest)
        writer.close()

    assert run_plain(answer, put_one) == Answer(status=201)


def test_the_status_counts_though_the_body_of_the_answer_never_ends() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n")

    assert run_plain(answer, put_one, total_seconds=0.3) == Answer(status=201)


def test_an_answer_before_the_object_was_read_is_an_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    async def put_much(https: Https) -> Answer:
        return await https.put("a.json", bytes(20_000_000), content_type=JSON)

    assert run_plain(answer, put_much, total_seconds=10) == Answer(status=413)


# Failures of the wire


def test_no_answer_in_time_may_have_been_received(aae: Aae, credentials: Credentials) -> None:
    aae.behave(Behaviour(delay=60))
    assert put(aae.url, credentials, total_seconds=0.5) == Answer(failure=Failure.TIMEOUT)


def test_a_connection_not_made_in_time_sent_nothing(credentials: Credentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts; nobody answers the TLS handshake
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        expected = Answer(failure=Failure.TIMEOUT, maybe_received=False)
        assert put(url, credentials, connect_seconds=0.2) == expected
        assert put(url, credentials, total_seconds=0.2) == expected


def test_a_refused_connection_sent_nothing(credentials: Credentials) -> None:
    with socket.socket() as bound:  # bound but not listening: refuses, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        answer = put(f"https://127.0.0.1:{bound.getsockname()[1]}", credentials)
    assert answer == Answer(failure=Failure.CONNECTION, maybe_received=False)


@pytest.mark.parametrize("cut", Cut)
def test_a_cut_connection_may_have_delivered(aae: Aae, credentials: Credentials, cut: Cut) -> None:
    aae.behave(Behaviour(cut=cut))
    before = len(aae.received())
    assert put(aae.url, credentials) == Answer(failure=Failure.CONNECTION)
    assert [each.kept for each in aae.received()[before:]] == [cut is Cut.AFTER]


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-nonsense\r\n\r\n"])
def test_one_put_is_one_request_though_the_connection_is_new(reply: bytes) -> None:
    requests: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await read_request(reader))[0])
        writer.write(reply)
        writer.close()

    assert run_plain(answer, put_one) == Answer(failure=Failure.CONNECTION)
    assert len(requests) == 1


def test_one_put_is_one_request_though_a_kept_connection_is_dropped() -> None:
    """PUT counts as repeatable, so aiohttp would send again by itself, unseen by the policy that paces repeats."""
    requests: list[int] = []
    connections: list[int] = []

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await read_request(reader)
        requests.append(1)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await read_request(reader)
        requests.append(2)
        writer.close()

    async def put_two(https: Https) -> Answer:
        assert await put_one(https) == Answer(status=201)
        return await put_one(https)

    assert run_plain(answer_the_first, put_two) == Answer(failure=Failure.CONNECTION)
    assert (requests, connections) == ([1, 2], [1])


def test_more_puts_than_connections_wait_without_using_up_their_time() -> None:
    now_open, most = 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now_open, most
        now_open += 1
        most = max(most, now_open)
        await read_request(reader)
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        now_open -= 1
        writer.close()

    async def put_many(https: Https) -> Answer:
        answers = await asyncio.gather(*(put_one(https) for _ in range(6)))
        assert answers == [Answer(status=201)] * 6
        return answers[0]

    run_plain(answer, put_many, connections=2, total_seconds=0.8)
    assert most == 2


# Certificates


def test_without_a_client_certificate_nothing_is_delivered(aae: Aae, credentials: Credentials) -> None:
    answer = put(aae.url, replace(credentials, certificate=None))
    assert answer == Answer(failure=Failure.TLS, maybe_received=False)


def test_a_client_certificate_of_another_authority_is_refused(
    aae: Aae, credentials: Credentials, strangers: Certificates
) -> None:
    before = len(aae.received())
    answer = put(aae.url, replace(credentials, certificate=strangers.client.read_bytes()))
    assert answer == Answer(failure=Failure.TLS, maybe_received=False)
    assert len(aae.received()) == before


@pytest.mark.parametrize("trusts", ["another authority", "the system"])
def test_a_server_of_an_untrusted_authority_gets_nothing(
    aae: Aae, credentials: Credentials, strangers: Certificates, trusts: str
) -> None:
    authority = strangers.authority.read_bytes() if trusts == "another authority" else None
    before = len(aae.received())
    answer = put(aae.url, replace(credentials, authority=authority))
    assert answer == Answer(failure=Failure.TLS, maybe_received=False)
    assert len(aae.received()) == before


def test_a_server_of_another_name_gets_nothing(certificates: Certificates, credentials: Credentials) -> None:
    """Its certificate is of an authority that we trust, but for 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.server)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    async def run() -> Answer:
        listening = await asyncio.start_server(answer, "127.0.0.2", 0, ssl=context)
        async with listening, open_https(f"https://127.0.0.2:{port_of(listening)}", credentials) as https:
            return await put_one(https)

    assert asyncio.run(run()) == Answer(failure=Failure.TLS, maybe_received=False)


def test_a_server_that_speaks_no_tls_is_a_tls_failure(credentials: Credentials) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def run() -> Answer:
        async with plain_server(answer) as url, open_https(url.replace("http:", "https:"), credentials) as https:
            return await put_one(https)

    assert asyncio.run(run()) == Answer(failure=Failure.TLS, maybe_received=False)


def test_the_certificate_may_be_asked_for_after_the_request(
    certificates: Certificates, credentials: Credentials
) -> None:
    """API gateways that want certificates only on some paths do so."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    context.load_cert_chain(certificates.server)
    context.verify_mode = ssl.CERT_REQUIRED
    context.post_handshake_auth = True
    shown: list[object] = []

    def answer_one(listening: socket.socket) -> None:
        with listening.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as tls:
            shown.append(tls.getpeercert())
            tls.recv(10_000)
            tls.verify_client_post_handshake()
            tls.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            tls.setblocking(False)
            while not tls.getpeercert() and select.select([tls], [], [], 5)[0]:
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.recv(10_000)
            tls.setblocking(True)
            shown.append(tls.getpeercert())
            tls.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer_one, args=(listening,))
        thread.start()
        answer = put(f"https://127.0.0.1:{listening.getsockname()[1]}", credentials)
        thread.join()
    assert answer == Answer(status=201)
    assert [bool(each) for each in shown] == [False, True]


def encrypt_key(bundle: bytes, password: bytes) -> bytes:
    key = load_pem_private_key(bundle, None)
    certificate = bundle[bundle.index(b"-----BEGIN CERTIFICATE") :]
    return certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))


def test_pem_and_pkcs12_serve_alike(
    aae: Aae,
    credentials: Credentials,
    certificates: Certificates,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    packed, password = certificates.client_pkcs12.read_bytes(), certificates.client_password.read_text()
    for certificate, secret in [
        (certificates.client.read_bytes(), None),
        (encrypt_key(certificates.client.read_bytes(), b"pass"), "pass"),  # the certificate before its key, too
        (packed, password),
    ]:
        own = replace(credentials, certificate=certificate, password=SecretStr(secret) if secret else None)
        assert put(aae.url, own) == Answer(status=201)
    assert list(tmp_path.iterdir()) == []  # no key stays behind


def test_a_certificate_that_cannot_be_used_is_one_clear_error(
    credentials: Credentials, certificates: Certificates, strangers: Certificates
) -> None:
    pem, packed = certificates.client.read_bytes(), certificates.client_pkcs12.read_bytes()
    wrong = SecretStr("canary-password")
    key_only, certificate_only = pem[: pem.index(b"-----BEGIN CERT")], pem[pem.index(b"-----BEGIN CERT") :]
    other = strangers.client.read_bytes()
    for certificate, password, message in [
        (packed, wrong, "taken for PKCS12"),
        (packed, None, "taken for PKCS12"),
        (encrypt_key(pem, b"right"), wrong, "taken for PEM"),
        (encrypt_key(pem, b"right"), None, "taken for PEM"),
        (key_only, None, "taken for PEM"),
        (certificate_only, None, "taken for PEM"),
        (key_only + other[other.index(b"-----BEGIN CERT") :], None, "don't belong together"),
        (packed[:100], None, "taken for PKCS12"),
        (b"canary-certificate", None, "taken for PKCS12"),
        (b"", None, "taken for PKCS12"),
    ]:
        with pytest.raises(CredentialError, match=message) as caught:
            put("https://127.0.0.1:1", replace(credentials, certificate=certificate, password=password))
        assert "canary" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("authority", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_unreadable_authority_is_not_the_system_s(credentials: Credentials, authority: bytes) -> None:
    with pytest.raises(CredentialError, match="certificate authority"):
        put("https://127.0.0.1:1", replace(credentials, authority=authority))


@pytest.mark.parametrize("key", ["", "canary\n", "canary key", "canäry"])
def test_a_key_that_no_header_carries_is_refused(credentials: Credentials, key: str) -> None:
    with pytest.raises(CredentialError, match="subscription key") as caught:
        put("https://127.0.0.1:1", replace(credentials, subscription_key=SecretStr(key)))
    assert "can" not in str(caught.value).replace("can't", "")


# Addresses and secrets


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://aae.example/c19appdata", "loopback"),
        ("http://127.0.0.1.example/", "loopback"),
        ("https://me:canary@aae.example/", "refused"),
        ("https://canary@aae.example/", "refused"),
        ("ftp://aae.example/", "'ftp' is not known; known are https"),
        ("aae.example", "known are https"),
        ("https:///c19appdata", "host"),
        ("https://aae.example/?key=canary", "query"),
        ("https://aae.example/#canary", "fragment"),
        ("https://aae.example:canary/", "readable"),
    ],
)
def test_an_address_that_will_not_do_is_refused_without_being_repeated(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        put(url, PLAIN)
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1", "http://127.9.9.9:1/x", "http://[::1]:1"])
def test_loopback_needs_no_tls(url: str) -> None:
    assert put(url, PLAIN) == Answer(failure=Failure.CONNECTION, maybe_received=False)


@pytest.mark.parametrize("url", ["https://AAE.example:443/c19appdata/", "https://aae.example/c19appdata"])
def test_an_endpoint_has_one_name_however_it_is_spelt(url: str) -> None:
    """Receipts carry it: another spelling would deliver everything again."""

    async def name() -> str:
        async with open_https(url, PLAIN) as https:
            return https.destination

    assert asyncio.run(name()) == "https://aae.example/c19appdata"


def test_secrets_show_nowhere(
    aae: Aae, credentials: Credentials, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    own = replace(credentials, password=None)
    aae.behave(Behaviour(status=500, times=1), Behaviour(cut=Cut.BEFORE, times=1), Behaviour(delay=60))
    seen = [repr(own), repr(replace(own, password=SecretStr("canary-password")))]

    async def run() -> None:
        asyncio.get_running_loop().set_debug(True)
        for url, with_ in [(aae.url, own), (aae.url, replace(own, certificate=None)), ("https://127.0.0.1:1", own)]:
            async with open_https(url, with_, total_seconds=0.5) as https:
                seen.extend([repr(https), str(https)])
                seen.extend([repr(await put_one(https)) for _ in range(3)])

    asyncio.run(run())
    text = "".join(seen) + caplog.text + "".join(capfd.readouterr())
    assert "status=500" in text
    assert all(failure in text for failure in ("Failure.TIMEOUT", "Failure.CONNECTION", "Failure.TLS"))
    assert "canary" not in text
    assert "PRIVATE KEY" not in text


# Asking for the endpoint itself


def ask(url: str, credentials: Credentials) -> Answer:
    async def send() -> Answer:
        async with open_https(url, credentials) as https:
            return await https.head()

    return asyncio.run(send())


def test_the_endpoint_is_asked_with_the_key_and_for_nothing_more() -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\n\r\n")

    assert run_plain(answer, lambda https: https.head()) == Answer(status=401)
    (head,) = heads
    assert head.startswith("HEAD /c19appdata HTTP/1.1\r\n")
    assert f"Ocp-Apim-Subscription-Key: {KEY}\r\n" in head


def test_asking_for_the_endpoint_stores_nothing(aae: Aae, credentials: Credentials) -> None:
    before = len(aae.received())
    answer = ask(aae.url, credentials)
    assert answer.failure is None
    assert answer.status is not None
    assert len(aae.received()) == before


def test_asking_shows_that_the_certificate_is_not_accepted(aae: Aae, credentials: Credentials) -> None:
    assert ask(aae.url, replace(credentials, certificate=None)).failure is Failure.TLS
