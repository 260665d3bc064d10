"""The sheet that is written back: what became of each row of a sheet, beside its cells, for whoever dropped it.

It is made of the sheet itself and of what the ledger knows, whole or not at all, as often as it is asked for; nothing
is sent. Only counts and digests of it are kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from msgspec import structs

from pipelines.adapters import drive as drives
from pipelines.adapters.drive import (
    Drive,
    DriveDenied,
    DriveError,
    DriveUnavailable,
    SheetChanged,
    SheetGone,
    SheetUnreadable,
)
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core import work
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import OVER, Item, Reason, State
from pipelines.domains.residents.batches import Batch, ToSend
from pipelines.domains.residents.entries import Place, effects_queue, names, sheets_queue
from pipelines.domains.residents.faults import Skip, Skipped
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.memory import Memory, judge, recall
from pipelines.domains.residents.outbound import Page, make_workbooks
from pipelines.domains.residents.outcomes import Outcome, Result, tell_duplicate, tell_unsent
from pipelines.domains.residents.places import DAY, PLACE, digest, find, place_of
from pipelines.domains.residents.places import SEEN as VERSION
from pipelines.domains.residents.sheet import SheetRefused
from pipelines.domains.residents.sheets import REASONS, REFUSED, outcomes_queue, read, wait_for_drive
from pipelines.domains.residents.totals import count_replaced

CALLED, SUFFIX, BOOKS, RESULTS, SHEET, SEEN = "called", "suffix", "books", "results", "sheet", "seen"
"""In an outcome's detail: a digest of the sheet's name, what was put behind it, how many spreadsheets, what they count,
the id of the sheet's item, and whether all of them were seen once they were written."""

_EXCLUDED = Skipped(Skip.EXCLUDED)
_AT_ONCE = 256
_SUFFIX_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Writing:
    """What writing the outcomes of a feed needs.

    Attributes:
        feed: of the sheets.
        drive: where they are, and where outcomes go.
        ledger: the ledger.
        policy: how often an outcome is tried.
        secret: the installation's key.
        excluded: ids that are not sent.
        now: the wall clock.
    """

    feed: Feed
    drive: Drive
    ledger: Ledger
    policy: RetryPolicy
    secret: bytes = field(repr=False)
    excluded: frozenset[str] = field(repr=False)
    now: Callable[[], datetime] = utc_now

    def outcome(self, item: Item, held: Callable[[Item], bool]) -> work.Outcome:
        """Write the outcome that a claimed item asks for; only an error of our own raises."""
        if self.policy.exhausted(item.attempts):
            return work.Outcome(item.id, item.fence, State.DEAD, attempted=False, reason=Reason.CRASHED)
        name = item.name.rpartition(" ")[0]
        versions = self.ledger.named(sheets_queue(self.feed), None, [name])
        sheet = _find_sheet(item, versions)
        if sheet is None:  # it is sent anew, and then asks anew
            return work.Outcome(item.id, item.fence, State.SUPERSEDED, reason=Reason.CHANGED)
        try:
            detail = self._write(item, sheet, _count_replaced(sheet, versions), held)
        except (SheetGone, SheetUnreadable):
            return self._again(item, Reason.GONE)
        except SheetChanged:
            return self._again(item, Reason.CHANGED)
        except (DriveDenied, DriveUnavailable) as error:
            return wait_for_drive(error, item, self.policy, self.now())
        state = State.PENDING if detail is None else State.SETTLED
        return work.Outcome(item.id, item.fence, state, attempted=detail is not None, detail=detail)

    def _write(self, item: Item, sheet: Item, replaced: int, held: Callable[[Item], bool]) -> dict[str, Any] | None:
        found = find(self.drive, self.drive.sheets([self.feed.name], self.now()), sheet, self.secret)
        if found is None:
            raise SheetGone("a sheet is not where it was")
        called = digest(self.secret, "name", found.stem)
        suffix = self._suffix(item, sheet, called)
        day = date.fromisoformat(sheet.detail[DAY])
        books, results = self._books(sheet, found.stem + suffix, day)
        if replaced:
            words = (
                f"{replaced} rows of an earlier version waited as it was replaced; drop again those that are not here"
            )
            books[0][1].append(drives.Tab("replaced", ["reason"], [[words]]))
        if not held(item):
            return None
        for name, tabs in books:
            self.drive.write(self.feed.name, name, tabs)
        names = {name for name, _ in books}
        seen = self.drive.outcomes(self.feed.name, names).keys() == names
        told = {CALLED: called, SUFFIX: suffix, BOOKS: len(books), RESULTS: results}
        return told | {SHEET: sheet.id, DAY: str(day), SEEN: seen}

    def _books(self, sheet: Item, name: str, day: date) -> tuple[list[tuple[str, list[drives.Tab]]], dict[str, int]]:
        try:
            batch = read(self.feed, self.drive, sheet, self.secret, self.excluded, self.now())
        except (SheetRefused, SheetUnreadable) as error:
            return self._refuse(sheet.detail.get(REFUSED, str(error)), name, day)
        except Exception as error:
            # The error of our own for which it was given up keeps us from telling of its rows as well.
            if isinstance(error, DriveError) or sheet.reason != Reason.INTERNAL:
                raise
            return self._refuse(Reason.INTERNAL, name, day)
        told = list(tell(batch, self.ledger, sheet, self.now()))
        books = [
            (book.name, [drives.Tab(page.title, page.columns, _Rows(page, batch, told)) for page in book.pages])
            for book in make_workbooks(batch.sheet, name, day)
        ]
        return books, {str(one): count for one, count in sorted(Counter(row.result for row in told).items())}

    def _refuse(self, words: str, name: str, day: date) -> tuple[list[tuple[str, list[drives.Tab]]], dict[str, int]]:
        """Tell why there is nothing to tell of rows, also in the place of what was told of an earlier version."""
        first, *others = book_names(self.feed, name, day)
        names = [first, *others] if others and self.drive.outcomes(self.feed.name, others) else [first]
        return [(one, [drives.Tab("refused", ["reason"], [[words]])]) for one in names], {REFUSED: 1}

    def _suffix(self, item: Item, sheet: Item, called: str) -> str:
        """What is put behind the name, if another sheet of that name on that day has it already."""
        day = date.fromisoformat(sheet.detail[DAY])
        around = Span(str(day - timedelta(days=1)), str(day))  # a day in London has hours of two in UTC
        others = False
        for one in self.ledger.items(outcomes_queue(self.feed), around):
            if one.detail.get(CALLED) != called or one.detail.get(DAY) != str(day):
                continue
            if one.name == item.name:
                return str(one.detail[SUFFIX])
            others = True
        return "_" + digest(self.secret, "suffix", sheet.name)[:_SUFFIX_DIGITS] if others else ""

    def _again(self, item: Item, reason: Reason) -> work.Outcome:
        if self.policy.exhausted(item.attempts + 1):
            return work.Outcome(item.id, item.fence, State.DEAD, reason=reason)
        due_at = self.now() + self.policy.pause(item.attempts + 1, 0.0)
        return work.Outcome(item.id, item.fence, State.PENDING, due_at=due_at, reason=reason)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A tab's rows, each time anew."""

    page: Page
    batch: Batch
    told: Sequence[Outcome]

    def __iter__(self) -> Iterator[Sequence[str]]:
        for row, outcome in zip(self.batch.rows, self.told, strict=True):
            cells = self.page.cells(row, outcome)
            if cells is not None:
                yield cells


def tell(batch: Batch, ledger: Ledger, sheet: Item, now: datetime) -> Iterator[Outcome]:
    """What became of each row of a sheet, in order."""
    of_rows = Place(effects_queue(batch.sheet.feed), sheet.destination, sheet.partition, sheet.id)
    firsts: dict[int, Outcome] = {}
    repeated = set(batch.repeats.values())
    anybody = replace(batch, context=replace(batch.context, excluded=frozenset()))
    places = iter(range(len(batch.rows)))
    while some := list(islice(places, _AT_ONCE)):
        listed = [batch.judge(place) for place in some]
        # The list of excluded ids may have been another one then: what the ledger knows was sent.
        verdicts = [anybody.judge(place) if one == _EXCLUDED else one for place, one in zip(some, listed, strict=True)]
        asked = [name for one in verdicts if isinstance(one, ToSend) for name in names(one)]
        found: dict[str, list[Item]] = defaultdict(list)
        for item in ledger.named(of_rows.queue, sheet.destination, asked):
            found[item.name].append(item)
        for place, judged, verdict in zip(some, listed, verdicts, strict=True):
            if not isinstance(verdict, ToSend):
                yield tell_unsent(verdict if isinstance(judged, ToSend) else judged)
            elif place in batch.repeats and firsts[batch.repeats[place]].passed:
                first = batch.repeats[place]
                yield tell_duplicate(batch.rows[first].number, verdict.plan.row.warnings, firsts[first])
            else:
                known = recall(verdict, [item for name in names(verdict) for item in found[name]], now, of_rows)
                told = _tell(verdict, known, sheet, is_excluded=judged == _EXCLUDED)
                if place in repeated:
                    firsts[place] = told
                yield told


def _tell(row: ToSend, known: Memory, sheet: Item, *, is_excluded: bool) -> Outcome:
    """What became of a row that can be sent; of a sheet that is over none waits."""
    told = judge(row, known, sheet.id)
    if told.result is not Result.WAITING:
        return told
    was_excluded = sheet.state is State.SETTLED and Skip.EXCLUDED in sheet.detail.get(REASONS, {})
    if (is_excluded or was_excluded) and not any(known.items):
        return tell_unsent(_EXCLUDED)
    if sheet.state is State.DEAD:
        return structs.replace(told, result=Result.GIVEN_UP, reason=str(sheet.reason))
    return told


def book_names(feed: Feed, name: str, day: date) -> list[str]:
    """The names of the spreadsheets that are written for a sheet of a name."""
    return [f"{book.prefix}_{name}_{day}" for book in feed.books]


def find_missing(writing: Writing, span: Span) -> list[int]:
    """Outcomes of these days that were written and are not there any more, though what they tell of is; by their items.

    Raises:
        DriveError: it could not be seen.
    """
    feed, drive = writing.feed, writing.drive
    written = [one for one in writing.ledger.items(outcomes_queue(feed), span, [State.SETTLED]) if CALLED in one.detail]
    if not written:
        return []
    sheets = {item.id: item for item in writing.ledger.items(sheets_queue(feed), span)}
    there = {
        (place_of(drive, one, writing.secret), one.version): one for one in drive.sheets([feed.name], writing.now())
    }
    wanted: dict[int, list[str]] = {}
    for one in written:
        sheet = sheets.get(one.detail[SHEET])
        found = None if sheet is None else there.get((sheet.detail[PLACE], sheet.detail[VERSION]))
        if found is not None:
            books = book_names(feed, found.stem + one.detail[SUFFIX], date.fromisoformat(one.detail[DAY]))
            wanted[one.id] = books[: one.detail[BOOKS]]
    seen = drive.outcomes(feed.name, {name for names in wanted.values() for name in names})
    return [item for item, names in wanted.items() if not seen.keys() >= set(names)]


def _find_sheet(item: Item, versions: Collection[Item]) -> Item | None:
    """The newest version of the sheet that is over, unless another one is on its way."""
    newest = max(versions, key=_latest, default=None)
    over = [one for one in versions if one.partition == item.partition and one.state in OVER]
    last = max(over, key=_latest, default=None)
    return last if newest is not None and newest.state in OVER else None


def _count_replaced(sheet: Item, versions: Collection[Item]) -> int:
    """How many rows waited in versions that were replaced since another one of the sheet was settled."""
    settled = [one.settled_at for one in versions if one.id != sheet.id and one.settled_at is not None]
    since = max(settled, default=None)
    return count_replaced(one for one in versions if since is None or one.changed_at > since)


def _latest(item: Item) -> tuple[datetime, int]:
    return item.changed_at, item.id
