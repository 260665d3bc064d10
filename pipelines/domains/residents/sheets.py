"""One claimed sheet, from the drive to its settled rows.

It is read to its end before anything of it is sent. It settles once each of its rows is accounted for, and asks in the
same transaction for the sheet that is written back and for receipts. Until then it comes back when its
rows are due. Not here: a row's calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from msgspec.structs import replace

from pipelines.adapters.drive import (
    Drive,
    DriveBusy,
    DriveDenied,
    DriveError,
    DriveUnavailable,
    Row,
    SheetChanged,
    SheetGone,
    SheetUnreadable,
)
from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.retry import RetryPolicy, store_unavailable
from pipelines.core.work import OVER, Item, NewItem, Outcome, Reason, State
from pipelines.domains.residents.batches import Batch, read_batch
from pipelines.domains.residents.entries import Place, effects_queue, sheets_queue
from pipelines.domains.residents.feeds.contract import Context, Feed
from pipelines.domains.residents.outcomes import Result
from pipelines.domains.residents.places import DAY, DOUBTFUL, PLACE, SEEN, find
from pipelines.domains.residents.sending import Api, Sending, Sent
from pipelines.domains.residents.sheet import Line, SheetRefused
from pipelines.domains.residents.terms import Terms

RECEIPTS = "residents/receipts"

ROWS, RESULTS, REASONS, REFUSED = "rows", "results", "reasons", "refused"
"""In a sheet's detail: how many rows were read, what became of them, why some were not sent; why it was refused."""

_CRASHES = 20
"""After so many runs that ended without a word a sheet is held to be the cause."""

Told = Callable[[int, Sent], None]
"""Told, as it goes on, of how many rows there are and what was done so far."""


def outcomes_queue(feed: Feed) -> str:
    """The queue of sheets to be written back; also the asset."""
    return f"residents/{feed.name}_outcomes"


@dataclass(frozen=True, slots=True)
class Work:
    """What sending the sheets of a feed needs.

    Attributes:
        feed: of the sheets.
        drive: where they are.
        ledger: the ledger.
        api: opens the API.
        terms: how rows are sent.
        secret: the installation's key.
        excluded: ids that are not to be sent.
        owner: the run.
        has_time: whether more may be sent in this run.
        told: of what is done.
        now: the wall clock.
    """

    feed: Feed
    drive: Drive
    ledger: Ledger
    api: Api
    terms: Terms
    secret: bytes = field(repr=False)
    excluded: frozenset[str] = field(repr=False)
    owner: str
    has_time: Callable[[], bool] = lambda: True
    told: Told = lambda *_: None
    now: Callable[[], datetime] = utc_now

    def outcome(self, item: Item, held: Callable[[Item], bool]) -> Outcome:
        """Send a claimed sheet and say what became of it; only an error of our own raises."""
        outcome = self._outcome(item, held)
        if outcome.state in (State.SETTLED, State.DEAD):
            outcome = replace(outcome, releases=self.requests(item))
        return outcome

    def requests(self, item: Item) -> tuple[NewItem, ...]:
        """What is to be written once a sheet is over: its outcome, and the receipts of each day that they lag behind.

        Rows that waited since an earlier day, or that a person had sent again of it, changed that day's receipts.
        """
        # A request that waits already will do: whoever writes takes what is there then.
        version = f"{item.id} {item.fence}"
        outcome = NewItem(
            outcomes_queue(self.feed),
            f"{item.name} {item.partition}",
            version,
            item.partition,
            0,
            cause="sent",
            joins=True,
        )
        days = sorted({item.partition, *self.ledger.unrecorded(effects_queue(self.feed))})
        return (outcome, *(NewItem(RECEIPTS, day, version, day, 0, cause=item.queue, joins=True) for day in days))

    def _outcome(self, item: Item, held: Callable[[Item], bool]) -> Outcome:
        if item.attempts >= _CRASHES:
            return Outcome(item.id, item.fence, State.DEAD, attempted=False, reason=Reason.CRASHED)
        try:
            batch = read(self.feed, self.drive, item, self.secret, self.excluded, self.now())
        except (SheetRefused, SheetUnreadable) as error:
            # The former names headers that we know, the latter kinds of files.
            detail = _kept(item) | {REFUSED: str(error)}
            return Outcome(item.id, item.fence, State.DEAD, reason=Reason.NOT_A_SHEET, detail=detail)
        except SheetGone:
            return self._again(item, Reason.GONE)
        except SheetChanged:
            # The newer version is, or will be, an item of its own.
            return Outcome(item.id, item.fence, State.SUPERSEDED, reason=Reason.CHANGED)
        except (DriveUnavailable, DriveDenied) as error:
            return wait_for_drive(error, item, self.terms.policy, self.now())
        return self._send(item, batch, held)

    def _send(self, item: Item, batch: Batch, held: Callable[[Item], bool]) -> Outcome:
        versions = self.ledger.named(item.queue, item.destination, [item.name])
        place = Place(
            effects_queue(self.feed),
            item.destination,
            item.partition,
            item.id,
            frozenset(one.id for one in versions if one.fence or one.state in OVER),
            _is_doubtful(versions),
        )
        sending = Sending(
            self.ledger,
            f"{sheets_queue(self.feed)} {item.destination}",
            place,
            self.terms,
            self.owner,
            goes_on=lambda: self.has_time() and held(item),
            told=lambda sent: self.told(len(batch.rows), sent),
            now=self.now,
        )
        outcome = self._settle(item, batch, sending.run(batch, self.api))
        if outcome.state is State.SETTLED:
            # What is left of rows that an edit took out of their sheet, or changed, will not be had any more.
            self.ledger.withdraw_orphans(effects_queue(self.feed), self.now())
        return outcome

    def _settle(self, item: Item, batch: Batch, sent: Sent) -> Outcome:
        results: Counter[Result] = batch.unsent + sent.results
        detail = _kept(item) | {
            ROWS: len(batch.rows),
            RESULTS: {str(result): count for result, count in sorted(results.items())},
            REASONS: dict(sorted(batch.reasons.items())),
        }
        if not results[Result.WAITING]:
            if results.total() != len(batch.rows):
                raise ValueError("a row is neither sent nor not sent")
            detail.pop(DOUBTFUL, None)  # the ledger knows all of its rows now
            return Outcome(item.id, item.fence, State.SETTLED, detail=detail)
        return Outcome(
            item.id,
            item.fence,
            State.PENDING,
            attempted=False,
            due_at=sent.due_at,
            reason=sent.stopped,
            detail=detail,
        )

    def _again(self, item: Item, reason: Reason) -> Outcome:
        if self.terms.policy.exhausted(item.attempts + 1):
            return Outcome(item.id, item.fence, State.DEAD, reason=reason, detail=_kept(item))
        due_at = self.now() + self.terms.policy.pause(item.attempts + 1, 0.0)
        return Outcome(item.id, item.fence, State.PENDING, due_at=due_at, reason=reason)


def read(feed: Feed, drive: Drive, item: Item, secret: bytes, excluded: frozenset[str], now: datetime) -> Batch:
    """The rows of a sheet's item, judged as of the day on which it was first seen.

    Raises:
        SheetRefused: it is no sheet of the feed.
        DriveError: it could not be read; ``SheetGone`` and ``SheetChanged`` among them.
    """
    sheet = find(drive, drive.sheets([feed.name], now), item, secret)
    if sheet is None:
        raise SheetGone("a sheet is not where it was")
    context = Context(date.fromisoformat(item.detail[DAY]), excluded)
    with drive.read(sheet) as rows:
        return read_batch(lines(rows), feed, context, secret)


def wait_for_drive(error: DriveError, item: Item, policy: RetryPolicy, now: datetime) -> Outcome:
    """The drive is out of order, or wants to be left alone: it is tried for as long as that lasts."""
    if isinstance(error, DriveBusy):  # a quota is soon there again, however often it was used up
        due_at = now + policy.pause(1, 0.0, error.retry_after)
        return Outcome(item.id, item.fence, State.PENDING, attempted=False, due_at=due_at, reason=Reason.BUSY)
    away = store_unavailable(item, policy, now)
    return replace(away, reason=Reason.NOT_ALLOWED) if isinstance(error, DriveDenied) else away


def lines(rows: Iterable[Row]) -> Iterator[Line]:
    """A drive's rows as lines of a sheet."""
    return (Line(row.cells, row.numbers) for row in rows)


def _is_doubtful(versions: Collection[Item]) -> bool:
    """Whether a version that may have been sent before the ledger was lost was followed by none that was sent since."""
    settled = [one.id for one in versions if one.state is State.SETTLED]
    return any(DOUBTFUL in one.detail and one.id > max(settled, default=0) for one in versions)


def _kept(item: Item) -> dict[str, Any]:
    detail: Mapping[str, Any] = item.detail
    return {name: detail[name] for name in (PLACE, SEEN, DAY, DOUBTFUL) if name in detail}
