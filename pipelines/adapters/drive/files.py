"""A drive in local folders: ``<feed>/inbound`` with sheets of any kind, ``<feed>/outbound`` with outcomes as xlsx."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from pipelines.adapters.drive.contract import (
    DriveDenied,
    DriveError,
    DriveUnavailable,
    Outcome,
    Row,
    Sheet,
    SheetChanged,
    SheetGone,
    SheetUnreadable,
    Tab,
)
from pipelines.adapters.drive.reading import LARGEST, sheet_rows
from pipelines.adapters.drive.writing import check_tabs, write_xlsx
from pipelines.adapters.objects import ObjectsUnavailable
from pipelines.adapters.objects.contract import UNFINISHED
from pipelines.adapters.objects.files import ABANDONED, FileObjects
from pipelines.adapters.uploads.contract import is_finished

logger = logging.getLogger(__name__)

_FEED = re.compile(r"[a-z][a-z0-9_]*")
_NO_NAME = re.compile(r"^\.|[\x00-\x1f\x7f/%]")
_LONGEST = 255 - len(".xlsx")  # bytes of a file's name
_CHUNK = 1 << 20


class FileDrive:
    """Folders below one folder. A sheet's id is its path, and its version tells writes apart, whatever they wrote."""

    keeps_ids = False

    def __init__(self, url: str, root: Path, quiet: timedelta) -> None:
        self.url = url
        self._root = root
        self._quiet = quiet
        self._objects = FileObjects(url, root)

    def sheets(self, feeds: Collection[str], now: datetime) -> Sequence[Sheet]:
        """See ``Drive``. Folders, links and names that are no text are left out; the latter with a warning."""
        found = [sheet for feed in feeds for sheet in self._inbound(feed) if abs(now - sheet.modified) >= self._quiet]
        return sorted(found, key=lambda sheet: (sheet.modified, sheet.id))

    def sha256(self, sheet: Sheet) -> str:
        """See ``Drive``."""
        with self._open(sheet) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def read(self, sheet: Sheet) -> Iterator[Iterator[Row]]:
        """See ``Drive``. The file has been read, and was the version that was asked for, before the first row."""
        if (sheet.size or 0) > LARGEST:
            raise SheetUnreadable(f"it is larger than {LARGEST >> 20} MiB")
        with self._open(sheet) as file:
            content = file.read()
        yield sheet_rows(content)

    def write(self, feed: str, name: str, tabs: Sequence[Tab]) -> Outcome:
        """See ``Drive``."""
        check_tabs(tabs)
        key = _outcome_key(feed, name)
        self._inbound_folder(feed)
        with _failures(f"the outcome of {feed}"), self._workshop() as folder:
            write_xlsx(folder / "outcome.xlsx", tabs)
            with (folder / "outcome.xlsx").open("rb") as file:
                written = self._objects.put_file(key, file)
        return Outcome(feed, key, name, written.modified)

    def outcomes(self, feed: str, names: Collection[str]) -> Mapping[str, Outcome]:
        """See ``Drive``."""
        there = {}
        self._inbound_folder(feed)
        for name in names:
            key = _outcome_key(feed, name)
            with _failures(f"the outcomes of {feed}"), suppress(FileNotFoundError, NotADirectoryError):
                modified = (self._root / key).stat().st_mtime
                there[name] = Outcome(feed, key, name, datetime.fromtimestamp(modified, UTC))
        return there

    def _inbound_folder(self, feed: str) -> Path:
        """A share that is not mounted is a folder without folders, and must not pass for one without sheets."""
        if not _FEED.fullmatch(feed):
            raise ValueError(f"drive: no name of a feed: {feed!r}")
        folder = self._root / feed / "inbound"
        with _failures(f"the inbound folder of {feed}"):
            if not stat.S_ISDIR(folder.stat().st_mode):
                raise DriveDenied(f"the inbound folder of {feed} is no folder")
        return folder

    def _inbound(self, feed: str) -> Iterator[Sheet]:
        unnameable = 0
        with _failures(f"the inbound folder of {feed}"), os.scandir(self._inbound_folder(feed)) as entries:
            for entry in entries:
                if not is_finished(entry.name) or entry.name.startswith("~$"):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:  # since the folder was read
                    continue
                if not _is_text(entry.name):
                    unnameable += 1
                elif stat.S_ISREG(found.st_mode):
                    yield _sheet(feed, entry.name, found)
        if unnameable:
            logger.warning("%d names in the inbound folder of %s are not in UTF-8: left out", unnameable, feed)

    @contextmanager
    def _open(self, sheet: Sheet) -> Iterator[BufferedReader]:
        """An open file is one version even if another takes its name, but not if it is rewritten in place."""
        with _failures(f"a sheet of {sheet.feed}", gone=SheetGone), (self._root / sheet.id).open("rb") as file:
            if _version(os.fstat(file.fileno())) != sheet.version:
                raise SheetChanged(f"a sheet of {sheet.feed} is another version now")
            yield file
            if _version(os.fstat(file.fileno())) != sheet.version:
                raise SheetChanged(f"a sheet of {sheet.feed} was changed while it was read")

    @contextmanager
    def _workshop(self) -> Iterator[Path]:
        """A folder for what is not whole yet, for the owner alone; what writers that were killed left is removed."""
        unfinished = self._root / UNFINISHED
        unfinished.mkdir(exist_ok=True)
        for left in unfinished.glob("outcome-*"):
            if time.time() - left.stat().st_mtime > ABANDONED.total_seconds():
                shutil.rmtree(left, ignore_errors=True)
        folder = unfinished / f"outcome-{uuid4().hex}"
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _failures(what: str, gone: type[DriveError] = DriveDenied) -> Iterator[None]:
    """Errors of the file system say the path: it stays out of ours."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise gone(f"{what} is not there") from None
    except PermissionError:
        raise DriveDenied(f"{what} is not ours to use") from None
    except OSError as error:
        raise DriveUnavailable(f"{what}: {error.strerror}") from None
    except ObjectsUnavailable:
        raise DriveUnavailable(f"{what} could not be written") from None


def _sheet(feed: str, name: str, found: os.stat_result) -> Sheet:
    return Sheet(
        feed=feed,
        id=f"{feed}/inbound/{name}",
        version=_version(found),
        name=name,
        size=found.st_size,
        created=datetime.fromtimestamp(found.st_ctime, UTC),
        modified=datetime.fromtimestamp(found.st_mtime, UTC),
    )


def _outcome_key(feed: str, name: str) -> str:
    return f"{feed}/outbound/{_file_name(name)}.xlsx"


def _version(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _file_name(name: str) -> str:
    """A name for a file, another one for each name of an outcome."""
    safe = _NO_NAME.sub(lambda found: quote(found[0], safe="") if found[0] != "." else "%2E", name)
    if not safe:
        raise ValueError("drive: an outcome needs a name")
    if len(safe.encode()) <= _LONGEST:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return safe.encode()[: _LONGEST - 17].decode(errors="ignore") + "~" + digest
