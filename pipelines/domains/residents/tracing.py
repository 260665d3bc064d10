"""What became of a sheet, for who knows the name of its file: the ledger does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from pipelines.adapters.drive import Drive, Sheet
from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Item
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.places import look_up


def trace(drive: Drive, ledger: Ledger, secret: bytes, text: str, now: datetime) -> Iterator[tuple[Sheet, Item | None]]:
    """Sheets in the inbound folders with a text in their names, each with what was last taken in from where it is.

    Raises:
        DriveError: the folders could not be looked into.
    """
    named = [sheet for sheet in drive.sheets(tuple(FEEDS), now) if text.casefold() in sheet.name.casefold()]
    for feed in FEEDS.values():
        of_feed = (sheet for sheet in named if sheet.feed == feed.name)
        for one in look_up(drive, of_feed, partial(ledger.placed, sheets_queue(feed)), secret):
            yield one.sheet, one.here
