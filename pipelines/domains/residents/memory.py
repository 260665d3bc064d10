"""What the ledger knows of a row: how far its effects are, by all versions that it ever had.

Not here: how effects are named and kept, and the calls that are still to be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from pipelines.core.retry import LONGEST_PAUSE
from pipelines.core.work import OVER, Item, Reason, State
from pipelines.domains.residents.batches import ToSend
from pipelines.domains.residents.effects import is_parked, next_step
from pipelines.domains.residents.entries import (
    ADDRESS_LEFT_OUT,
    ANOTHERS,
    CASE,
    REFUSALS,
    REQUEST,
    RESIDENT,
    TEXT,
    THERE,
    WORDS,
    Place,
    names,
)
from pipelines.domains.residents.outcomes import Outcome, Result, tell_sent
from pipelines.domains.residents.progress import ASKED_FOR, Kind, Plan, Progress, Standing, begin

_OF_CASE = (Kind.CASE, Kind.CASE_NOTE)


class Memory(msgspec.Struct, frozen=True):
    """How far a row is.

    Attributes:
        items: of its effects, None where the ledger has none; the request may be that of a newer sheet.
        progress: as far as the ledger tells.
        due_at: before then nothing is to be tried, nor anything that follows: an answer failed, a lost call may still
            be under way, or another run holds an effect.
        given_up: whether something of it was tried often enough.
        words: of a refusal.
    """

    items: tuple[Item | None, ...]
    progress: Progress
    due_at: datetime | None = None
    given_up: bool = False
    words: str = ""

    def is_new_to(self, sheet: int) -> bool:
        """Whether any of it was done for this version of the sheet."""
        return any(item is not None and item.parent == sheet for item in self.items)


def recall(row: ToSend, found: Sequence[Item], now: datetime, place: Place) -> Memory:
    """How far a row is, by all versions of its effects' names that the ledger has.

    Args:
        row: to be sent.
        found: the versions.
        now: the time.
        place: of its effects.
    """
    if not found and not place.is_doubtful:  # as most rows are: the rest comes to the same, and takes its time
        return Memory((None,) * len(row.plan.effects), begin(row.plan))
    by_name: dict[str, list[Item]] = {}
    for item in found:
        by_name.setdefault(item.name, []).append(item)
    plan, content, own = row.plan, row.identity.content, names(row)
    items = tuple(next((item for item in by_name.get(name, ()) if item.version == content), None) for name in own)
    # Who waits while a newer sheet is sent has only notes, and a case, to add to the request that is there then.
    newer = _find_newer(by_name.get(own[0], ()), content, place)
    items = items if newer is None else (newer, *items[1:])
    others = [item for item in by_name.get(own[0], ()) if item.version != content]
    request = items[0]
    progress = begin(
        plan,
        _find_standings(row, own, by_name, items, place),
        resident=_told(request, RESIDENT),
        request=_told(request, REQUEST),
        case=_find_last(_of_kind(row, own, by_name, Kind.CASE), CASE),
        earlier=_find_last(others, REQUEST),
    )
    left_out = request is not None and ADDRESS_LEFT_OUT in request.detail
    progress = replace(progress, address_left_out=left_out, is_doubtful=place.is_doubtful)
    # Another version's call may still be under way as well, and come in after ours.
    waited_for = [item for item in found if item.version == content or _may_have_left(item)]
    waiting = [due for item in waited_for if (due := _due(item, now)) is not None]
    dead = [item for item in items if item is not None and item.state is State.DEAD]
    words = next((item.detail[WORDS] for item in dead if WORDS in item.detail), "")
    given_up = any(item.reason not in REFUSALS for item in dead)
    is_over = all(item is None or item.state in (State.SETTLED, State.DEAD) for item in items)
    if request is not None and ANOTHERS in request.detail and is_over:
        progress = replace(progress, is_anothers=True)
    return Memory(items, progress, max(waiting, default=None), given_up, words)


def is_outdated(row: ToSend, found: Sequence[Item], place: Place) -> bool:
    """Whether the row was sent before, and then, maybe, something else under its key: what it says is news again.

    Of several rows of a key in one sheet that holds for the last one only, which is not asked here.
    """
    if not found or not row.plan.is_repeatable:
        return False
    request, *_ = names(row)
    requests = [item for item in found if item.name == request]
    own = next((item for item in requests if item.version == row.identity.content), None)
    if own is None or own.state is not State.SETTLED:
        return False
    sent = [item for item in requests if item.state is State.SETTLED or _may_have_left(item)]
    return any(_last_sent(item) > _last_sent(own) and place.comes_after(item.parent) for item in sent)


def judge(row: ToSend, memory: Memory, sheet: int) -> Outcome:
    """What became of a row so far."""
    plan, progress = row.plan, memory.progress
    told = tell_sent(
        plan, progress, words=memory.words, given_up=memory.given_up, unchanged=not memory.is_new_to(sheet)
    )
    if told.result in (Result.WAITING, Result.GIVEN_UP) and not is_open(plan, progress):
        # All of it is there: what is not known is only the resident's id, for whoever reads the outcome.
        return replace(told, result=Result.SENT, reason="")
    if told.result is Result.GIVEN_UP:
        reason = next(item.reason for item in memory.items if item is not None and item.state is State.DEAD)
        return replace(told, reason=str(reason))
    return told


def is_open(plan: Plan, progress: Progress) -> bool:
    """Whether an effect is still to be had or to be found out, and may be."""
    if is_parked(plan, progress) or next_step(plan, progress) is None:
        return False
    return any(standing in ASKED_FOR for standing in progress.standings)


def _find_standings(
    row: ToSend,
    own: Sequence[str],
    by_name: Mapping[str, Sequence[Item]],
    items: Sequence[Item | None],
    place: Place,
) -> dict[str, Standing]:
    """Where a row's effects stand that any version has had to do with, by their names."""
    plan, request = row.plan, items[0]
    standings = {
        effect.name: _standing(item, is_told=plan.is_repeatable or effect.kind is not Kind.REQUEST)
        for effect, item in zip(plan.effects, items, strict=True)
        if item is not None
    }
    # An extra case and its note are the same whatever the row says: what another version had of them is there.
    for kind in _OF_CASE:
        if plan.find(kind) is not None:
            standings.setdefault(kind, _standing_of_any(_of_kind(row, own, by_name, kind)))
    if place.is_doubtful and not _of_kind(row, own, by_name, Kind.CASE_NOTE):
        standings[Kind.CASE_NOTE] = Standing.UNKNOWN
    if _is_unclear(row, own, by_name, request, place) and standings.get(Kind.REQUEST, Standing.OPEN) is Standing.OPEN:
        standings[Kind.REQUEST] = Standing.UNKNOWN
    if plan.feed.note_in_request and (which := plan.find(Kind.NOTE)) is not None:
        note = plan.effects[which].name
        of_others = [item for item in _of_kind(row, own, by_name, Kind.NOTE) if item.version != row.identity.content]
        may_be_there = place.is_doubtful or any(_may_be(item, row.identity.note) for item in of_others)
        if may_be_there and standings.get(note, Standing.OPEN) is Standing.OPEN:
            standings[note] = Standing.UNKNOWN
    return standings


def _is_unclear(
    row: ToSend, own: Sequence[str], by_name: Mapping[str, Sequence[Item]], request: Item | None, place: Place
) -> bool:
    """Whether the request may have been received, though its own version was never asked for."""
    others = [item for item in _of_kind(row, own, by_name, Kind.REQUEST) if item.version != row.identity.content]
    # What went with an earlier version's request can't be told while nobody knows whether that was received.
    is_unclear = row.plan.feed.note_in_request and any(map(_may_have_left, others))
    if request is None:
        return is_unclear or place.is_doubtful
    return is_unclear and (request.reason != Reason.REPLAYED or row.plan.is_repeatable)


def _of_kind(row: ToSend, own: Sequence[str], by_name: Mapping[str, Sequence[Item]], kind: Kind) -> Sequence[Item]:
    """All versions of the row's first effect of a kind, by the names of its effects."""
    which = row.plan.find(kind)
    return () if which is None else by_name.get(own[which], ())


def _standing(item: Item, *, is_told: bool) -> Standing:
    """Where an effect stands by its entry; ``is_told``: whether the API tells, or recognises, that it is there."""
    if item.state is State.SETTLED:
        return Standing.THERE if THERE in item.detail else Standing.DONE
    if item.state is State.DEAD and item.reason in REFUSALS:
        return Standing.REFUSED
    # Who has it sent again by hand takes the risk, where nothing could tell. With its sheet it may have been withdrawn.
    waits = item.state in (State.PENDING, State.SUPERSEDED)
    was_never_had = item.detail.keys() <= {WORDS}
    if waits and item.reason == Reason.REPLAYED and was_never_had and not is_told:
        return Standing.OPEN
    return Standing.UNKNOWN if _may_have_left(item) else Standing.OPEN


def _standing_of_any(versions: Sequence[Item]) -> Standing:
    """Where an effect stands, by other versions than the row's own."""
    if any(item.state is State.SETTLED for item in versions):
        return Standing.THERE
    tried = [item for item in versions if item.reason not in REFUSALS]
    return Standing.UNKNOWN if any(map(_may_have_left, tried)) else Standing.OPEN


def _may_be(item: Item, note: str) -> bool:
    """Whether the note of another version may be there and have the same text, as far as anybody knows."""
    is_there = item.state is State.SETTLED and item.detail.get(TEXT, note) == note
    return is_there or _may_have_left(item)


def _may_have_left(item: Item) -> bool:
    """Whether an item that is not settled may have had its effect, as far as anybody knows."""
    return item.state is not State.SETTLED and (item.uncertain or item.state is State.CLAIMED)


def _last_sent(item: Item) -> datetime:
    """When an item was settled; when it was last heard of, if it only may have had its effect."""
    return item.settled_at or item.changed_at


def _find_newer(versions: Sequence[Item], content: str, place: Place) -> Item | None:
    """What was sent for a newer sheet before the row's turn came: the row would undo it."""
    if any(item.version == content and item.state in OVER for item in versions):
        return None
    newer = [item for item in versions if item.state is State.SETTLED and place.comes_before(item.parent)]
    return max(newer, key=_last_sent, default=None)


def _due(item: Item, now: datetime) -> datetime | None:
    """Until when an item is to be left alone; a lost call may be under way until then, whatever became of its item."""
    if item.state is State.CLAIMED and item.lease_until is not None and item.lease_until >= now:
        return item.lease_until
    waits = item.state is State.PENDING or (item.uncertain and item.state in (State.DEAD, State.SUPERSEDED))
    return item.due_at if waits and now < item.due_at <= now + LONGEST_PAUSE else None


def _find_last(versions: Sequence[Item], name: str) -> int | None:
    """The id that the row's key got last."""
    told = [item for item in versions if item.state is State.SETTLED and name in item.detail]
    last = max(told, key=lambda item: (item.settled_at or item.seen_at, item.id), default=None)
    return None if last is None else _told(last, name)


def _told(item: Item | None, name: str) -> int | None:
    detail: Mapping[str, int] = {} if item is None else item.detail
    return detail.get(name)
