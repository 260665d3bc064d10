"""Sheets of a feed's inbound folder into the ledger: new ones, new versions, those that repeat another one."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial

from pipelines.adapters.drive import Drive, DriveBusy, DriveError, Sheet
from pipelines.adapters.ledger import Ledger
from pipelines.core.rhythms import Mark
from pipelines.core.work import Item, NewItem, Reason, State
from pipelines.domains.residents.dates import london_day
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.places import DAY, DOUBTFUL, PLACE, SEEN, Found, Listed, look_up, recognise, version_of

_PATIENCE = 20.0
"""Seconds that a look may take longer as long as no sheet could be read: a sensor has a minute."""

_DOUBT = timedelta(minutes=15)
"""From the first look on: what was still being written then, or was not listed yet, is seen by its end."""


@dataclass(slots=True)
class Intake:
    """What one look at a feed's folder found.

    Attributes:
        seen: sheets that are there.
        new: new ones by day.
        aside: how many were set aside.
        left: how many new or changed ones this look had no time for; the next one begins with them.
        bytes: of the new ones.
        newest: when the newest that is there was modified.
        failed: why not all that is there could be seen, the first reason; None if all was.
    """

    seen: int = 0
    new: Counter[str] = field(default_factory=Counter)
    aside: int = 0
    left: int = 0
    bytes: int = 0
    newest: datetime | None = None
    failed: DriveError | None = None


@dataclass(slots=True)
class _Versions:
    """Versions of sheets that are not done, by feed and place; what is left, and what failed, by feed."""

    told: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    left: Counter[str] = field(default_factory=Counter)
    failed: dict[str, DriveError] = field(default_factory=dict)


def take_in(
    feeds: Collection[Feed],
    drive: Drive,
    ledger: Ledger,
    destination: str,
    secret: bytes,
    now: datetime,
    seconds: float = math.inf,
) -> dict[str, Intake]:
    """Record every sheet, and every version of one, that is not known yet.

    Of what is done and has not changed nothing is read, and what is not in the folders any more is not looked up. A
    folder or a sheet that can't be seen holds up no other one.

    Args:
        feeds: whose inbound folders are looked at, all of them in one listing if that can be had.
        drive: where they are.
        ledger: the ledger.
        destination: the API that new sheets are bound for; known ones stay bound for theirs.
        secret: the installation's key.
        now: the time; a sheet belongs to the day of it, in UTC.
        seconds: after so long no more checksums are had: the oldest of what is new, one at least, are taken in.

    Returns:
        What was found, by the feed's name; of a folder that could not be seen only why.
    """
    if not feeds:
        return {}
    ends_at = time.monotonic() + seconds
    sheets, away = list_sheets(feeds, drive, now)
    seen = [feed for feed in feeds if feed.name not in away]
    listed = {feed.name: _look_up(feed, sheets, drive, ledger, secret) for feed in seen}
    versions = _read(drive, [one for of_feed in listed.values() for one in of_feed], ends_at)
    taken = {name: Intake(failed=error) for name, error in away.items()}
    for feed in seen:
        there, told = listed[feed.name], versions.told[feed.name]
        newest = max((one.sheet.modified for one in there), default=None)
        failed = versions.failed.get(feed.name)
        taken[feed.name] = intake = Intake(len(there), left=versions.left[feed.name], newest=newest, failed=failed)
        alike = ledger.alike(sheets_queue(feed), set(told.values()))
        _record(intake, feed, recognise(drive, there, told, alike, secret), alike, ledger, destination, now)
    return taken


def list_sheets(feeds: Collection[Feed], drive: Drive, now: datetime) -> tuple[list[Sheet], dict[str, DriveError]]:
    """All sheets of the feeds; if they can't be had at once, of each feed alone, and why there are none of it."""
    names = [feed.name for feed in feeds]
    try:
        return list(drive.sheets(names, now)), {}
    except DriveError as error:
        if len(names) == 1 or isinstance(error, DriveBusy):
            return [], dict.fromkeys(names, error)
    sheets, away = list[Sheet](), dict[str, DriveError]()
    for feed in feeds:
        of_feed, failed = list_sheets([feed], drive, now)
        sheets += of_feed
        away |= failed
    return sheets, away


def _look_up(feed: Feed, sheets: Iterable[Sheet], drive: Drive, ledger: Ledger, secret: bytes) -> list[Listed]:
    of_feed = (sheet for sheet in sheets if sheet.feed == feed.name)
    return look_up(drive, of_feed, partial(ledger.placed, sheets_queue(feed)), secret)


def _read(drive: Drive, listed: Iterable[Listed], ends_at: float) -> _Versions:
    """Tell versions, as far as there is time; it ends after one that could be told, so those that fail end no look.

    Unless they take very long, or the drive wants quiet.
    """
    found = _Versions()
    changed = list[Listed]()
    for one in listed:
        if one.version is None:
            changed.append(one)
        elif not one.is_done:
            found.told[one.sheet.feed][one.place] = one.version
    changed.sort(key=lambda one: one.sheet.modified)
    has_one = is_busy = False
    for one in changed:
        feed = one.sheet.feed
        now = time.monotonic()
        if is_busy or (has_one and now > ends_at) or (found.failed and now > ends_at + _PATIENCE):
            found.left[feed] += 1
            continue
        try:
            version = version_of(drive, one.sheet)
        except DriveError as error:
            found.failed.setdefault(feed, error)
            is_busy = isinstance(error, DriveBusy)
            continue
        has_one = True
        if version is not None:
            found.told[feed][one.place] = version
    return found


def _record(
    intake: Intake,
    feed: Feed,
    found: Sequence[Found],
    alike: Iterable[Item],
    ledger: Ledger,
    destination: str,
    now: datetime,
) -> None:
    known = {(item.name, item.version): item for item in alike}
    mark = ledger.mark(_mark_of(feed))
    items = [
        new_item(
            one,
            known.get((one.name, one.version)),
            sheets_queue(feed),
            destination,
            now,
            is_doubtful=(one.name, one.version) not in known and _is_in_doubt(one.sheet, mark, now),
        )
        for one in found
    ]
    taken = ledger.take_in(items, now)
    intake.new.update(taken.new)
    intake.aside, intake.bytes = taken.aside, taken.bytes
    if _doubts_all(mark, now):  # after it: a look that is killed is made again
        _note_look(ledger, feed, now, intake.left)
    for one in found:
        _note_move(ledger, known.get((one.name, one.version)), one, now)


def doubt(ledger: Ledger, feed: Feed) -> None:
    """The ledger was lost: of sheets that it does not know and that are older, nobody knows what was sent."""
    ledger.set_mark(_mark_of(feed), Mark())


def _doubts_all(mark: Mark | None, now: datetime) -> bool:
    return mark is not None and (mark.at is None or now < mark.at + _DOUBT)


def _is_in_doubt(sheet: Sheet, mark: Mark | None, now: datetime) -> bool:
    """Whether a sheet may have been sent before the ledger was lost: it was there then, or was, and is back again."""
    is_older = mark is not None and mark.at is not None and min(sheet.created, sheet.modified) < mark.at
    return is_older or _doubts_all(mark, now)


def _note_look(ledger: Ledger, feed: Feed, now: datetime, left: int) -> None:
    """The time of doubt begins with a look that leaves nothing for later."""
    if left:
        doubt(ledger, feed)
    elif ledger.mark(_mark_of(feed)) == Mark():
        ledger.set_mark(_mark_of(feed), Mark(now))


def _mark_of(feed: Feed) -> str:
    return f"{sheets_queue(feed)} restored"


def new_item(
    found: Found, known: Item | None, queue: str, destination: str, now: datetime, *, is_doubtful: bool = False
) -> NewItem:
    """The work that a sheet asks for. One that was seen before stays of its day, and bound for where it was."""
    day = known.detail[DAY] if known else london_day(now).isoformat()
    return NewItem(
        queue,
        found.name,
        found.version,
        known.partition if known else day_of(now),
        found.sheet.size or 0,
        destination=known.destination if known else destination,
        state=State.ASIDE if found.twin else State.PENDING,
        reason=Reason.SAME_CONTENT if found.twin else None,
        cause="dropped",
        detail={PLACE: found.place, SEEN: found.sheet.version, DAY: day} | ({DOUBTFUL: True} if is_doubtful else {}),
    )


def day_of(moment: datetime) -> str:
    """The partition of what is first seen at a moment."""
    day: date = moment.astimezone(UTC).date()
    return day.isoformat()


def _note_move(ledger: Ledger, item: Item | None, found: Found, now: datetime) -> None:
    """A sheet that was moved, or written again as it was, is known where it is now: it need not be read each time."""
    if item is None or item.state is not State.SETTLED:
        return
    told = {PLACE: found.place, SEEN: found.sheet.version}
    if any(item.detail.get(name) != value for name, value in told.items()):
        ledger.amend(item, told, [], now)
