"""Google Drive: native sheets, and files that were uploaded.

Nothing is asked for by its name, since addresses are logged on their way: folders are listed whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from gspread.urls import DRIVE_FILES_API_V3_URL

from pipelines.adapters.drive.contract import (
    DriveDenied,
    DriveError,
    DriveUnavailable,
    FeedFolders,
    Outcome,
    Row,
    Sheet,
    SheetChanged,
    SheetGone,
    SheetUnreadable,
    Tab,
)
from pipelines.adapters.drive.google_client import GoogleClient
from pipelines.adapters.drive.google_sheets import fill_sheet, native_rows
from pipelines.adapters.drive.reading import LARGEST, sheet_rows
from pipelines.adapters.drive.writing import check_tabs

NATIVE = "application/vnd.google-apps.spreadsheet"

_FOLDER = "application/vnd.google-apps.folder"
_GOOGLES_OWN = "application/vnd.google-apps."
_PAGE = 1000
_FILE = "id,name,mimeType,parents,trashed,size,sha256Checksum,headRevisionId,createdTime,modifiedTime"
_ID = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]):\d+")


class _File(msgspec.Struct, rename="camel", frozen=True):
    id: str
    name: str
    mime_type: str
    created_time: datetime
    modified_time: datetime
    trashed: bool = False
    parents: tuple[str, ...] = ()
    size: str | None = None
    sha256_checksum: str | None = None
    head_revision_id: str | None = None

    @property
    def version(self) -> str:
        """Bytes have revisions; of a native sheet nothing else is told than when it changed."""
        return self.head_revision_id or self.modified_time.isoformat()


class _Page(msgspec.Struct, rename="camel", frozen=True):
    files: tuple[_File, ...] = ()
    next_page_token: str | None = None
    incomplete_search: bool = False


def open_google(url: str, rest: str, folders: FeedFolders, quiet: timedelta) -> GoogleDrive:
    """The drive of a ``gdrive://`` URL; nothing is asked of anyone before it is used."""
    if rest and not _HOST.fullmatch(rest):
        raise ValueError("drive: gdrive:// is Google's, or a loopback host and its port, as in gdrive://127.0.0.1:8080")
    ids = [folder for pair in folders.values() for folder in (pair.inbound, pair.outbound)]
    if not all(_ID.fullmatch(folder) for folder in ids):
        raise ValueError("drive: an id of a folder has letters, digits, - and _ only; it is the end of its address")
    if len(set(ids)) < len(ids):
        raise ValueError("drive: each feed needs two folders of its own")
    return GoogleDrive(url, GoogleClient(f"http://{rest}" if rest else None), folders, quiet)


class GoogleDrive:
    """Folders by their ids. What is removed goes to Drive's trash, where staff can get it back."""

    keeps_ids = True

    def __init__(self, url: str, client: GoogleClient, folders: FeedFolders, quiet: timedelta) -> None:
        self.url = url
        self._client = client
        self._folders = folders
        self._quiet = quiet

    def sheets(self, feeds: Collection[str], now: datetime) -> Sequence[Sheet]:
        """See ``Drive``. Uploads appear whole; a native sheet may be in the middle of being typed."""
        feed_of = {self._folder(feed, "inbound"): feed for feed in feeds}
        found = []
        for file in self._listed(feed_of):
            still = file.mime_type != NATIVE or abs(now - file.modified_time) >= self._quiet
            feed = next((feed_of[parent] for parent in file.parents if parent in feed_of), None)
            if feed and still:
                found.append(_sheet(feed, file))
        return sorted(found, key=lambda sheet: (sheet.modified, sheet.id))

    def sha256(self, sheet: Sheet) -> str | None:
        """See ``Drive``."""
        return self._present(sheet).sha256_checksum

    @contextmanager
    def read(self, sheet: Sheet) -> Iterator[Iterator[Row]]:
        """See ``Drive``. An upload was the version that was asked for before the first row."""
        if sheet.kind == NATIVE:
            yield self._native_rows(sheet)
        elif sheet.kind.startswith(_GOOGLES_OWN):
            raise SheetUnreadable(f"Google's own kind {sheet.kind.removeprefix(_GOOGLES_OWN)}, which is no spreadsheet")
        elif (sheet.size or 0) > LARGEST:
            raise SheetUnreadable(f"it is larger than {LARGEST >> 20} MiB")
        else:
            content = self._client.download(sheet.id, LARGEST)
            checksum = self._present(sheet).sha256_checksum
            if checksum and checksum != hashlib.sha256(content).hexdigest():
                raise SheetChanged(f"a sheet of {sheet.feed} was changed while it was read")
            yield sheet_rows(content)

    def write(self, feed: str, name: str, tabs: Sequence[Tab]) -> Outcome:
        """See ``Drive``.

        The sheet has a name of its own until it is full. A crash leaves that one behind, and the next try removes it.
        """
        check_tabs(tabs)
        folder = self._outbound(feed)
        unfinished = f".unfinished {name}"
        self._trash(file for file in self._listed([folder]) if file.name == unfinished)
        file = self._create(unfinished, folder)
        try:
            fill_sheet(self._client, file.id, tabs)
        except Exception:
            with suppress(DriveError):
                self._trash([file])
            raise
        return self._publish(feed, folder, file, name)

    def outcomes(self, feed: str, names: Collection[str]) -> Mapping[str, Outcome]:
        """See ``Drive``."""
        wanted = frozenset(names)
        there = sorted((file for file in self._listed([self._outbound(feed)]) if file.name in wanted), key=_age)
        return {file.name: _outcome(feed, file) for file in there}

    def _folder(self, feed: str, kind: Literal["inbound", "outbound"]) -> str:
        if feed not in self._folders:
            raise DriveDenied(f"the {kind} folder of {feed} is not set")
        return self._folders[feed].inbound if kind == "inbound" else self._folders[feed].outbound

    def _outbound(self, feed: str) -> str:
        return self._folder(feed, "outbound")

    def _listed(self, folders: Collection[str]) -> Sequence[_File]:
        """All files in the folders, in as few requests as there are thousands, or an error."""
        if not folders:
            return ()
        inside = " or ".join(f"'{folder}' in parents" for folder in folders)
        params = {
            "q": f"({inside}) and trashed = false and mimeType != '{_FOLDER}'",
            "fields": f"nextPageToken,incompleteSearch,files({_FILE})",
            "pageSize": _PAGE,
            "supportsAllDrives": "true",
            "includeItemsFromAllDrives": "true",
        }
        found: dict[str, _File] = {}
        seen: set[str] = set()
        while True:
            try:
                page = self._client.ask(_Page, "get", DRIVE_FILES_API_V3_URL, params)
            except SheetGone:
                raise DriveDenied("a folder on Google Drive is not there, or is not shared with us") from None
            if page.incomplete_search:
                raise DriveUnavailable("Google Drive did not search everywhere")
            found.update((file.id, file) for file in page.files)
            if not page.next_page_token:
                return tuple(found.values())
            if page.next_page_token in seen:
                raise DriveUnavailable("a listing of Google Drive does not end")
            seen.add(page.next_page_token)
            params["pageToken"] = page.next_page_token

    def _present(self, sheet: Sheet) -> _File:
        """The file, if it is still there and still that version."""
        params = {"fields": _FILE, "supportsAllDrives": "true"}
        file = self._client.ask(_File, "get", f"{DRIVE_FILES_API_V3_URL}/{sheet.id}", params)
        if file.trashed or self._folder(sheet.feed, "inbound") not in file.parents:
            raise SheetGone(f"a sheet of {sheet.feed} is not in its folder any more")
        if file.version != sheet.version:
            raise SheetChanged(f"a sheet of {sheet.feed} is another version now")
        return file

    def _native_rows(self, sheet: Sheet) -> Iterator[Row]:
        try:
            yield from native_rows(self._client, sheet.id)
        except DriveDenied:  # of rows that are not there any more, for one
            self._present(sheet)
            raise
        self._present(sheet)

    def _create(self, name: str, folder: str) -> _File:
        params = {"fields": _FILE, "supportsAllDrives": "true"}
        body = {"name": name, "mimeType": NATIVE, "parents": [folder]}
        try:
            return self._client.ask(_File, "post", DRIVE_FILES_API_V3_URL, params, body)
        except SheetGone:
            raise DriveDenied("a folder on Google Drive is not there, or is not shared with us") from None

    def _publish(self, feed: str, folder: str, file: _File, name: str) -> Outcome:
        """Gives a full sheet its name, after the one that has it lost it: two of one name are never right.

        Of two who do this at once, both find the same one to be the last.
        """
        self._trash(each for each in self._listed([folder]) if each.name == name)
        self._update(file.id, {"name": name, "trashed": False})
        named = sorted((each for each in self._listed([folder]) if each.name == name), key=_age)
        self._trash(named[:-1])
        if not named:
            raise DriveUnavailable(f"the outcome of {feed} is not where it was put")
        return _outcome(feed, named[-1])

    def _trash(self, files: Collection[_File] | Iterator[_File]) -> None:
        for file in files:
            with suppress(SheetGone):
                self._update(file.id, {"trashed": True})

    def _update(self, file: str, changes: Mapping[str, Any]) -> None:
        params = {"fields": "id", "supportsAllDrives": "true"}
        self._client.request("patch", f"{DRIVE_FILES_API_V3_URL}/{file}", params, changes)


def _sheet(feed: str, file: _File) -> Sheet:
    return Sheet(
        feed=feed,
        id=file.id,
        version=file.version,
        name=file.name,
        size=int(file.size) if file.size and file.mime_type != NATIVE else None,
        created=file.created_time,
        modified=file.modified_time,
        kind=file.mime_type,
    )


def _outcome(feed: str, file: _File) -> Outcome:
    return Outcome(feed, file.id, file.name, file.modified_time)


def _age(file: _File) -> tuple[datetime, str]:
    return file.created_time, file.id
