"""Secrets by reference; the stores are moto's."""

from __future__ import annotations

import json
import uuid
from base64 import encodebytes
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from pipelines.adapters.secret_stores import SecretStores, SecretUnavailable, decoded, is_reference
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.programs import HOST, free_ports
from pipelines_tests.servers.queues import client
from pipelines_tests.servers.secret_keeping import keep_parameter, keep_secret, new_user, only_with_rights

BINARY = bytes(range(256))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running_moto(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture(autouse=True)
def account(server: Account) -> Iterator[Account]:
    with server.in_use():
        yield server


@pytest.fixture
def name() -> str:
    return f"pipelines/{uuid.uuid4().hex}"


def test_a_secret_is_read_by_its_name_and_by_its_arn(name: str) -> None:
    keep_secret(name, "canary é")
    arn = client("secretsmanager").describe_secret(SecretId=name)["ARN"]
    for reference in (f"secretsmanager://{name}", f"secretsmanager://{arn}"):
        assert SecretStores().read(reference) == "canary é".encode()


def test_a_secret_that_a_database_manages_is_read_by_its_name(name: str) -> None:
    keep_secret(f"rds!{name}", '{"password": "canary"}')
    assert SecretStores().read(f"secretsmanager://rds!{name}#password") == b"canary"


def test_a_binary_secret_is_read_as_it_is(name: str) -> None:
    keep_secret(name, BINARY)
    assert SecretStores().read(f"secretsmanager://{name}") == BINARY


@pytest.mark.parametrize("form", ["ssm://{}", "ssm:///{}", "ssm://{}:2", "ssm://{arn}"])
def test_a_parameter_is_read_decrypted_by_its_path_its_version_and_its_arn(name: str, form: str) -> None:
    for value in ("before", "canary"):
        keep_parameter(f"/{name}", value)
    arn = client("ssm").get_parameter(Name=f"/{name}")["Parameter"]["ARN"]
    assert SecretStores().read(form.format(name, arn=arn)) == b"canary"


def test_a_parameter_in_no_path_has_no_slash_before_it() -> None:
    keep_parameter("alone", "canary")
    assert SecretStores().read("ssm://alone") == b"canary"


def test_a_field_of_a_secret_is_read_in_either_store(name: str) -> None:
    fields = '{"subscription key": "canary", "password": "another", "port": 5432}'
    keep_secret(name, fields)
    keep_parameter(f"/{name}", fields)
    stores = SecretStores()
    for store in ("secretsmanager", "ssm"):
        assert stores.read(f"{store}://{name}#subscription key") == b"canary"
        for field in ("port", "none"):
            with pytest.raises(SecretUnavailable, match="no such field, or one that is no text"):
                stores.read(f"{store}://{name}#{field}")


@pytest.mark.parametrize("content", ["canary", "[1]", '"canary"', BINARY])
def test_what_is_no_object_has_no_fields(name: str, content: str | bytes) -> None:
    keep_secret(name, content)
    with pytest.raises(SecretUnavailable, match="it is no JSON object") as raised:
        SecretStores().read(f"secretsmanager://{name}#field")
    assert "canary" not in str(raised.value)


def test_what_is_empty_is_no_secret(name: str) -> None:
    keep_secret(name, '{"field": ""}')
    with pytest.raises(SecretUnavailable, match="it is empty"):
        SecretStores().read(f"secretsmanager://{name}#field")


@pytest.mark.parametrize(
    "reference",
    ["vault://canary", "secretsmanager://", "ssm://#canary", "ssm://a b-canary", "ssm://canary#", "SSM://canary"],
)
def test_what_names_no_secret_is_refused_without_a_word_of_it(reference: str) -> None:
    with pytest.raises(SecretUnavailable, match=r"those are secretsmanager://name, ssm://parameter/path") as raised:
        SecretStores().read(reference)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize(
    "value", ["canary", "/run/secrets/client.pem", "file:///canary", "horse://battery", "-----BEGIN", "a/ssm://c", ""]
)
def test_other_values_are_no_references(value: str) -> None:
    assert not is_reference(value)


@pytest.mark.parametrize("store", ["secretsmanager", "ssm"])
class TestWhatCannotBeHad:
    def test_it_is_not_there(self, store: str) -> None:
        self.fails(store, r"not found \((ResourceNotFoundException|ParameterNotFound)\)")

    def test_it_is_not_ours_to_read(self, account: Account, store: str) -> None:
        somebody = new_user(account, uuid.uuid4().hex, [])
        with only_with_rights(account), somebody.in_use():
            self.fails(store, r"denied \(403\)")

    def test_our_key_is_not_known(self, account: Account, store: str) -> None:
        with only_with_rights(account), account.in_use(AWS_ACCESS_KEY_ID="AKIANOBODY"):
            self.fails(store, r"denied \(403\)")

    @pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException", "DecryptionFailure"])
    def test_it_is_denied_as_aws_says_it(self, account: Account, store: str, code: str) -> None:
        """moto has no word for it."""
        body = json.dumps({"__type": code, "message": "canary"})
        with answering(400, body) as endpoint, account.in_use(AWS_ENDPOINT_URL=endpoint):
            self.fails(store, rf"denied \({code}\)")

    def test_the_store_is_not_reached(self, account: Account, store: str) -> None:
        (port,) = free_ports(1)
        with account.in_use(AWS_ENDPOINT_URL=f"http://{HOST}:{port}"):
            self.fails(store, r"not reached \(EndpointConnectionError\)")

    def test_there_are_no_credentials(self, account: Account, store: str) -> None:
        with account.in_use(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""):
            self.fails(store, "denied: there are no credentials")

    def fails(self, store: str, words: str) -> None:
        with pytest.raises(SecretUnavailable, match=words) as raised:
            SecretStores().read(f"{store}://pipelines/canary")
        assert "canary" not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """The endpoint of what answers so to everything."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Nothing is said on the terminal."""

    with ThreadingHTTPServer((HOST, 0), Answering) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_secret_that_is_being_deleted_is_refused(name: str) -> None:
    keep_secret(name, "canary")
    client("secretsmanager").delete_secret(SecretId=name)
    with pytest.raises(SecretUnavailable, match="refused"):
        SecretStores().read(f"secretsmanager://{name}")


def test_each_secret_is_asked_for_once_and_again_after_a_while(name: str) -> None:
    """A run reads several fields of one; a process that stays must come to know a new value."""
    now = 100.0
    keep_secret(name, '{"a": "1", "b": "2"}')
    keep_parameter(f"/{name}", "1")
    stores = SecretStores(30, lambda: now)
    fields = [f"secretsmanager://{name}#a", f"secretsmanager://{name}#b", f"ssm://{name}"]
    assert [stores.read(field) for field in fields] == [b"1", b"2", b"1"]
    keep_secret(name, '{"a": "3", "b": "4"}')
    keep_parameter(f"/{name}", "5")
    now += 29
    assert [stores.read(field) for field in fields] == [b"1", b"2", b"1"]
    now += 1
    assert [stores.read(field) for field in fields] == [b"3", b"4", b"5"]


def test_a_failure_is_not_remembered(name: str) -> None:
    stores = SecretStores()
    with pytest.raises(SecretUnavailable):
        stores.read(f"secretsmanager://{name}")
    keep_secret(name, "canary")
    assert stores.read(f"secretsmanager://{name}") == b"canary"


def test_a_binary_file_may_be_kept_as_a_text() -> None:
    assert decoded(encodebytes(BINARY)) == BINARY
    pem = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    assert decoded(pem) == pem
    pkcs12 = b"\x30\x82" + BINARY
    assert decoded(pkcs12) == pkcs12
