"""Who is trusted on either side, with which certificates and addresses; secrets show nowhere."""

import asyncio
import contextlib
import logging
import select
import socket
import ssl
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr
from yarl import URL

from pipelines.adapters.https import CredentialError, Credentials, open_https
from pipelines.adapters.wire import open_wire
from pipelines.core.delivery import Answer, Failure
from pipelines.sandbox.aae import Aae, Behaviour, Cut
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.adapters.wires import (
    PLAIN,
    plain_server,
    port_of,
    put,
    put_one,
    read_request,
)

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


def test_a_wire_that_was_meant_to_be_plain_trusts_no_stranger_either(strangers: Certificates) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(strangers.server)
    requests = list[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    async def run() -> Answer:
        listening = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with listening, open_wire(None, {}, connections=1, connect_seconds=5, total_seconds=5) as wire:
            return (await wire.send("GET", URL(f"https://127.0.0.1:{port_of(listening)}")))[0]

    assert asyncio.run(run()).failure is Failure.TLS
    assert requests == []


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
