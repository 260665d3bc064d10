"""A sheet as a batch of rows to be sent: read once to its end before anything of it is.

Here: which rows are sent, which not, which say the same, and which wait for which. Not here: the drive, the ledger, and
what comes of a row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, dropwhile, islice, takewhile

from pipelines.domains.residents.faults import Rejected, Skipped
from pipelines.domains.residents.feeds.contract import Context, Feed
from pipelines.domains.residents.identity import Identity, identify
from pipelines.domains.residents.matching import PersonKey
from pipelines.domains.residents.outcomes import Result, tell_unsent
from pipelines.domains.residents.packing import PackedRows
from pipelines.domains.residents.progress import Plan, plan_row
from pipelines.domains.residents.rows import Mapped, map_row
from pipelines.domains.residents.schedule import Schedule
from pipelines.domains.residents.sheet import Line, Row, Sheet, read_sheet

_JUDGED = 4096
"""Rows that are kept as they were judged: to judge one takes longer than to have it sent. Of a sheet with more of them
the others are judged again, so that memory grows by packed rows only."""


@dataclass(frozen=True, slots=True)
class ToSend:
    """A row that is to be sent: what it is known by, and its effects."""

    identity: Identity
    plan: Plan


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a sheet, by their places from 0.

    Attributes:
        sheet: its header and columns; its rows are in ``rows``.
        rows: all of them, blank ones too.
        context: by what they are judged.
        repeats: places of rows that say the same as an earlier one, with that one's place.
        unsent: how many rows are not sent, by what becomes of them.
        reasons: why, counted.
    """

    sheet: Sheet = field(repr=False)
    rows: PackedRows = field(repr=False)
    context: Context = field(repr=False)
    repeats: dict[int, int]
    unsent: Counter[Result]
    reasons: Counter[str]
    _secret: bytes = field(repr=False)
    _schedule: Schedule = field(repr=False)
    _is_sent: bytearray = field(repr=False)
    _judged: dict[int, ToSend] = field(repr=False)

    @property
    def sent(self) -> int:
        """How many rows are to be sent."""
        return len(self.rows) - self.unsent.total()

    def groups(self, start: int = 0) -> Iterator[Iterator[int]]:
        """Places of rows to be sent: those of a group one after another, the groups in any order.

        Those come first that begin at ``start`` or behind it.
        """
        behind = dropwhile(lambda first: first < start, self._schedule.first())
        before = takewhile(lambda first: first < start, self._schedule.first())
        for first in chain(behind, before):
            if self._is_sent[first]:
                yield self._group(first)

    def judge(self, place: int) -> ToSend | Skipped | Rejected:
        """What becomes of the row, whether or not it repeats another one."""
        return _judge(self.sheet, self.rows[place], self.context, self._secret)

    def to_send(self, place: int) -> ToSend:
        """A row of a group.

        Raises:
            ValueError: it is in none.
        """
        row = self._judged.get(place) or self.judge(place)
        if not isinstance(row, ToSend):
            raise ValueError("a row that is not to be sent is in no group")  # noqa: TRY004 (no wrong type was given)
        return row

    def is_last_of_its_key(self, place: int) -> bool:
        """Whether no row with this row's key is to be sent after it: it is what stays."""
        key = self.to_send(place).identity.key
        return all(self.to_send(later).identity.key != key for later in islice(self._group(place), 1, None))

    def _group(self, first: int) -> Iterator[int]:
        place: int | None = first
        while place is not None:
            yield place
            place = self._schedule.after(place)


def read_batch(lines: Iterable[Line], feed: Feed, context: Context, secret: bytes) -> Batch:
    """Read a sheet to its end.

    Args:
        lines: all of the sheet's, from its first one.
        feed: of the sheet.
        context: by what rows are judged.
        secret: the installation's key.

    Raises:
        SheetRefused: it is no sheet of its feed.
    """
    sheet = read_sheet(lines, feed)
    rows, is_sent = PackedRows(), bytearray()
    repeats: dict[int, int] = {}
    judged: dict[int, ToSend] = {}
    unsent: Counter[Result] = Counter()
    reasons: Counter[str] = Counter()
    seen: dict[bytes, int] = {}

    def find_keys() -> Iterator[Collection[PersonKey]]:
        for row in sheet.rows:
            place = len(rows)
            rows.append(row)
            verdict = _judge(sheet, row, context, secret)
            if isinstance(verdict, ToSend):
                first = seen.setdefault(bytes.fromhex(verdict.identity.content), place)
                if first == place:
                    is_sent.append(True)
                    if len(judged) < _JUDGED:
                        judged[place] = verdict
                    yield verdict.plan.row.person_keys
                    continue
                repeats[place] = first
                unsent[Result.DUPLICATE] += 1
            else:
                told = tell_unsent(verdict)
                unsent[told.result] += 1
                reasons[told.reason] += 1
            is_sent.append(False)
            yield ()

    schedule = Schedule(find_keys())
    return Batch(sheet, rows, context, repeats, unsent, reasons, secret, schedule, is_sent, judged)


def _judge(sheet: Sheet, row: Row, context: Context, secret: bytes) -> ToSend | Skipped | Rejected:
    mapped = map_row(sheet, row, context)
    if not isinstance(mapped, Mapped):
        return mapped
    note = next(iter(mapped.notes), "") if sheet.feed.note_in_request else ""
    identity = identify(sheet.feed, sheet.cells(row), mapped.key, secret, note)
    return ToSend(identity, plan_row(sheet.feed, mapped))
