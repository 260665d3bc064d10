"""What sheets are known by: ids that say nothing of their names, since a sheet's name can be a person's.

Where the drive keeps ids, a sheet's id is the drive's own. Where an id is a path, a sheet gets one when it is first
seen; from then on it is known by its place, and by its content once it was moved. What the ledger keeps of a path is a
digest that nobody can make without the installation's key.
"""

from __future__ import annotations

import hmac
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from pipelines.adapters.drive import Drive, DriveError, Sheet, SheetChanged, SheetGone
from pipelines.adapters.drive.reading import LARGEST
from pipelines.core.work import Item, State

PLACE, SEEN = "place", "seen"
"""In a sheet's detail: where it was last, and the drive's version of it."""

DAY = "day"
"""In a sheet's detail: the day in London when it was first seen."""

DOUBTFUL = "doubtful"
"""In a sheet's detail, until it is sent: it may have been sent before the ledger was lost."""

Lookup = Callable[[Collection[str]], Iterable[Item]]
"""Items of a feed's sheets that have one of some values."""

_DIGITS = 32
_TAKEN = frozenset({State.PENDING, State.CLAIMED, State.SETTLED})
"""States of a sheet that is sent, or will be."""


@dataclass(frozen=True, slots=True)
class Found:
    """A sheet in the drive and what it is known by.

    Attributes:
        sheet: as the drive has it.
        name: its id.
        version: the checksum of its content, or the drive's version of a native sheet, or of one too large to read.
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
    is_readable = sheet.size is None or sheet.size <= LARGEST
    return (drive.sha256(sheet) if is_readable else None) or sheet.version


def version_of(drive: Drive, sheet: Sheet) -> str | None:
    """The same; None if it is gone or changed meanwhile."""
    try:
        return content_of(drive, sheet)
    except (SheetGone, SheetChanged):
        return None


@dataclass(frozen=True, slots=True)
class Listed:
    """A sheet of a feed's inbound folder, its place, and what was last seen there."""

    sheet: Sheet
    place: str
    here: Item | None

    @property
    def version(self) -> str | None:
        """Of its content, if it has not changed since."""
        unchanged = self.here is not None and self.here.detail.get(SEEN) == self.sheet.version
        return self.here.version if self.here is not None and unchanged else None

    @property
    def is_done(self) -> bool:
        """Whether it was sent as it is: then nothing of it is news until it changes."""
        return self.version is not None and self.here is not None and self.here.state is State.SETTLED


def look_up(drive: Drive, sheets: Iterable[Sheet], placed: Lookup, secret: bytes) -> list[Listed]:
    """Sheets with what was last seen where they are; ``placed`` is asked for that, by their places."""
    places = {place_of(drive, sheet, secret): sheet for sheet in sheets}
    here = {item.detail[PLACE]: item for item in sorted(placed(places), key=attrgetter("id"))}
    return [Listed(sheet, place, here.get(place)) for place, sheet in places.items()]


def recognise(
    drive: Drive, listed: Sequence[Listed], versions: Mapping[str, str], alike: Iterable[Item], secret: bytes
) -> list[Found]:
    """What sheets of a feed's inbound folder are, in their order.

    Args:
        drive: that they are in; nothing is asked of it.
        listed: all that are there, the oldest first.
        versions: by place, of those that are to be recognised.
        alike: the ledger's items of the feed that have one of these versions.
        secret: the installation's key.
    """
    by_version: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(alike, key=attrgetter("id")):
        by_version[item.version].append(item)
    places = {one.place for one in listed}
    found = list[Found]()
    contents = set[str]()
    for one in listed:
        version = versions.get(one.place)
        if version is None:
            continue
        known = by_version[version]
        # Where ids are paths, one that is not where it was has moved here.
        moved = [] if drive.keeps_ids else [item for item in known if item.detail[PLACE] not in places]
        same = one.here or (moved[-1] if moved else None)
        name = same.name if same else _new_name(drive, one.sheet, secret)
        is_new = all(item.name != name or item.state is State.ASIDE for item in known)
        taken = any(item.name != name and item.state in _TAKEN for item in known)
        twin = is_new and (taken or version in contents)
        contents.add(version)
        found.append(Found(one.sheet, name, version, one.place, twin))
    return found


def find(drive: Drive, sheets: Collection[Sheet], item: Item, secret: bytes) -> Sheet | None:
    """The sheet of an item among those that are there, with the item's content; None if it is not.

    Raises:
        DriveError: a checksum could not be had.
    """
    at_its_place = [one for one in sheets if place_of(drive, one, secret) == item.detail.get(PLACE)]
    # Where ids are paths it may have moved; what has another size has not its content.
    others = [] if drive.keeps_ids else [one for one in sheets if one.size == item.size and one not in at_its_place]
    failed: DriveError | None = None
    for sheet in (*at_its_place, *others):
        try:
            if version_of(drive, sheet) == item.version:
                return sheet
        except DriveError as error:  # it may be another one's: the rest is looked at all the same
            failed = error
    if failed is not None:
        raise failed
    return None


def _new_name(drive: Drive, sheet: Sheet, secret: bytes) -> str:
    return sheet.id if drive.keeps_ids else digest(secret, "sheet", sheet.id, sheet.version)
