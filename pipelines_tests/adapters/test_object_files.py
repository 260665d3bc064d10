"""What only the file form of objects can promise or break."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects, ObjectsUnavailable, open_objects
from pipelines.adapters.objects.contract import UNFINISHED


@pytest.fixture
def files(tmp_path: Path) -> tuple[Objects, Path]:
    root = tmp_path / "root"
    return open_objects(root.as_uri()), root


def keys(objects: Objects, prefix: str = "", after: str | None = None) -> list[str]:
    return [info.key for info in objects.list(prefix, after=after)]


def test_nothing_is_made_before_something_is_written(files: tuple[Objects, Path]) -> None:
    objects, root = files
    assert keys(objects) == []
    assert not root.exists()
    objects.put("a", b"")
    assert root.is_dir()


def test_bytes_are_durable_before_they_have_a_name_and_the_name_before_put_returns(
    files: tuple[Objects, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut must not leave an empty file under a final name."""
    objects, root = files
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(opened: int) -> None:
        fsync(opened)
        events.append(str(Path(f"/dev/fd/{opened}").resolve().relative_to(root.resolve().parent)))

    def noted_replace(path: Path, target: Path) -> Path:
        events.append(f"named {target.name}")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    objects.put("a/b/c", b"1")
    part = next(event for event in events if event.startswith(f"root/{UNFINISHED}/"))
    assert events[events.index(part) :] == [part, "root", "root/a", "named c", "root/a/b"]


@pytest.fixture
def killed_write(files: tuple[Objects, Path], tmp_path: Path) -> Iterator[Callable[[str, int], None]]:
    """Starts to put a file in a process of its own and kills that after so many bytes.

    The source is a pipe: whoever could write that much into it knows that all but a buffer's worth was read.
    """
    source = tmp_path / "source"
    os.mkfifo(source)
    code = (
        "import sys; from pipelines.adapters.objects import open_objects;"
        "open_objects(sys.argv[1]).put_file(sys.argv[2], open(sys.argv[3], 'rb'))"
    )

    def run(key: str, size: int) -> None:
        command = [sys.executable, "-c", code, files[0].url, key, str(source)]
        with (
            subprocess.Popen(command) as writer,  # our own code
            source.open("wb", buffering=0) as pipe,
        ):
            for _ in range(size >> 16):
                pipe.write(bytes(1 << 16))
            writer.send_signal(signal.SIGKILL)
            assert writer.wait() == -signal.SIGKILL

    yield run
    source.unlink()


def test_a_killed_write_leaves_no_object_and_the_old_version_whole(
    files: tuple[Objects, Path], killed_write: Callable[[str, int], None]
) -> None:
    objects, root = files
    for size in (1 << 17, 1 << 22, 1 << 24):
        killed_write("a/new", size)
        assert keys(objects) == []
        with pytest.raises(ObjectMissing):
            objects.head("a/new")
    old = objects.put("a/old", b"old")
    killed_write("a/old", 1 << 22)
    assert objects.head("a/old") == old
    assert objects.get("a/old") == b"old"
    assert len(list((root / UNFINISHED).iterdir())) == 4


def test_what_killed_writers_left_is_cleared_once_it_is_old(files: tuple[Objects, Path]) -> None:
    objects, root = files
    (root / UNFINISHED).mkdir(parents=True)
    for name, age in {"old": timedelta(days=2), "live": timedelta(hours=23)}.items():
        (root / UNFINISHED / name).touch()
        changed = (datetime.now(UTC) - age).timestamp()
        os.utime(root / UNFINISHED / name, (changed, changed))
    objects.put("a", b"")
    assert [path.name for path in (root / UNFINISHED).iterdir()] == ["live"]


def test_a_failed_write_leaves_nothing(files: tuple[Objects, Path]) -> None:
    objects, root = files
    objects.put("folder/a", b"")
    with pytest.raises(ObjectsUnavailable):
        objects.put("folder", b"")
    assert keys(objects) == ["folder/a"]
    assert list((root / UNFINISHED).iterdir()) == []


@pytest.mark.parametrize("read", [lambda o: o.get("a"), lambda o: b"".join(o.stream("a"))], ids=["get", "stream"])
def test_a_file_rewritten_in_place_while_it_is_read_is_a_changed_one(
    files: tuple[Objects, Path], monkeypatch: pytest.MonkeyPatch, read: Callable[[Objects], bytes]
) -> None:
    """Writers other than ours don't rename; half of one version and half of another must not pass for an object."""
    objects, root = files
    objects.put("a", bytes(3 << 20))
    fstat = os.fstat

    def rewritten_after(opened: int) -> os.stat_result:
        found = fstat(opened)
        with (root / "a").open("r+b") as file:
            file.write(b"x")
        os.utime(root / "a", ns=(0, found.st_mtime_ns + 1))
        return found

    monkeypatch.setattr(os, "fstat", rewritten_after)
    with pytest.raises(ObjectChanged):
        read(objects)


def test_one_folder_is_listed_without_opening_others(
    files: tuple[Objects, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, root = files
    for key in ["f/01/a", "f/02/a", "f/02/in/a", "f/03/a"]:
        objects.put(key, b"")
    opened: list[str] = []
    scandir = os.scandir

    def noted(path: Path) -> Any:
        opened.append(str(path.relative_to(root.resolve())))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", noted)
    assert keys(objects, "f/02/") == ["f/02/a", "f/02/in/a"]
    assert opened == ["f/02", "f/02/in"]
    opened.clear()
    assert keys(objects, "f/", after="f/02/in/a") == ["f/03/a"]
    assert opened == ["f", "f/02", "f/02/in", "f/03"]
    opened.clear()
    assert next(objects.list("f/")).key == "f/01/a"
    assert opened == ["f", "f/01"]


def test_a_large_file_passes_through_little_memory(files: tuple[Objects, Path], tmp_path: Path) -> None:
    objects, _ = files
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(200 << 20)
    tracemalloc.start()
    try:
        with source.open("rb") as file:
            objects.put_file("a", file)
        assert sum(len(chunk) for chunk in objects.stream("a")) == 200 << 20
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_links_and_names_that_are_no_keys_are_left_out_and_said(
    files: tuple[Objects, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    objects, root = files
    objects.put("in/a", b"")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("x")
    (root / "in" / "folder").symlink_to(outside)
    (root / "in" / "file").symlink_to(outside / "secret")
    (root / "in" / "loop").symlink_to(root)
    os.mkfifo(root / "in" / "pipe")
    (root / "in" / "two\nlines").touch()
    with caplog.at_level(logging.WARNING):
        assert keys(objects) == ["in/a"]
    assert "5 names" in caplog.text
    for key in ["in/folder/secret", "in/file"]:
        for operation in (objects.get, objects.head, objects.delete, lambda key: objects.put(key, b"")):
            with pytest.raises(ValueError, match="symbolic link"):
                operation(key)
    assert (outside / "secret").read_text() == "x"


def test_the_root_itself_may_be_a_link(files: tuple[Objects, Path], tmp_path: Path) -> None:
    objects, root = files
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")
    info = objects.put("a/b", b"1")
    assert list(objects.list("a/")) == [info]
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"1"
