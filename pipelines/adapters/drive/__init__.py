"""The drive: where staff drop sheets, and take the outcomes from.

Here: sheets as rows of text, outcomes written whole, each form of a drive held to the same promises. Not here: what a
cell means, and which sheets are new.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

from pipelines.adapters.drive.contract import (
    Drive,
    DriveBusy,
    DriveDenied,
    DriveError,
    DriveUnavailable,
    FeedFolders,
    Folders,
    Outcome,
    Row,
    Sheet,
    SheetChanged,
    SheetGone,
    SheetUnreadable,
    Tab,
)
from pipelines.adapters.drive.files import FileDrive

__all__ = [
    "Drive",
    "DriveBusy",
    "DriveDenied",
    "DriveError",
    "DriveUnavailable",
    "FeedFolders",
    "Folders",
    "Outcome",
    "Row",
    "Sheet",
    "SheetChanged",
    "SheetGone",
    "SheetUnreadable",
    "Tab",
    "open_drive",
]

QUIET = timedelta(seconds=3)


def open_drive(url: str, folders: FeedFolders | None = None, *, quiet: timedelta = QUIET) -> Drive:
    """The drive that a URL names.

    Args:
        url: ``file:///folder``; or ``gdrive://``, Google's, with the identity that Google's own tools would take.
            ``gdrive://127.0.0.1:8080`` is what speaks like it on this machine.
        folders: the folders of each feed, for ``gdrive://``.
        quiet: how long a sheet must be unchanged to be taken, where it does not appear whole.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "file":
        if not rest.startswith("/"):
            raise ValueError("drive: file:// needs an absolute path, as in file:///folder")
        return FileDrive(url, Path(unquote(rest)), quiet)
    if separator and scheme == "gdrive":
        from pipelines.adapters.drive.google import open_google  # noqa: PLC0415 (who has no Google Drive needs none)

        return open_google(url, rest, folders or {}, quiet)
    raise ValueError("drive: unknown scheme; known are file://, gdrive://")
