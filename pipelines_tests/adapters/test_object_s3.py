"""What can be wrong with S3, on the way to a real server of it: it is never taken for emptiness or absence."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pipelines.adapters.objects import (
    ObjectChanged,
    ObjectInfo,
    ObjectMissing,
    Objects,
    ObjectsUnavailable,
    open_objects,
    s3,
    stored,
)
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.adapters.stores import ON_A_SERVER
from pipelines_tests.servers.aws import NOBODY, REGION, Account, variables
from pipelines_tests.servers.disturbed import (
    Answer,
    Asked,
    Disturbed,
    Forward,
    Meddling,
    cutting,
    disturbed,
    from_the,
    refusing,
    untouched,
)
from pipelines_tests.servers.programs import HOST, free_ports
from pipelines_tests.servers.seaweedfs import KEYS

SOON = timedelta(milliseconds=5)
TRIES = 3


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(s3.RETRIES, "max_retries", TRIES - 1)
    monkeypatch.setitem(s3.RETRIES, "backoff", {"init_backoff": SOON, "max_backoff": SOON})
    monkeypatch.setitem(s3.TIMES, "read_timeout", timedelta(seconds=2))


@pytest.fixture
def way(seaweedfs: Account) -> Iterator[Disturbed]:
    with disturbed(seaweedfs.endpoint) as way:
        yield way


@pytest.fixture
def account(seaweedfs: Account, way: Disturbed) -> Iterator[Account]:
    """The server over the disturbed way, in use."""
    with seaweedfs.at(way.endpoint).in_use() as account:
        yield account


@pytest.fixture
def objects(account: Account, way: Disturbed, tmp_path: Path) -> Objects:
    """A store with two objects in it, over the disturbed way."""
    objects = open_objects(f"s3://{account.bucket}/{tmp_path.name}")
    for key in ("a/1", "a/2"):
        objects.put(key, b"what is in it")
    way.asked.clear()
    return objects


def operations(objects: Objects) -> dict[str, Callable[[], Any]]:
    info = ObjectInfo("a/1", 4, "etag", datetime.now(UTC))
    return {
        "list": lambda: list(objects.list("")),
        "list a folder": lambda: list(objects.list("b/")),
        "head": lambda: objects.head("a/1"),
        "head what is not there": lambda: objects.head("none"),
        "get": lambda: objects.get("a/1"),
        "get a version": lambda: objects.get("a/1", etag="etag"),
        "get a part": lambda: objects.get_part(info, 0, 4),
        "stream": lambda: next(objects.stream("none")),
        "put": lambda: objects.put("a/1", b"new"),
        "put a file": lambda: objects.put_file("a/1", io.BytesIO(b"new")),
        "put a long file": lambda: objects.put_file("a/1", io.BytesIO(bytes(12_000_000))),
        "delete": lambda: objects.delete("a/1"),
        "delete what is not there": lambda: objects.delete("none"),
    }


def all_unavailable(objects: Objects) -> set[str]:
    """What is said by each operation, none of which succeeds."""
    said = set()
    for name, operation in operations(objects).items():
        with pytest.raises(ObjectsUnavailable) as raised:
            pytest.fail(f"{name}: {operation()!r}")
        said.add(str(raised.value).partition(": ")[2])
    return said


# Answers that tell of a failure


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "InternalError"),
        (503, "SlowDown"),
        (403, "AccessDenied"),
        (400, "ExpiredToken"),
        (404, "NoSuchBucket"),
        (404, "NotFound"),
        (409, "OperationAborted"),
        (301, "PermanentRedirect"),
    ],
)
def test_a_store_that_is_unwell_is_neither_empty_nor_without_the_object(
    way: Disturbed, objects: Objects, status: int, code: str
) -> None:
    way.meddle = refusing(status, code)
    said = all_unavailable(objects)
    assert {word for word in said if code in word} == ({f"{status} {code}"} if status != 301 else set())
    way.meddle = from_the(1, refusing(503, "SlowDown"), times=TRIES - 1)
    assert [info.key for info in objects.list("")] == ["a/1", "a/2"]


@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (503, "SlowDown")])
def test_a_short_disturbance_is_waited_for(way: Disturbed, objects: Objects, status: int, code: str) -> None:
    for operation in (
        lambda: list(objects.list("")),
        lambda: objects.head("a/1"),
        lambda: objects.get("a/1"),
        lambda: objects.put("a/1", b"what is in it"),
        lambda: objects.put_file("a/2", io.BytesIO(bytes(12_000_000))),
        lambda: objects.delete("a/2"),
    ):
        way.meddle = from_the(1, refusing(status, code), times=TRIES - 1)
        operation()
    way.meddle = refusing(404, "NoSuchKey")
    with pytest.raises(ObjectMissing):
        objects.get("a/1")


def test_a_lasting_disturbance_is_not(way: Disturbed, objects: Objects) -> None:
    """Whoever asks decides when to ask again: see the policy for retries."""
    way.meddle = refusing(503, "SlowDown")
    with pytest.raises(ObjectsUnavailable, match=r"^a/1: 503 SlowDown$"):
        objects.get("a/1")
    assert len(way.asked) == TRIES


def test_the_time_for_trying_again_has_a_bound() -> None:
    assert s3.RETRIES["retry_timeout"] <= timedelta(minutes=1)


@pytest.mark.parametrize("form", ON_A_SERVER)
def test_a_bucket_that_is_gone_is_neither_empty_nor_without_the_object(
    form: str, request: pytest.FixtureRequest
) -> None:
    account: Account = request.getfixturevalue(form)
    with account.in_use():
        said = all_unavailable(open_objects("s3://a-bucket-that-is-gone/folder"))
    assert said == {"404 NoSuchBucket"}


def test_a_bucket_that_goes_meanwhile_is_missed(seaweedfs: Account) -> None:
    with seaweedfs.in_use():
        seaweedfs.make_bucket("short-lived")
        objects = open_objects("s3://short-lived")
        objects.put("a/1", b"")
        objects.delete("a/1")
        assert list(objects.list("")) == []
        seaweedfs.client("s3").delete_bucket(Bucket="short-lived")
        assert all_unavailable(objects) == {"404 NoSuchBucket"}


def test_a_key_that_looks_like_an_answer_is_none(way: Disturbed, objects: Objects) -> None:
    key = "Server returned non-2xx status code: 404 <Code>NoSuchKey</Code>"
    way.meddle = refusing(404, "NoSuchBucket")
    with pytest.raises(ObjectsUnavailable, match=r"NoSuchBucket$"):
        objects.get(key)


# No way to it


def test_a_server_that_is_not_there_is_said_to_be_unreached(seaweedfs: Account) -> None:
    with seaweedfs.at(f"http://{HOST}:{free_ports(1)[0]}").in_use():
        assert all_unavailable(open_objects("s3://uploads")) == {"not reached (Connect)"}


def test_a_server_that_never_answers_is_not_waited_for_for_ever(
    way: Disturbed, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stall(asked: Asked, forward: Forward) -> Answer:
        time.sleep(1)
        return forward(asked)

    monkeypatch.setitem(s3.TIMES, "read_timeout", timedelta(milliseconds=50))
    hasty = open_objects(objects.url)
    way.meddle = stall
    for operation in (lambda: list(hasty.list("")), lambda: hasty.get("a/1"), lambda: hasty.put("a/1", b"")):
        with pytest.raises(ObjectsUnavailable, match="Timeout"):
            operation()


@pytest.mark.parametrize("body", [b"<html><body>Sign in", b"", b"Sign in"])
def test_what_is_no_listing_is_not_an_empty_one(way: Disturbed, objects: Objects, body: bytes) -> None:
    way.meddle = lambda *_: Answer(200, {}, body)
    with pytest.raises(ObjectsUnavailable):
        list(objects.list(""))


# Listings in pages


@pytest.fixture
def pages(moto: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Disturbed, Objects]]:
    """A store whose server gives two objects a page; it has five."""
    monkeypatch.setattr(stored, "_PAGE", 2)
    with disturbed(moto.endpoint) as way, moto.at(way.endpoint).in_use():
        objects = open_objects(f"s3://{moto.bucket}/{tmp_path.name}")
        for number in range(5):
            objects.put(f"a/{number}", b"")
        way.meddle = two_a_page
        way.asked.clear()
        yield way, objects


def two_a_page(asked: Asked, forward: Forward) -> Answer:
    return forward(replace(asked, path=f"{asked.path}&max-keys=2"))


def torn_text(asked: Asked, forward: Forward) -> Answer:
    """The end is missing, and nothing in the headers tells."""
    answer = two_a_page(asked, forward)
    body = answer.body[: len(answer.body) // 2]
    return replace(answer, body=body, headers={**answer.headers, "Content-Length": str(len(body))})


def torn_page(asked: Asked, forward: Forward) -> Answer:
    return replace(two_a_page(asked, forward), whole=False)


def test_a_listing_reads_its_pages_as_they_are_consumed(pages: tuple[Disturbed, Objects]) -> None:
    way, objects = pages
    listing = objects.list("a/")
    assert next(listing).key == "a/0"
    assert len(way.asked) == 1
    assert [info.key for info in listing] == ["a/1", "a/2", "a/3", "a/4"]
    assert len(way.asked) == 3


@pytest.mark.parametrize(
    "fault",
    [refusing(503, "SlowDown"), refusing(404, "NoSuchBucket"), refusing(403, "AccessDenied"), torn_text, torn_page],
    ids=["slow", "gone", "denied", "torn text", "torn page"],
)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_listing_that_is_cut_raises_and_what_was_read_stands(
    pages: tuple[Disturbed, Objects], fault: Meddling, at: int
) -> None:
    way, objects = pages
    way.meddle = from_the(at, fault, otherwise=two_a_page)
    found: list[str] = []
    with pytest.raises(ObjectsUnavailable):
        found.extend(info.key for info in objects.list("a/"))
    assert found == [f"a/{number}" for number in range(2 * (at - 1))]
    way.meddle = two_a_page
    rest = [info.key for info in objects.list("a/", after=found[-1] if found else None)]
    assert found + rest == [f"a/{number}" for number in range(5)]


# Whole or not at all


class Torn(io.RawIOBase):
    """A file that can't be read to its end."""

    def __init__(self) -> None:
        self.left = 11_000_000

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.left <= 0:
            raise OSError("cut")
        self.left -= len(buffer)
        return len(buffer)


def unfinished(account: Account) -> list[Any]:
    found: list[Any] = account.client("s3").list_multipart_uploads(Bucket=account.bucket).get("Uploads", [])
    return found


def test_a_file_that_can_not_be_read_to_its_end_is_not_stored(account: Account, objects: Objects) -> None:
    before = objects.head("a/1")
    for key in ("a/1", "a/new"):
        with pytest.raises(ObjectsUnavailable):
            objects.put_file(key, io.BufferedReader(Torn()))
    assert [info.key for info in objects.list("")] == ["a/1", "a/2"]
    assert objects.head("a/1") == before
    assert unfinished(account) == []


def test_a_file_of_which_a_part_is_refused_is_not_stored(way: Disturbed, account: Account, objects: Objects) -> None:
    def refuse_the_second(asked: Asked, forward: Forward) -> Answer:
        return refusing(500, "InternalError")(asked, forward) if "partNumber=2&" in asked.path else forward(asked)

    before = objects.head("a/1")
    way.meddle = refuse_the_second
    with pytest.raises(ObjectsUnavailable, match="500 InternalError"):
        objects.put_file("a/1", io.BytesIO(bytes(12_000_000)))
    way.meddle = untouched
    assert objects.head("a/1") == before
    assert unfinished(account) == []


def test_a_long_file_goes_in_parts_and_is_whole(way: Disturbed, objects: Objects) -> None:
    body = os.urandom(12_000_000)
    info = objects.put_file("a/long", io.BytesIO(body))
    assert sum("partNumber=" in asked.path for asked in way.asked) > 1
    assert info.size == len(body)
    assert objects.get("a/long", etag=info.etag) == body
    assert b"".join(objects.stream("a/long", etag=info.etag)) == body


def test_an_answer_that_is_cut_is_never_taken_for_the_whole(way: Disturbed, objects: Objects) -> None:
    body = os.urandom(4_000_000)
    objects.put("a/long", body)
    for operation in (objects.get, lambda key: b"".join(objects.stream(key))):
        way.meddle = from_the(1, cutting, times=1)
        assert operation("a/long") == body
        way.meddle = cutting
        with pytest.raises(ObjectsUnavailable):
            operation("a/long")


def test_what_goes_on_after_a_cut_is_of_the_same_version(way: Disturbed, objects: Objects) -> None:
    def rewrite(asked: Asked, forward: Forward) -> Answer:
        answer = cutting(asked, forward)
        way.meddle = untouched
        objects.put("a/long", b"other" * 800_000)
        return answer

    body = os.urandom(4_000_000)
    for etag in (None, objects.put("a/long", body).etag):
        objects.put("a/long", body)
        way.meddle = rewrite
        with pytest.raises((ObjectsUnavailable, ObjectChanged)):
            objects.get("a/long", etag=etag)


# Who is asking


def test_a_wrong_secret_is_refused_and_not_told(seaweedfs: Account, caplog: pytest.LogCaptureFixture) -> None:
    with seaweedfs.in_use(AWS_SECRET_ACCESS_KEY="canary-secret", AWS_SESSION_TOKEN="canary-token"):
        objects = open_objects("s3://uploads/folder")
        said = all_unavailable(objects)
        assert {word.partition(" ")[0] for word in said} == {"403"}
        try:
            objects.get("a")
        except ObjectsUnavailable as error:
            told = "".join(traceback.format_exception(error))
        vars_of_it = f"{objects!r} {vars(objects)!r}"
    assert "canary" not in told + vars_of_it + caplog.text


def test_what_a_store_repeats_of_a_signature_is_not_handed_on(way: Disturbed, objects: Objects) -> None:
    """S3 explains a wrong signature by all that it was made of, the session's token too."""
    way.meddle = refusing(
        403, "SignatureDoesNotMatch", more="<CanonicalRequest>x-amz-security-token:canary</CanonicalRequest>"
    )
    with pytest.raises(ObjectsUnavailable, match=r"^a: 403 SignatureDoesNotMatch$") as raised:
        objects.get("a")
    assert "canary" not in "".join(traceback.format_exception(raised.value))


def test_without_credentials_it_says_so_and_asks_nobody(way: Disturbed) -> None:
    with variables(NOBODY | {"AWS_ENDPOINT_URL": way.endpoint}):
        assert all_unavailable(open_objects("s3://uploads/folder")) == {"no credentials could be had (LookupError)"}
    assert way.asked == []


class Role:
    """Gives temporary keys as AWS does, by a program that a profile names; the server refuses those that expired."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.given = folder / "given"
        self.now = folder / "now.json"
        program = folder / "role"
        program.write_text(f'#!/bin/sh\necho >>"{self.given}"\ncat "{self.now}"\n')
        program.chmod(0o700)
        self.config = folder / "config"
        self.config.write_text(
            f"[profile role]\nregion = {REGION}\nendpoint_url = {endpoint}\ncredential_process = {program}\n"
        )
        self.expired: set[str] = set()

    def give(self, key: str, good_for: timedelta) -> None:
        words = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": KEYS[key]}
        new = self.now.with_suffix(".new")
        new.write_text(json.dumps(words | {"Expiration": (datetime.now(UTC) + good_for).isoformat()}))
        new.replace(self.now)

    def check(self, asked: Asked, forward: Forward) -> Answer:
        key = asked.headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        return refusing(400, "ExpiredToken")(asked, forward) if key in self.expired else forward(asked)

    @property
    def variables(self) -> dict[str, str]:
        return {"AWS_PROFILE": "role", "AWS_CONFIG_FILE": str(self.config)}


@pytest.fixture
def role(tmp_path: Path, way: Disturbed) -> Iterator[Role]:
    role = Role(tmp_path, way.endpoint)
    role.give("pipelines", timedelta(minutes=9))
    way.meddle = role.check
    with variables(NOBODY | role.variables):
        yield role


def test_credentials_that_expire_in_a_run_are_renewed_in_time(role: Role) -> None:
    objects = open_objects("s3://uploads/expiring")
    objects.put("a/1", b"")
    role.give("pipelines-next", timedelta(minutes=9))  # botocore asks for new ones ten minutes ahead
    time.sleep(0.2)
    role.expired.add("pipelines")
    for number in range(2, 5):
        objects.put(f"a/{number}", b"")
    assert [info.key for info in objects.list("")] == [f"a/{number}" for number in range(1, 5)]


def test_credentials_that_are_good_for_long_are_not_asked_for_each_time(role: Role) -> None:
    role.give("pipelines", timedelta(hours=1))
    objects = open_objects("s3://uploads/expiring")
    for _ in range(20):
        objects.put("a/1", b"")
    assert len(role.given.read_text()) == 1


def test_credentials_that_expire_before_their_time_make_it_unavailable_until_there_are_others(role: Role) -> None:
    objects = open_objects("s3://uploads/expiring")
    objects.put("a/1", b"")
    role.expired.add("pipelines")
    time.sleep(0.2)
    assert all_unavailable(objects) <= {"400 ExpiredToken", "400"}
    role.give("pipelines-next", timedelta(minutes=9))
    time.sleep(0.2)
    assert objects.get("a/1") == b""


def test_a_role_that_can_not_be_taken_makes_it_unavailable(role: Role) -> None:
    objects = open_objects("s3://uploads/expiring")
    role.now.write_text("canary, no keys")
    with pytest.raises(ObjectsUnavailable, match=r"^: no credentials could be had \(\w+\)$") as raised:
        list(objects.list(""))
    assert "canary" not in "".join(traceback.format_exception(raised.value))
    role.give("pipelines", timedelta(hours=1))
    assert list(objects.list("")) is not None


# What is opened


@pytest.mark.parametrize(
    "url",
    ["s3://", "s3:///folder", "s3://Bucket", "s3://b", "s3://bucket//a", "s3://bucket/../a", "s3://key:secret@bucket"],
)
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"objects: s3:// names a bucket|not a key"):
        open_objects(url)


@pytest.mark.parametrize("url", ["s3://bucket/a?versionId=canary", "s3://bucket/a#canary"])
def test_a_url_with_more_than_a_place_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="objects: s3:// names a bucket") as raised:
        open_objects(url)
    assert "canary" not in str(raised.value)


def test_an_endpoint_elsewhere_needs_https() -> None:
    with variables(NOBODY | {"AWS_ENDPOINT_URL_S3": "http://s3.example"}), pytest.raises(ValueError, match="https://"):
        open_objects("s3://bucket")
    for endpoint in ("https://s3.example", "http://localhost:1"):
        with variables(NOBODY | {"AWS_ENDPOINT_URL": endpoint}):
            open_objects("s3://bucket")


def test_an_endpoint_is_trusted_by_the_authority_that_is_named(
    seaweedfs: Account, certificates: Certificates, strangers: Certificates
) -> None:
    with disturbed(seaweedfs.endpoint, certificates.server) as way, seaweedfs.at(way.endpoint).in_use() as account:
        os.environ["AWS_CA_BUNDLE"] = str(certificates.authority)
        assert list(open_objects(f"s3://{account.bucket}/over-tls").list("")) == []
        os.environ["AWS_CA_BUNDLE"] = str(strangers.authority)
        assert all_unavailable(open_objects(f"s3://{account.bucket}/over-tls")) == {"not reached (Connect)"}


def test_stores_in_folders_of_one_bucket_do_not_see_each_other(account: Account, tmp_path: Path) -> None:
    one, other = (open_objects(f"s3://{account.bucket}/{tmp_path.name}/{name}") for name in ("land", "landed/"))
    one.put("a", b"one")
    other.put("b", b"other")
    assert [info.key for info in one.list("")] == ["a"]
    assert [info.key for info in other.list("")] == ["b"]


def test_opening_asks_nobody_and_whoever_keeps_files_loads_nothing_of_it() -> None:
    code = """
        import sys
        from pipelines.adapters.objects import open_objects
        open_objects("file:///folder")
        assert not {"boto3", "botocore", "fsspec", "pyarrow.fs"} & set(sys.modules)
        open_objects("s3://bucket/folder")
    """
    away = {**os.environ, "AWS_ENDPOINT_URL": f"http://{HOST}:{free_ports(1)[0]}"}
    subprocess.run([sys.executable, "-c", dedent(code)], check=True, env=away, timeout=60)
