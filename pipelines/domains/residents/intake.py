"""Sheets of a feed's inbound folder into the ledger: new ones, new versions, those that repeat another one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pipelines.adapters.drive import Drive, Sheet
from pipelines.adapters.ledger import Ledger
from pipelines.core.rhythms import Mark
from pipelines.core.work import Item, NewItem, Reason, State
from pipelines.domains.residents.dates import london_day
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.memory import sheets_queue
from pipelines.domains.residents.places import DAY, DOUBTFUL, PLACE, SEEN, Found, recognise

_DOUBT = timedelta(minutes=15)
"""From the first look on: what was still being written then, or was not listed yet, is seen by its end."""


@dataclass(slots=True)
class Intake:
    """What one look at a feed's folder found: sheets, new ones by day, those set aside, and the newest's time."""

    seen: int = 0
    new: Counter[str] = field(default_factory=Counter)
    aside: int = 0
    bytes: int = 0
    newest: datetime | None = None


def take_in(
    feeds: Collection[Feed], drive: Drive, ledger: Ledger, destination: str, secret: bytes, now: datetime
) -> dict[str, Intake]:
    """Record every sheet, and every version of one, that is not known yet.

    Args:
        feeds: whose inbound folders are looked at, all of them in one listing.
        drive: where they are.
        ledger: the ledger.
        destination: the API that new sheets are bound for; known ones stay bound for theirs.
        secret: the installation's key.
        now: the time; a sheet belongs to the day of it, in UTC.

    Returns:
        What was found, by the feed's name.

    Raises:
        DriveError: not all that is there could be seen; then nothing is recorded.
    """
    if not feeds:
        return {}
    sheets = drive.sheets([feed.name for feed in feeds], now)
    found = {
        feed.name: (feed, _recognise(feed, [one for one in sheets if one.feed == feed.name], drive, ledger, secret))
        for feed in feeds
    }
    return {name: _record(feed, *those, ledger, destination, now) for name, (feed, those) in found.items()}


def doubt(ledger: Ledger, feed: Feed) -> None:
    """The ledger was lost: of sheets that it does not know and that are older, nobody knows what was sent."""
    ledger.set_mark(_mark_of(feed), Mark())


def _is_in_doubt(sheet: Sheet, mark: Mark | None, now: datetime) -> bool:
    """Whether a sheet may have been sent before the ledger was lost: it was there then, or was, and is back again."""
    if mark is None or mark.at is None:
        return mark is not None
    return now < mark.at + _DOUBT or min(sheet.created, sheet.modified) < mark.at


def _note_look(ledger: Ledger, feed: Feed, now: datetime) -> None:
    if ledger.mark(_mark_of(feed)) == Mark():
        ledger.set_mark(_mark_of(feed), Mark(now))


def _mark_of(feed: Feed) -> str:
    return f"{sheets_queue(feed)} restored"


def _recognise(
    feed: Feed, sheets: Sequence[Sheet], drive: Drive, ledger: Ledger, secret: bytes
) -> tuple[list[Found], list[Item]]:
    known = list(ledger.items(sheets_queue(feed)))
    return recognise(drive, sheets, known, secret), known


def _record(
    feed: Feed, found: Sequence[Found], known: Sequence[Item], ledger: Ledger, destination: str, now: datetime
) -> Intake:
    there = {(item.name, item.version): item for item in known}
    mark = ledger.mark(_mark_of(feed))
    items = [
        new_item(
            one,
            there.get((one.name, one.version)),
            sheets_queue(feed),
            destination,
            now,
            is_doubtful=(one.name, one.version) not in there and _is_in_doubt(one.sheet, mark, now),
        )
        for one in found
    ]
    taken = ledger.take_in(items, now)
    _note_look(ledger, feed, now)  # after it: a look that is killed is made again
    for one in found:
        _note_move(ledger, there.get((one.name, one.version)), one, now)
    newest = max((one.sheet.modified for one in found), default=None)
    return Intake(len(found), Counter(taken.new), taken.aside, taken.bytes, newest)


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
