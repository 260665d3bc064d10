"""One row's way through its calls, each effect recorded around its call.

The order of each: the effect is in hand in the ledger, then the call is made, then what came of it is recorded, and
only then comes what follows. A run that dies between them leaves an effect in hand, of which the next one knows that it
may have happened. A row whose answer was lost waits until the call must be over. Not here: which rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from pipelines.adapters.here_to_help import Reply
from pipelines.core.delivery import put_back
from pipelines.core.work import OPEN, Item, Outcome, Reason, State
from pipelines.domains.residents import entries, memory
from pipelines.domains.residents.batches import ToSend
from pipelines.domains.residents.calling import read
from pipelines.domains.residents.calls import Answer, Gone, Made, ReadRequest, Refused, Step
from pipelines.domains.residents.effects import is_parked, learn, next_step
from pipelines.domains.residents.entries import REFUSALS, Place
from pipelines.domains.residents.gate import Gate
from pipelines.domains.residents.memory import Memory, recall
from pipelines.domains.residents.progress import ASKED_FOR, Kind, Progress, Standing
from pipelines.domains.residents.terms import Terms
from pipelines.domains.residents.together import Together


class Waits(Exception):  # noqa: N818 (it says what is the case)
    """The row can't go on before ``due_at``."""

    def __init__(self, due_at: datetime) -> None:
        super().__init__("the row waits")
        self.due_at = due_at


class Journey:
    """One row, on its way in one run.

    Args:
        row: to be sent.
        is_last: asked whether it is the last one of its key in the sheet.
        place: where its effects are in the ledger.
        ledger: shared by the rows of the sheet.
        gate: to the API, shared as well.
        terms: how the batch is sent.
        now: the wall clock.
    """

    def __init__(
        self,
        row: ToSend,
        is_last: Callable[[], bool],
        place: Place,
        ledger: Together,
        gate: Gate,
        terms: Terms,
        now: Callable[[], datetime],
    ) -> None:
        self._row, self._is_last, self._place = row, is_last, place
        self._ledger, self._gate, self._terms, self._now = ledger, gate, terms, now
        self._memory = Memory((), Progress(()))

    async def go(self, known: Sequence[Item] | None = None) -> Memory:
        """Go as far as it goes now; returns how far that is, once it is over.

        Args:
            known: what the ledger was found to know of the row, if nothing that was sent since can have changed it.

        Raises:
            Waits: it is not over.
        """
        found = await self._ledger.look(entries.names(self._row)) if known is None else known
        if memory.is_outdated(self._row, found, self._place) and self._is_last():
            found = await self._take_back(found)
        self._memory = recall(self._row, found, self._now(), self._place)
        if self._memory.due_at is not None:
            raise Waits(self._memory.due_at)
        if is_parked(self._row.plan, self._progress):
            await self._park()
        while not self._memory.given_up and (step := next_step(self._row.plan, self._progress)) is not None:
            if step.effects:
                await self._have(step)
            else:
                await self._read(step)
        return self._memory

    async def _take_back(self, found: Sequence[Item]) -> Sequence[Item]:
        """The request is to be made again, as one that may be there: its notes are looked for before they are added."""
        first = entries.names(self._row)[0]
        own = next(item for item in found if item.name == first and item.version == self._row.identity.content)
        again = replace(entries.again(own), parent=self._place.sheet, detail=own.detail)
        await self._ledger.settle([], absent=[again])  # seen again behind a newer one, it asks for work again
        return await self._ledger.look(entries.names(self._row))

    @property
    def _progress(self) -> Progress:
        return self._memory.progress

    async def _have(self, step: Step) -> None:
        """Make a call that has effects."""
        items = await self._take(step.effects)
        reply = await self._gate.call(step, lambda: self._hold(items))
        if reply is None:
            await self._ledger.settle([put_back(item) for item in items])
            raise Waits(self._gate.again_at())
        outcome = self._gate.conclude(items[0], reply)
        answer = read(step, reply)
        if answer is not None and not isinstance(answer, Gone):
            await self._settle(step, items, answer, outcome)
        elif outcome.state is State.SETTLED or outcome.reason in REFUSALS:
            reason = outcome.reason or Reason.CONFLICT
            await self._end(step.effects, items, outcome, state=State.DEAD, reason=reason, detail=self._words(reply))
            self._learn(step, Refused())
        else:
            await self._fail(step, items, outcome, is_lost=reply.is_unknown)

    async def _settle(self, step: Step, items: Sequence[Item], answer: Answer, outcome: Outcome) -> None:
        before = self._progress
        self._learn(step, answer)
        kind = self._row.plan.effects[step.effects[0]].kind
        detail: dict[str, Any] = {str(kind): answer.id} if isinstance(answer, Made) else {}
        if kind is Kind.REQUEST and self._progress.address_left_out:
            detail[entries.ADDRESS_LEFT_OUT] = True
        if self._row.identity.note and self._row.plan.find(Kind.NOTE) in step.effects:
            detail[entries.TEXT] = self._row.identity.note
        await self._end(step.effects, items, outcome, state=State.SETTLED, reason=None, detail=detail)
        if before.seen is not None:  # it may show, now that the request is known, that its note is there
            await self._record_found(replace(before, standings=before.mark(Standing.DONE, *step.effects)))

    async def _fail(self, step: Step, items: Sequence[Item], outcome: Outcome, *, is_lost: bool) -> None:
        """The call failed, or, if it is lost, nobody knows: it is tried again later, or no more."""
        is_request = self._row.plan.effects[step.effects[0]].kind is Kind.REQUEST
        if is_request and not self._row.plan.is_repeatable:
            if is_lost:
                outcome = replace(outcome, state=State.DEAD)
            elif items[0].reason == Reason.REPLAYED and outcome.state is State.PENDING:
                outcome = replace(outcome, reason=items[0].reason)  # who took the risk of a second one still does
        await self._end(step.effects, items, outcome)
        if outcome.state is not State.DEAD or outcome.due_at is not None:  # a lost call keeps back what follows the row
            raise Waits(outcome.due_at or self._now())
        self._memory = replace(self._memory, given_up=True)
        if outcome.uncertain:
            self._mark(Standing.UNKNOWN, *step.effects)

    async def _end(self, places: Sequence[int], items: Sequence[Item], outcome: Outcome, **but: Any) -> None:
        """Record what became of effects, of all of them alike."""
        outcomes = [
            replace(outcome, id=item.id, fence=item.fence, uncertain=outcome.uncertain or item.uncertain, **but)
            for item in items
        ]
        await self._ledger.settle(outcomes)
        self._keep(places, [_after(item, one) for item, one in zip(items, outcomes, strict=True)])

    async def _read(self, step: Step) -> None:
        """Make a call that only reads, and record what it shows to be there."""
        reply = await self._gate.call(step)
        if reply is None:
            raise Waits(self._gate.again_at())
        answer = read(step, reply)
        if isinstance(answer, Gone) and isinstance(step, ReadRequest) and step.request != self._progress.earlier:
            answer = None
        if answer is None:
            await self._put_off(reply)
            return
        before, read_for = self._progress, self._memory.items[min(self._asked(), default=0)]
        self._gate.hear(reply, 0 if read_for is None else read_for.id, well=True)
        self._learn(step, answer)
        await self._record_found(before)
        if self._progress.is_anothers and (asked := self._asked()):
            await self._give_up(Reason.CONFLICT, *asked)

    async def _put_off(self, reply: Reply[Any]) -> None:
        """A read failed: it counts with all that is still asked for, or with the request if that is nothing."""
        asked, request = self._asked(), self._memory.items[0]
        if asked:
            items = await self._take(asked)
            outcome = self._gate.put_off(items[0], reply)
            await self._end(asked, items, outcome)
        elif request is not None:  # only the resident's id is missing
            failed = request.detail.get(entries.READS, 0)
            outcome = self._gate.put_off(replace(request, attempts=failed), reply)
            if outcome.attempted:
                await self._ledger.settle([], {request.id: {**request.detail, entries.READS: failed + 1}})
        if outcome.state is not State.DEAD:
            raise Waits(outcome.due_at or self._now())
        self._memory = replace(self._memory, given_up=True)

    async def _record_found(self, before: Progress) -> None:
        """Record effects that were seen to be there, and whose the request is."""
        after, items = self._progress, self._memory.items
        found = [
            place
            for place, (was, now) in enumerate(zip(before.standings, after.standings, strict=True))
            if was in ASKED_FOR and now not in ASKED_FOR
        ]
        known = [place for place in found if items[place] is not None]
        taken = await self._take(known) if known else []
        details = {place: self._detail_of(place) for place in found}
        outcomes = [
            Outcome(item.id, item.fence, State.SETTLED, attempted=False, detail=details[place])
            for place, item in zip(known, taken, strict=True)
        ]
        absent = [
            replace(
                entries.new_item(self._row, place, self._place),
                state=State.SETTLED,
                settled_at=self._now(),
                detail=details[place],
            )
            for place in found
            if place not in known
        ]
        request, annotated = items[0], {}
        whose = {entries.ANOTHERS: True} if after.is_anothers else {entries.RESIDENT: after.resident}
        is_new = (after.resident, after.is_anothers) != (before.resident, before.is_anothers)
        if is_new and request is not None and request.state is State.SETTLED:
            told = {name: value for name, value in request.detail.items() if name != entries.ANOTHERS}
            request = replace(request, detail=told | whose)
            annotated = {request.id: request.detail}
            self._keep((0,), [request])
        if outcomes or absent or annotated:
            await self._ledger.settle(outcomes, annotated, absent)

    def _detail_of(self, place: int) -> dict[str, Any]:
        is_case = self._row.plan.effects[place].kind is Kind.CASE
        if is_case and self._progress.standings[place] is Standing.DONE:
            return {entries.CASE: self._progress.case}
        is_text = self._row.identity.note and self._row.plan.effects[place].kind is Kind.NOTE
        return {entries.THERE: True} | ({entries.TEXT: self._row.identity.note} if is_text else {})

    async def _park(self) -> None:
        """The request may be there, and nobody will ever know: it is over, unless a person decides otherwise."""
        item = self._memory.items[0]
        if item is not None and entries.REQUEST in item.detail:  # it is there, whoever asked for it again
            items = await self._take((0,))
            await self._end((0,), items, Outcome(0, 0, State.SETTLED, attempted=False, detail=item.detail))
            self._mark(Standing.DONE, 0)
        elif item is None or item.state is not State.DEAD:
            # With it what may have gone along, which nobody would ask for any more.
            along = [place for place, one in enumerate(self._memory.items) if place and one and one.state in OPEN]
            await self._give_up(Reason.MAY_HAVE_LEFT if self._place.is_doubtful else Reason.CRASHED, 0, *along)

    async def _give_up(self, reason: Reason, *places: int) -> None:
        """Nothing more is tried of these effects."""
        items = await self._take(places)
        await self._end(places, items, Outcome(0, 0, State.DEAD, attempted=False, reason=reason))
        self._memory = replace(self._memory, given_up=True)

    async def _take(self, places: Sequence[int]) -> list[Item]:
        """Effects into our hands; what another run holds, or has settled meanwhile, is waited for."""
        items = await self._ledger.intend([entries.new_item(self._row, place, self._place) for place in places])
        if not items:
            raise Waits(self._now() + self._terms.lease)
        return items

    def _hold(self, items: Sequence[Item]) -> bool:
        """Whether these are surely in hand for as long as a call may take."""
        return all(self._ledger.holds(item, self._terms.call_seconds) for item in items)

    def _asked(self) -> tuple[int, ...]:
        return tuple(place for place, standing in enumerate(self._progress.standings) if standing in ASKED_FOR)

    def _learn(self, step: Step, answer: Answer) -> None:
        self._memory = replace(self._memory, progress=learn(self._row.plan, self._progress, step, answer))

    def _mark(self, standing: Standing, *places: int) -> None:
        progress = replace(self._progress, standings=self._progress.mark(standing, *places))
        self._memory = replace(self._memory, progress=progress)

    def _keep(self, places: Sequence[int], items: Sequence[Item]) -> None:
        kept = dict(zip(places, items, strict=True))
        now = tuple(kept.get(place, item) for place, item in enumerate(self._memory.items))
        self._memory = replace(self._memory, items=now)

    @staticmethod
    def _words(reply: Reply[Any]) -> dict[str, Any]:
        return {entries.WORDS: reply.reason} if reply.reason else {}


def _after(item: Item, outcome: Outcome) -> Item:
    """The item as it stands with an outcome, as far as a row asks."""
    detail = item.detail if outcome.detail is None else outcome.detail
    return replace(item, state=outcome.state, reason=outcome.reason, uncertain=outcome.uncertain, detail=detail)
