"""What became of a sheet, for who knows the name of its file: the ledger does not.

Here: sheets in the inbound folders, recognised as when they are taken in, but nothing is recorded. Not here: what the
ledger finds by its own names, and how all that is told.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from pipelines.adapters.drive import Drive, DriveBusy, DriveError, Sheet
from pipelines.adapters.installation import InstallationKey, OtherKey, is_unclaimed
from pipelines.adapters.ledger import Ledger
from pipelines.core.work import Item
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.intake import list_sheets
from pipelines.domains.residents.places import PLACE, Listed, look_up, recognise, version_of


@dataclass(frozen=True, slots=True)
class Traced:
    """A sheet in the drive.

    Attributes:
        sheet: as the drive has it.
        item: what was last taken in of it; None if nothing was.
        is_changed: whether that is of another content than it has now.
    """

    sheet: Sheet
    item: Item | None
    is_changed: bool = False


@dataclass(slots=True)
class Looked:
    """The sheets that were found, and why not all that is there could be seen."""

    found: list[Traced] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def trace(
    feeds: Collection[Feed],
    find_key: Callable[[], InstallationKey | None],
    open_drive: Callable[[], Drive],
    ledger: Ledger,
    text: str,
    now: datetime,
) -> Looked:
    """Sheets with a text in their names, each with what was last taken in of it.

    Args:
        feeds: whose inbound folders are looked into; if there are none, neither key nor drive is asked for.
        find_key: reads the installation's key; None if there is none yet.
        open_drive: opens the drive.
        ledger: the ledger.
        text: in upper or lower case.
        now: the time, in UTC.
    """
    if not feeds:
        return Looked()
    try:
        key, drive = find_key(), open_drive()
    except (ValueError, OSError) as error:  # wrong settings, or a file that may not be read
        return Looked(unseen=[str(error)])
    try:
        is_unclaimed(key, ledger)
    except OtherKey as error:  # by this one nothing would be known again
        return Looked(unseen=[str(error)])
    if key is None:  # nothing was ever taken in
        return Looked()
    looked = Looked()
    sheets, away = list_sheets(feeds, drive, now)
    looked.unseen += dict.fromkeys(map(str, away.values()))
    for feed in feeds:
        of_feed = [sheet for sheet in sheets if sheet.feed == feed.name]
        listed = look_up(drive, of_feed, partial(ledger.placed, sheets_queue(feed)), key.secret)
        named = [one for one in listed if text.casefold() in one.sheet.name.casefold()]
        versions, failed = _versions(drive, named)
        same = _recognised(feed, listed, versions, drive, ledger, key.secret)
        looked.found += [_traced(one, same.get(one.place), is_read=one.place in versions) for one in named]
        looked.unseen += failed
    return looked


def _versions(drive: Drive, named: Sequence[Listed]) -> tuple[dict[str, str], list[str]]:
    """Of those whose place does not say what they are, by their places; and why they can't be had of some."""
    versions, failed = dict[str, str](), dict[str, None]()
    for one in named:
        if one.version is not None:
            continue
        try:
            version = version_of(drive, one.sheet)
        except DriveError as error:
            failed[str(error)] = None
            if isinstance(error, DriveBusy):  # it wants quiet
                break
            continue
        if version is not None:
            versions[one.place] = version
    return versions, list(failed)


def _recognised(
    feed: Feed, listed: Sequence[Listed], versions: dict[str, str], drive: Drive, ledger: Ledger, secret: bytes
) -> dict[str, Item]:
    """By place, what was taken in of sheets that were moved, or written again as they were."""
    queue = sheets_queue(feed)
    alike = ledger.alike(queue, set(versions.values()))
    # What a newer version took the place of is news again if it is put back.
    newest = {item.id for item in ledger.placed(queue, {item.detail[PLACE] for item in alike})}
    known = {(item.name, item.version): item for item in alike if item.id in newest}
    found = recognise(drive, listed, versions, alike, secret)
    return {one.place: known[one.name, one.version] for one in found if (one.name, one.version) in known}


def _traced(one: Listed, same: Item | None, *, is_read: bool) -> Traced:
    is_changed = one.here is not None and is_read and same is None
    return Traced(one.sheet, same or one.here, is_changed)
