from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import HTTPStore

from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects, ObjectsUnavailable, exists, open_objects
from pipelines.adapters.objects.contract import UNFINISHED
from pipelines.adapters.objects.stored import StoredObjects
from pipelines_tests.adapters.stores import DEPLOYED, FORMS, ON_A_SERVER, empty

KEYS = [
    "plain.json",
    "a folder/with spaces .json",
    "ünï/cödé/日本.json",
    "hash#1",
    "folder#12/more#3.json",
    "percent%20and%2Fslash",
    "back\\slash?and*star",
    ".hidden/.file",
    "x" * 255,
    "/".join(["y" * 200] * 5),
]

NO_KEYS = ["", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\x00b", "a\nb", "z" * 256, "a/" * 600 + "b"]


@pytest.fixture(params=[*FORMS, DEPLOYED])
def form(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def objects(form: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Objects]:
    with empty(form, tmp_path, request) as url:
        yield open_objects(url)


def in_order(form: str, names: Iterable[str]) -> list[str]:
    """As a store of that form lists them."""
    if form == "seaweedfs":  # it goes through the folders, each in the order of its names
        return sorted(names, key=lambda name: [part.encode() for part in name.split("/")])
    return sorted(names, key=str.encode)


def keys(objects: Objects, prefix: str = "", after: str | None = None) -> list[str]:
    return [info.key for info in objects.list(prefix, after=after)]


@pytest.mark.parametrize(
    ("form", "key"),
    # SeaweedFS takes a backslash for a slash, as S3 does not.
    [(form, key) for form in FORMS for key in KEYS if form != "seaweedfs" or "\\" not in key],
)
def test_what_is_put_is_read_back_under_its_very_key(objects: Objects, key: str) -> None:
    info = objects.put(key, b"body")
    assert (info.key, info.size) == (key, 4)
    assert objects.get(key) == b"body"
    assert b"".join(objects.stream(key)) == b"body"
    assert objects.head(key) == info
    assert list(objects.list("")) == [info]
    objects.delete(key)
    assert keys(objects) == []


@pytest.mark.parametrize("key", [*NO_KEYS, f"a/{UNFINISHED}/b", "lone\udc80surrogate"])
def test_what_is_no_key_is_refused_by_every_operation(objects: Objects, key: str) -> None:
    operations: list[Callable[[], Any]] = [
        lambda: objects.head(key),
        lambda: objects.get(key),
        lambda: next(objects.stream(key)),
        lambda: objects.put(key, b""),
        lambda: objects.put_file(key, BytesIO()),
        lambda: objects.delete(key),
        lambda: next(objects.list(f"{key}/")),
    ]
    for operation in operations:
        with pytest.raises(ValueError, match=r"not a key|surrogates not allowed"):
            operation()


def test_a_missing_object_is_missing_and_deleting_it_is_fine(objects: Objects) -> None:
    objects.put("a/b.json", b"")
    for key in ["b.json", "a", "a/b", "a/b.json/c"]:
        for read in (objects.head, objects.get, lambda key: next(objects.stream(key))):
            with pytest.raises(ObjectMissing):
                read(key)
        objects.delete(key)
    assert keys(objects) == ["a/b.json"]


def test_an_empty_object_is_an_object(objects: Objects) -> None:
    assert objects.put("empty", b"").size == 0
    assert objects.get("empty") == b""
    assert b"".join(objects.stream("empty")) == b""


def test_rewriting_changes_the_etag(objects: Objects) -> None:
    etags = {objects.put("a", b"%02d" % number).etag for number in range(20)}
    assert len(etags) == 20


@pytest.mark.parametrize("form", sorted({*FORMS} - {*ON_A_SERVER}))
def test_the_etag_of_a_local_object_changes_even_with_the_same_bytes(objects: Objects) -> None:
    """In S3 it does not: there an etag stands for the bytes."""
    etags = {objects.put("a", b"same").etag for _ in range(20)}
    assert len(etags) == 20


def test_etags_stand_without_quotes(objects: Objects) -> None:
    """Notifications carry them so, and both must name one version."""
    assert '"' not in objects.put("a", b"1").etag


def test_a_version_that_was_replaced_is_never_read_in_its_name(objects: Objects) -> None:
    old = objects.put("a", b"old")
    new = objects.put("a", b"new")
    for read in (objects.get, lambda key, etag: b"".join(objects.stream(key, etag=etag))):
        assert read("a", etag=new.etag) == b"new"
        with pytest.raises(ObjectChanged):
            read("a", etag=old.etag)


def test_whether_an_object_or_one_version_of_it_is_there(objects: Objects) -> None:
    old = objects.put("a/b", b"old")
    new = objects.put("a/b", b"new")
    assert [exists(objects, key) for key in ("a/b", "a", "b")] == [True, False, False]
    assert [exists(objects, "a/b", etag) for etag in (new.etag, old.etag)] == [True, False]
    objects.delete("a/b")
    assert not exists(objects, "a/b", new.etag)


def test_a_stream_stays_with_the_version_that_it_began(objects: Objects) -> None:
    body = os.urandom(5_000_000)
    info = objects.put("a", body)
    stream = objects.stream("a", etag=info.etag)
    start = next(stream)
    objects.put("a", b"other" * 1_000_000)
    assert start + b"".join(stream) == body


def test_a_part_is_of_the_version_that_was_asked_for(objects: Objects) -> None:
    info = objects.put("a/b", b"0123456789")
    ends = {(0, 4): b"0123", (4, 10): b"456789", (8, 20): b"89", (10, 12): b"", (5, 5): b"", (20, 30): b""}
    assert {ends: objects.get_part(info, *ends) for ends in ends} == ends
    new = objects.put("a/b", b"abcdefghij")
    with pytest.raises(ObjectChanged):
        objects.get_part(info, 0, 4)
    assert objects.get_part(new, 0, 4) == b"abcd"
    objects.delete("a/b")
    with pytest.raises(ObjectMissing):
        objects.get_part(new, 0, 4)


def test_times_are_utc_and_of_now(objects: Objects) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    modified = objects.put("a", b"").modified
    assert modified.tzinfo is UTC
    assert before < modified < before + timedelta(minutes=2)


@pytest.mark.parametrize("start", [0, 3, 7_000_001])
def test_of_an_open_file_what_is_left_to_read_is_put(objects: Objects, start: int) -> None:
    body = os.urandom(7_000_001)
    with TemporaryFile() as source:
        source.write(body)
        source.seek(start)
        info = objects.put_file("a/b", source)
    assert info == objects.head("a/b")
    assert objects.get("a/b") == body[start:]


def test_a_prefix_is_a_folder_and_not_the_start_of_a_name(form: str, objects: Objects) -> None:
    for key in ["a/b/c", "a/b/d/e", "a/bc", "a/b.json", "ab/c"]:
        objects.put(key, b"")
    assert keys(objects, "a/b/") == ["a/b/c", "a/b/d/e"]
    assert keys(objects, "a/") == in_order(form, ["a/b.json", "a/b/c", "a/b/d/e", "a/bc"])
    with pytest.raises(ValueError, match="ends with a slash"):
        next(objects.list("a/b"))


def test_an_absent_folder_is_empty(objects: Objects) -> None:
    assert keys(objects) == []
    objects.put("a", b"")
    assert keys(objects, "b/c/") == []
    assert keys(objects, "a/") == []


NAMES = st.sampled_from(["a", "a!", "a0", "a.b", "b", "é", "\U0001f600", "\ufffd"])
TREES = st.sets(st.lists(NAMES, min_size=1, max_size=3).map(lambda parts: "/".join(parts) + ".json"), max_size=8)


def test_a_listing_is_in_the_order_of_keys_and_goes_on_after_any_key(request: pytest.FixtureRequest, form: str) -> None:
    """A folder's place among files is that of its name with the slash: ``a.json`` comes before ``a/b.json``."""

    @settings(max_examples=10 if form in (*ON_A_SERVER, DEPLOYED) else 40)
    @given(tree=TREES, folder=st.lists(NAMES, max_size=1), after=st.lists(NAMES, min_size=1, max_size=3))
    def check(tree: set[str], folder: list[str], after: list[str]) -> None:
        prefix, position = "".join(f"{name}/" for name in folder), "/".join(after)
        with TemporaryDirectory() as home, empty(form, Path(home), request) as url:
            objects = open_objects(url)
            for key in tree:
                objects.put(key, b"")
            inside = in_order(form, [key for key in tree if key.startswith(prefix)])
            assert keys(objects, prefix) == inside
            for start in {position, *inside}:
                # No key of SeaweedFS is called like a folder: after that name it passes over all that is in the folder.
                if form == "seaweedfs" and any(key.startswith(f"{start}/") for key in inside):
                    continue
                listed = in_order(form, [start, *inside])
                assert keys(objects, prefix, start) == [
                    key for key in listed[listed.index(start) + 1 :] if key != start
                ]

    check()


def test_a_listing_of_many_pages_is_whole(form: str, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # two thousand of them prove nothing here
    names = [f"a/{number:05}" for number in range(1001 if form in (*ON_A_SERVER, DEPLOYED) else 2001)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: objects.put(name, b""), names))
    assert keys(objects, "a/") == names


@pytest.mark.parametrize("url", ["ftp://host/x", "/a/path", "", "s3:bucket"])
def test_an_unknown_scheme_names_those_that_are_known(url: str) -> None:
    with pytest.raises(ValueError, match=r"known are file://, memory://, s3://"):
        open_objects(url)


def test_a_relative_file_url_is_refused() -> None:
    with pytest.raises(ValueError, match="absolute"):
        open_objects("file://here")


def over_http(port: int) -> Objects:
    url = f"http://127.0.0.1:{port}/"
    options: Any = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
    return StoredObjects(url, HTTPStore.from_url(url, **options))


def root_in_the_way(folder: Path) -> Objects:
    (folder / "root").write_text("no folder")
    return open_objects((folder / "root").as_uri())


@pytest.mark.parametrize("form", ["file", "stored"])
def test_a_store_that_fails_is_neither_empty_nor_without_the_object(tmp_path: Path, form: str) -> None:
    objects = root_in_the_way(tmp_path) if form == "file" else over_http(9)
    operations: list[Callable[[], Any]] = [
        lambda: list(objects.list("")),
        lambda: list(objects.list("a/b/")),
        lambda: objects.head("a/b"),
        lambda: objects.get("a"),
        lambda: next(objects.stream("a")),
        lambda: objects.put("a/b", b""),
        lambda: objects.delete("a"),
    ]
    for operation in operations:
        with pytest.raises(ObjectsUnavailable):
            operation()


class NothingThere(BaseHTTPRequestHandler):
    """Answers 404, as for a bucket that does not exist."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_PUT = do_MKCOL = answer  # noqa: N815  # names that the base class looks for

    def log_message(self, *_: Any) -> None:
        """Tests are quiet."""


def test_only_a_read_takes_not_found_for_a_missing_object() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), NothingThere) as server:
        Thread(target=server.serve_forever).start()
        try:
            objects = over_http(server.server_port)
            with pytest.raises(ObjectMissing):
                objects.get("a")
            with pytest.raises(ObjectsUnavailable):
                objects.put("a", b"")
        finally:
            server.shutdown()
