import asyncio
import hashlib
import json
import ssl
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection, RemoteDisconnected
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509 import load_pem_x509_certificate
from pydantic import SecretStr

from pipelines.adapters.https import Credentials, open_https
from pipelines.core.delivery import Answer
from pipelines.sandbox.aae import Aae, Behaviour, Cut, running, serve
from pipelines.sandbox.certificates import Certificates, make_certificates

KEY = "a-key"
NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"), datetime.now(UTC))


@pytest.fixture
def aae(certificates: Certificates, tmp_path: Path) -> Iterator[Aae]:
    with running(tmp_path / "aae", certificates, KEY) as started:
        yield started


def request(
    aae: Aae, certificates: Certificates, path: str, body: bytes = b"{}", key: str | None = KEY, method: str = "PUT"
) -> int:
    """Speaks to the server as any client would, without the project's own adapter."""
    context = ssl.create_default_context(cafile=certificates.authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(certificates.client)
    connection = HTTPSConnection(urlsplit(aae.url).netloc, context=context, timeout=10)
    try:
        connection.request(method, path, body, {} if key is None else {"Ocp-Apim-Subscription-Key": key})
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_object_is_kept_and_written_in_the_journal(aae: Aae, certificates: Certificates) -> None:
    assert request(aae, certificates, "/c19appdata/a.json?feedName=Epidemiological", b"body") == 201
    assert (aae.folder / "objects" / "a.json").read_bytes() == b"body"
    (line,) = (aae.folder / "received.jsonl").read_text().splitlines()
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).utcoffset() == timedelta(0)
    assert entry == {
        "name": "a.json",
        "query": {"feedName": "Epidemiological"},
        "content_type": "",
        "size": 4,
        "sha256": hashlib.sha256(b"body").hexdigest(),
        "status": 201,
        "kept": True,
    }


def test_every_version_is_kept_and_the_newest_has_the_name(aae: Aae, certificates: Certificates) -> None:
    for body in (b"one", b"two", b"two", b"one"):
        request(aae, certificates, "/c19appdata/a.json", body)
    request(aae, certificates, "/c19appdata/b.json", b"one")
    versions = {path.read_bytes() for path in (aae.folder / "versions").iterdir()}
    assert versions == {b"one", b"two"}
    assert (aae.folder / "objects" / "a.json").read_bytes() == b"one"
    assert [each.name for each in aae.received()] == ["a.json"] * 4 + ["b.json"]
    assert {path.name for path in aae.folder.iterdir()} == {"objects", "versions", "received.jsonl"}


@pytest.mark.parametrize("key", [None, "", "another-key", "a-key2", "clé"])
def test_nothing_is_kept_without_the_right_key(aae: Aae, certificates: Certificates, key: str | None) -> None:
    aae.behave(Behaviour(status=200))
    assert request(aae, certificates, "/c19appdata/a.json", key=key) == 401
    assert request(aae, certificates, "/sandbox/behaviour", b"[]", key=key) == 401
    assert [(each.status, each.kept) for each in aae.received()] == [(401, False)]
    assert list((aae.folder / "objects").iterdir()) == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "/c19appdata/..%2Fevil", 400),
        ("PUT", "/c19appdata/a%00b", 400),
        ("PUT", "/c19appdata/" + "x" * 256, 400),
        ("PUT", "/c19appdata/a/b.json", 404),
        ("PUT", "/c19appdata/", 404),
        ("PUT", "/elsewhere/a.json", 404),
        ("POST", "/c19appdata/a.json", 405),
        ("GET", "/c19appdata/a.json", 405),
    ],
)
def test_only_a_put_of_one_named_object_is_taken(
    aae: Aae, certificates: Certificates, method: str, path: str, status: int
) -> None:
    assert request(aae, certificates, path, method=method) == status
    assert not any(each.kept for each in aae.received())
    assert {path.name for path in aae.folder.parent.iterdir()} == {"aae"}


def test_a_behaviour_holds_for_its_names_and_its_times(aae: Aae, certificates: Certificates) -> None:
    aae.behave(
        Behaviour(status=500, times=2), Behaviour(status=400, names="bad-*"), Behaviour(status=202, names="*.json")
    )
    names = ["a.json", "bad-1", "bad-2", "bad-3", "b.json", "c.parquet"]
    assert [request(aae, certificates, f"/c19appdata/{name}") for name in names] == [500, 500, 400, 400, 202, 201]
    assert [each.name for each in aae.received() if each.kept] == ["b.json", "c.parquet"]
    aae.behave()
    assert request(aae, certificates, "/c19appdata/bad-3") == 201


@pytest.mark.parametrize("cut", Cut)
def test_a_cut_connection_gives_no_answer(aae: Aae, certificates: Certificates, cut: Cut) -> None:
    aae.behave(Behaviour(cut=cut, times=1))
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        request(aae, certificates, "/c19appdata/a.json")
    assert [(each.status, each.kept) for each in aae.received()] == [(None, cut is Cut.AFTER)]
    assert (aae.folder / "objects" / "a.json").exists() is (cut is Cut.AFTER)


def test_another_process_can_tell_the_behaviour(aae: Aae, certificates: Certificates) -> None:
    told = json.dumps([{"status": 429, "retry_after": "3", "times": 1}, {"cut": "after", "names": "x"}]).encode()
    assert request(aae, certificates, "/sandbox/behaviour", told) == 204
    assert request(aae, certificates, "/c19appdata/a.json") == 429
    assert request(aae, certificates, "/c19appdata/a.json") == 201
    assert request(aae, certificates, "/sandbox/behaviour", b'[{"status": "soon"}]') == 400


def test_a_client_without_a_certificate_is_not_let_in(aae: Aae, certificates: Certificates) -> None:
    context = ssl.create_default_context(cafile=certificates.authority)
    connection = HTTPSConnection(urlsplit(aae.url).netloc, context=context, timeout=10)
    connection.request("PUT", "/c19appdata/a.json", b"{}")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
        connection.getresponse()
    connection.close()
    assert aae.received() == []


def test_what_was_received_outlives_a_restart(certificates: Certificates, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        with running(tmp_path, certificates, KEY) as aae:
            request(aae, certificates, f"/c19appdata/{name}")
    assert [each.name for each in aae.received()] == ["a.json", "b.json"]


def test_a_taken_port_is_an_error_of_the_caller(aae: Aae, certificates: Certificates, tmp_path: Path) -> None:
    port = urlsplit(aae.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"), running(tmp_path / "other", certificates, KEY, port):
        pass


def test_the_thread_ends_with_its_caller_though_requests_are_waiting(
    certificates: Certificates, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        aae = stack.enter_context(running(tmp_path, certificates, KEY))
        aae.behave(Behaviour(delay=600))
        context = ssl.create_default_context(cafile=certificates.authority)
        context.load_cert_chain(certificates.client)
        connection = HTTPSConnection(urlsplit(aae.url).netloc, context=context, timeout=10)
        stack.callback(connection.close)
        connection.request("PUT", "/c19appdata/a.json", b"{}", {"Ocp-Apim-Subscription-Key": KEY})
    assert "sandbox-aae" not in {thread.name for thread in threading.enumerate()}
    assert not any(each.kept for each in aae.received())


def test_many_connections_at_once_lose_nothing(certificates: Certificates, tmp_path: Path) -> None:
    credentials = Credentials(
        SecretStr(KEY), certificates.client.read_bytes(), authority=certificates.authority.read_bytes()
    )

    async def run() -> list[Answer]:
        async with (
            serve(tmp_path, certificates, KEY) as aae,
            open_https(aae.url, credentials, connections=64) as https,
        ):
            puts = (https.put(f"{i}.json", b"%d" % i, content_type="application/json") for i in range(500))
            return await asyncio.gather(*puts)

    assert asyncio.run(run()) == [Answer(status=201)] * 500
    assert {path.name: path.read_text() for path in (tmp_path / "objects").iterdir()} == {
        f"{i}.json": str(i) for i in range(500)
    }


# Certificates


def contents(certificates: Certificates) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in certificates.folder.iterdir()}


def test_only_the_owner_can_read_the_certificates(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox" / "certificates"
    make_certificates(folder, NOW)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    readable = {path.name for path in folder.iterdir() if stat.S_IMODE(path.stat().st_mode) != 0o600}
    assert readable == set()


def test_the_authority_s_key_is_not_kept(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, NOW)
    assert b"PRIVATE KEY" not in certificates.authority.read_bytes()


def test_the_pkcs12_file_holds_the_same_client(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path, NOW)
    password = certificates.client_password.read_bytes()
    _, client, _ = pkcs12.load_key_and_certificates(certificates.client_pkcs12.read_bytes(), password)
    assert client == load_pem_x509_certificate(certificates.client.read_bytes())
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_key_and_certificates(certificates.client_pkcs12.read_bytes(), b"another")


def test_valid_certificates_are_used_again(tmp_path: Path) -> None:
    first = contents(make_certificates(tmp_path, NOW))
    assert contents(make_certificates(tmp_path, NOW + timedelta(days=300))) == first


def test_certificates_about_to_expire_are_made_anew(tmp_path: Path) -> None:
    first = contents(make_certificates(tmp_path, NOW))
    later = NOW + timedelta(days=364, minutes=1)
    certificates = make_certificates(tmp_path, later)
    assert all(content != first[name] for name, content in contents(certificates).items() if name != ".lock")
    server = load_pem_x509_certificate(certificates.server.read_bytes())
    assert server.not_valid_before_utc < later < server.not_valid_after_utc


@pytest.mark.parametrize("name", ["authority.pem", "server.pem", "client.pem", "client.p12", "client.password"])
@pytest.mark.parametrize("damage", ["absent", "empty", "of another set"])
def test_an_incomplete_set_is_made_anew(certificates: Certificates, tmp_path: Path, name: str, damage: str) -> None:
    """A process that was killed while it wrote them must not leave the sandbox unusable."""
    make_certificates(tmp_path, NOW)
    before = contents(Certificates(tmp_path))
    match damage:
        case "absent":
            (tmp_path / name).unlink()
        case "empty":
            (tmp_path / name).write_bytes(b"")
        case _:
            (tmp_path / name).write_bytes((certificates.folder / name).read_bytes())
    after = contents(make_certificates(tmp_path, NOW))
    assert after.keys() == before.keys()
    assert all(after[each] != before[each] for each in after if each != ".lock")


def test_callers_that_start_together_agree_on_one_set(tmp_path: Path) -> None:
    seen: list[dict[str, bytes]] = []
    threads = [
        threading.Thread(target=lambda: seen.append(contents(make_certificates(tmp_path, NOW)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert all(each == seen[0] for each in seen)
