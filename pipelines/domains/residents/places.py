"""What sheets are known by: ids that say nothing of their names, since a sheet's name can be a person's.

Where the drive keeps ids, a sheet's id is the drive's own. Where an id is a path, a sheet gets one when it is first
seen; from then on it is known by its place, and by its content once it was moved. What the ledger keeps of a path is a
digest that nobody can make without the installation's key.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from pipelines.adapters.drive import Drive, Sheet, SheetChanged, SheetGone
from pipelines.core.work import Item, State

PLACE, SEEN = "place", "seen"
"""In a sheet's detail: where it was last, and the drive's version of it."""

DAY = "day"
"""In a sheet's detail: the day in London when it was first seen."""

DOUBTFUL = "doubtful"
"""In a sheet's detail, until it is sent: it may have been sent before the ledger was lost."""

_DIGITS = 32
_TAKEN = frozenset({State.PENDING, State.CLAIMED, State.SETTLED})
"""States of a sheet that is sent, or will be."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sheet in the drive and what it is known by.

    Attributes:
        sheet: as the drive has it.
        name: its id.
        version: the checksum of its content, or the drive's version of a native sheet.
        twin: whether another sheet of the feed, which is there as well, has the same content.
    """

    sheet: Sheet
    name: str
    version: str
    place: str
    twin: bool = False


def place_of(drive: Drive, sheet: Sheet, secret: bytes) -> str:
    """Where a sheet is, for the ledger."""
    return sheet.id if drive.keeps_ids else digest(secret, "place", sheet.id)


def digest(secret: bytes, what: str, *words: str) -> str:
    """A digest that says nothing of the words to who has not the key."""
    # With their lengths, so that two lists of words that read alike when joined differ.
    told = "".join(f"{len(word)}:{word}" for word in (what, *words))
    return hmac.digest(secret, told.encode("utf-8", "surrogatepass"), "sha256").hex()[:_DIGITS]


def content_of(drive: Drive, sheet: Sheet) -> str:
    """The version of a sheet by its content; see ``Found``.

    Raises:
        DriveError: as when it is read.
    """
    return drive.sha256(sheet) or sheet.version


def recognise(drive: Drive, sheets: Sequence[Sheet], known: Iterable[Item], secret: bytes) -> list[Found]:
    """What the sheets of a feed's inbound folder are, the oldest first. Only what changed is read.

    Args:
        drive: to ask for checksums.
        sheets: all that are there.
        known: the ledger's items of the feed.
        secret: the installation's key.

    Raises:
        DriveError: a checksum could not be had; a sheet that is gone or changed meanwhile is left out.
    """
    items = sorted(known, key=lambda item: item.id)
    places = {place_of(drive, sheet, secret): sheet for sheet in sheets}
    by_place = {item.detail[PLACE]: item for item in items}
    found = list[Found]()
    for place, sheet in places.items():
        here = by_place.get(place)
        version = _version(drive, sheet, here)
        if version is None:
            continue
        alike = [item for item in items if item.version == version]
        # Where ids are paths, one that is not where it was has moved here.
        moved = [] if drive.keeps_ids else [item for item in alike if item.detail[PLACE] not in places]
        same = here or (moved[-1] if moved else None)
        name = same.name if same else _new_name(drive, sheet, secret)
        is_new = all(item.name != name or item.state is State.ASIDE for item in alike)
        taken = [item for item in alike if item.name != name and item.state in _TAKEN]
        twin = is_new and (bool(taken) or any(one.version == version for one in found))
        found.append(Found(sheet, name, version, place, twin))
    return found


def find(drive: Drive, sheets: Collection[Sheet], item: Item, secret: bytes) -> Sheet | None:
    """The sheet of an item among those that are there, with the item's content; None if it is not.

    Raises:
        DriveError: a checksum could not be had.
    """
    at_its_place = [one for one in sheets if place_of(drive, one, secret) == item.detail.get(PLACE)]
    others = [] if drive.keeps_ids else [one for one in sheets if one not in at_its_place]
    for sheet in (*at_its_place, *others):
        if _version(drive, sheet, None) == item.version:
            return sheet
    return None


def _new_name(drive: Drive, sheet: Sheet, secret: bytes) -> str:
    return sheet.id if drive.keeps_ids else digest(secret, "sheet", sheet.id, sheet.version)


def _version(drive: Drive, sheet: Sheet, known: Item | None) -> str | None:
    if known is not None and known.detail.get(SEEN) == sheet.version:
        return known.version
    try:
        return content_of(drive, sheet)
    except (SheetGone, SheetChanged):
        return None
