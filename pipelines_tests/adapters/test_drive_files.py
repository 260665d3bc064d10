"""What only the file form of a drive can promise or break."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.drive import (
    Drive,
    DriveDenied,
    DriveUnavailable,
    Row,
    SheetChanged,
    SheetUnreadable,
    Tab,
    open_drive,
    reading,
)
from pipelines.adapters.drive.files import _file_name
from pipelines.adapters.objects.contract import UNFINISHED
from pipelines_tests.adapters.drives import FEEDS, Local, delimited, xlsx

TABS = [Tab("cases", ["a", "b"], [["1", "2"]])]


@pytest.fixture
def place(tmp_path: Path) -> Local:
    return Local(tmp_path / "drive", "csv")


def inbound(place: Local, feed: str = "nsss") -> Path:
    return place.root / feed / "inbound"


def unfinished(place: Local) -> list[str]:
    return [str(path.relative_to(place.root)) for path in (place.root / UNFINISHED).rglob("*")]


@pytest.mark.parametrize(
    "name",
    [".hidden.xlsx", "~$people.xlsx", ".~lock.people.ods#", "people.csv.part", "people.xlsx.crdownload", "a.tmp"],
)
def test_names_of_what_is_not_finished_are_left_out(place: Local, name: str) -> None:
    (inbound(place) / name).write_bytes(b"a,b\n")
    assert place.sheets() == []


def test_whatever_else_lies_there_is_listed_for_reading_to_refuse(place: Local) -> None:
    for name in ("notes", "letter.docx", "people.xlsx"):
        (inbound(place) / name).write_bytes(b"no sheet")
    found = place.sheets()
    assert sorted(sheet.name for sheet in found) == ["letter.docx", "notes", "people.xlsx"]
    assert sorted(sheet.stem for sheet in found) == ["letter.docx", "notes", "people"]
    for sheet in found:
        with pytest.raises(SheetUnreadable), place.drive.read(sheet) as rows:
            list(rows)


def test_what_a_file_is_shows_in_what_it_holds_and_not_in_its_name(place: Local) -> None:
    (inbound(place) / "people.csv").write_bytes(xlsx([["a", 1.0]]))
    with place.drive.read(place.sheets()[0]) as rows:
        assert list(rows) == [Row(1, ("a", "1"), (1,))]


def test_folders_and_links_are_left_out(place: Local, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_bytes(b"a,b\n")
    (inbound(place) / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inbound(place) / "done").mkdir()
    (inbound(place) / "done" / "old.csv").write_bytes(b"a,b\n")
    assert place.sheets() == []


def test_names_that_are_no_text_are_left_out_and_said_without_them(
    place: Local, caplog: pytest.LogCaptureFixture
) -> None:
    (Path(os.fsdecode(bytes(inbound(place)) + b"/Jos\xe9.csv"))).write_bytes(b"a,b\n")
    place.drop("nsss", "one", [["a", "b"]])
    with caplog.at_level(logging.WARNING):
        assert [sheet.stem for sheet in place.sheets()] == ["one"]
    assert "1 names in the inbound folder of nsss are not in UTF-8" in caplog.text
    assert "Jos" not in caplog.text


def test_a_file_is_taken_once_it_has_been_still_for_a_while_on_either_side_of_now(place: Local) -> None:
    place.drop("nsss", "one", [["a", "b"]])
    modified = place.sheets()[0].modified
    taken = [
        seconds
        for seconds in (-31, -30, -29, 0, 29, 30, 31)
        if place.drive.sheets(FEEDS, modified + timedelta(seconds=seconds))
    ]
    assert taken == [-31, -30, 30, 31]


def test_a_drive_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    """A share that is not mounted leaves an empty folder behind, or none."""
    for root in (tmp_path / "none", tmp_path):
        drive = open_drive(root.as_uri())
        asks: list[Callable[[Drive], object]] = [
            lambda drive: drive.sheets(["nsss"], datetime.now(UTC)),
            lambda drive: drive.outcomes("nsss", ["o"]),
            lambda drive: drive.write("nsss", "o", TABS),
        ]
        for ask in asks:
            with pytest.raises(DriveDenied, match="the inbound folder of nsss is not there"):
                ask(drive)
    assert list(tmp_path.iterdir()) == []


def test_a_listing_that_fails_in_one_folder_is_a_failure(place: Local) -> None:
    place.drop("nsss", "one", [["a", "b"]])
    inbound(place, "spl").rmdir()
    inbound(place, "spl").write_bytes(b"")
    with pytest.raises(DriveDenied, match="the inbound folder of spl is no folder"):
        place.sheets()


def test_a_listing_that_fails_half_way_is_a_failure(place: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        place.drop("nsss", f"Jane {number}", [["a", "b"]])
    scandir = os.scandir

    class Failing:
        def __init__(self, path: Path) -> None:
            self.entries = scandir(path)

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return self.halfway()

        def halfway(self) -> Iterator[os.DirEntry[str]]:
            yield next(self.entries)
            raise OSError(5, "Input/output error", "Jane")

        def __exit__(self, *_: object) -> None:
            self.entries.close()

    monkeypatch.setattr(os, "scandir", Failing)
    with pytest.raises(DriveUnavailable, match=r"^the inbound folder of nsss: Input/output error$"):
        place.sheets()


@pytest.mark.parametrize("ask", ["read", "sha256"])
def test_a_file_rewritten_in_place_while_it_is_read_is_a_changed_one(
    place: Local, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """Half of one version and half of another must not pass for a sheet."""
    place.drop("nsss", "one", [["a", "b"]])
    sheet = place.sheets()[0]
    fstat = os.fstat

    def rewritten_after(opened: int) -> os.stat_result:
        found = fstat(opened)
        os.utime(place.root / sheet.id, ns=(0, found.st_mtime_ns + 1))
        return found

    monkeypatch.setattr(os, "fstat", rewritten_after)
    with pytest.raises(SheetChanged, match="was changed while it was read"):
        place.drive.sha256(sheet) if ask == "sha256" else place.drive.read(sheet).__enter__()


def test_a_file_that_is_replaced_while_it_is_open_is_still_what_it_was(place: Local) -> None:
    place.drop("nsss", "one", [["a", "b"]])
    sheet = place.sheets()[0]
    with place.drive.read(sheet) as rows:
        (place.root / "new").write_bytes(delimited([["c", "d"]]))
        (place.root / "new").replace(place.root / sheet.id)
        assert [row.cells for row in rows] == [("a", "b")]


def test_a_file_that_is_too_large_is_refused_unread(place: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    place.drop("nsss", "one", [["a", "b"]])
    sheet = place.sheets()[0]
    monkeypatch.setattr("pipelines.adapters.drive.files.LARGEST", 3)
    with pytest.raises(SheetUnreadable, match="larger than"):
        place.drive.read(sheet).__enter__()
    assert reading.LARGEST > 1 << 20


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", "two\nlines", "50%2F", "x" * 300, "ü" * 200])
def test_an_outcome_may_have_any_name(place: Local, name: str) -> None:
    written = place.drive.write("nsss", name, TABS)
    assert place.drive.outcomes("nsss", [name]) == {name: written}
    (shown,) = place.outcomes("nsss")
    assert not shown.startswith(".")
    place.drive.write("nsss", name, TABS)
    assert place.outcomes("nsss") == [shown]


def test_an_outcome_needs_a_name(place: Local) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        place.drive.write("nsss", "", TABS)


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=300)


@given(NAMES, NAMES)
def test_two_names_are_never_one_file(one: str, other: str) -> None:
    assert (_file_name(one) == _file_name(other)) == (one == other)
    assert len(_file_name(one).encode()) <= 250
    assert "/" not in _file_name(one)


WRITER = """
import sys
from pipelines.adapters.drive import Tab, open_drive

def rows():
    for number in range(100_000):
        if number == 50_000:
            print("half", flush=True)
            sys.stdin.read()
        yield [str(number), "Jane Canary"]

open_drive(sys.argv[1]).write("nsss", "o", [Tab("cases", ["a", "b"], rows())])
"""


@pytest.fixture
def killed_write(place: Local) -> Callable[[], None]:
    def run() -> None:
        command = [sys.executable, "-c", WRITER, place.root.as_uri()]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"half\n"
            writer.send_signal(signal.SIGKILL)
            assert writer.wait() == -signal.SIGKILL

    return run


def test_a_killed_write_leaves_the_outcome_before_whole_and_what_it_left_is_cleared_once_it_is_old(
    place: Local, killed_write: Callable[[], None]
) -> None:
    killed_write()
    assert place.outcomes("nsss") == []
    assert place.drive.outcomes("nsss", ["o"]) == {}
    place.drive.write("nsss", "o", TABS)
    killed_write()
    assert place.tabs("nsss", "o") == {"cases": [["a", "b"], ["1", "2"]]}
    left = sorted((place.root / UNFINISHED).iterdir())
    assert len(left) == 2
    assert {path.stat().st_mode & 0o777 for path in left} == {0o700}
    old = (datetime.now(UTC) - timedelta(days=2)).timestamp()
    os.utime(left[0], (old, old))
    place.drive.write("nsss", "o", TABS)
    assert list((place.root / UNFINISHED).iterdir()) == left[1:]


def test_a_write_that_is_done_leaves_nothing_unfinished(place: Local) -> None:
    place.drive.write("nsss", "o", TABS)
    assert unfinished(place) == []


def test_an_outbound_folder_that_can_t_be_written_to_is_told_without_the_name(place: Local) -> None:
    (place.root / "nsss" / "outbound").write_bytes(b"no folder")
    with pytest.raises(DriveUnavailable, match=r"^the outcome of nsss could not be written$"):
        place.drive.write("nsss", "Jane Canary", TABS)
    assert unfinished(place) == []


def test_a_name_that_is_no_feed_is_refused(place: Local) -> None:
    for feed in ("", "../nsss", "nsss/inbound", "Nsss"):
        with pytest.raises(ValueError, match="no name of a feed"):
            place.sheets(feed) if feed else place.drive.sheets([""], place.now)
