"""A batch sent to the API: rows of one person one after another, others at once. Safe to run twice at once.

Here: which row is sent when, and what became of them all. Not here: a row's calls.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice

from pipelines.adapters.here_to_help import HereToHelp
from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import Leases, utc_now
from pipelines.core import event_loop
from pipelines.core.work import Item, Reason
from pipelines.domains.residents import entries, memory
from pipelines.domains.residents.batches import Batch, ToSend
from pipelines.domains.residents.entries import Place
from pipelines.domains.residents.gate import Gate
from pipelines.domains.residents.journey import Journey, Waits
from pipelines.domains.residents.outcomes import Result
from pipelines.domains.residents.terms import Terms
from pipelines.domains.residents.together import Together

ROWS_PER_CONNECTION = 8
"""Rows in hand for each connection: while some are on the wire, others are being recorded."""

LOOKED_UP = 256
"""Rows of which is asked at once what the ledger knows."""

Api = Callable[[], AbstractAsyncContextManager[HereToHelp]]
"""Opens the API."""


@dataclass(slots=True)
class Sent:
    """What one run did of a batch.

    Attributes:
        results: rows by what became of them, those that wait included.
        due_at: when to go on with those that wait; None if none does.
        stopped: why no call was made any more, before all that was due was tried.
    """

    results: Counter[Result] = field(default_factory=Counter)
    due_at: datetime | None = None
    stopped: Reason | None = None


@dataclass(frozen=True, slots=True)
class _Group:
    """A group's first row with its place, what the ledger knows of it, and the places of the others."""

    place: int
    first: ToSend
    known: list[Item]
    others: Iterator[int]


@dataclass(slots=True)
class Sending:
    """One run over a batch.

    Attributes:
        ledger: the ledger.
        circuit: its name there.
        place: of the effects.
        terms: how the batch is sent.
        owner: the run.
        goes_on: asked before each call: whether the run has time, and still holds the sheet.
        told: called after each row with what was done so far.
        now: the wall clock.
    """

    ledger: Ledger
    circuit: str
    place: Place
    terms: Terms
    owner: str
    goes_on: Callable[[], bool] = lambda: True
    told: Callable[[Sent], None] = lambda _: None
    now: Callable[[], datetime] = utc_now
    done: Sent = field(default_factory=Sent)
    _errors: list[Exception] = field(default_factory=list)

    def run(self, batch: Batch, api: Api) -> Sent:
        """Send what is due of a batch.

        Raises:
            Exception: an error of our own; what was under way is recorded all the same.
        """
        event_loop.run(self._run(batch, api))
        if self._errors:
            raise self._errors[0]  # it never passes for success
        return self.done

    async def _run(self, batch: Batch, api: Api) -> None:
        before = self.ledger.circuit(self.circuit)
        queue, destination = self.place.queue, self.place.destination
        at_once = self.terms.connections * ROWS_PER_CONNECTION
        groups: asyncio.Queue[_Group | None] = asyncio.Queue(LOOKED_UP)
        with Leases(self.ledger, self.terms.lease, self.now) as leases:
            together = Together(self.ledger, queue, destination, self.owner, leases, self.now)
            async with api() as opened, together:
                gate = Gate(
                    opened,
                    before,
                    self.terms.policy,
                    self.terms.late_seconds,
                    self.terms.connections,
                    self.goes_on,
                    self.now,
                )
                workers = [self._work(batch, groups, together, gate) for _ in range(at_once)]
                await asyncio.gather(self._look(batch, groups, together, gate), *workers)
        if left := batch.sent - self.done.results.total():
            self.done.results[Result.WAITING] = left
        if gate.stopped is not None:
            # Of the sheets that wait for the API now one, now another is the first to try whether it is back.
            spread = self.terms.policy.pause(1, 0.0) * random.random()  # noqa: S311 (guards nothing)
            self.done.due_at = gate.again_at() + (spread if gate.circuit.is_open else timedelta(0))
            self.done.stopped = gate.stopped
        if gate.circuit != before:
            self.ledger.set_circuit(self.circuit, gate.circuit)

    async def _look(self, batch: Batch, groups: asyncio.Queue[_Group | None], together: Together, gate: Gate) -> None:
        """Hand out the groups, with what the ledger knows of each one's first row."""
        # While the API is out of order whoever is first tries whether it is back: let that not always be the same row.
        start = random.randint(0, len(batch.rows)) if gate.circuit.is_open else 0  # noqa: S311 (guards nothing)
        remaining = batch.groups(start)
        try:
            while not self._errors and not gate.stopped and (some := list(islice(remaining, LOOKED_UP))):
                firsts = [(next(group), group) for group in some]
                rows = [batch.to_send(place) for place, _ in firsts]
                names = [entries.names(row) for row in rows]
                found: dict[str, list[Item]] = defaultdict(list)
                for item in await together.look([*chain.from_iterable(names)]):
                    found[item.name].append(item)
                for (place, group), row, own in zip(firsts, rows, names, strict=True):
                    known = [item for name in own if name in found for item in found[name]]
                    await groups.put(_Group(place, row, known, group))
        except Exception as error:
            self._errors.append(error)
        for _ in range(self.terms.connections * ROWS_PER_CONNECTION):
            await groups.put(None)

    async def _work(self, batch: Batch, groups: asyncio.Queue[_Group | None], together: Together, gate: Gate) -> None:
        while (group := await groups.get()) is not None:
            is_last = partial(batch.is_last_of_its_key, group.place)
            result = await self._send(group.first, is_last, group.known, together, gate)
            for place in group.others:
                # What follows one that waits must not overtake it.
                if result is Result.WAITING:
                    break
                is_last = partial(batch.is_last_of_its_key, place)
                result = await self._send(batch.to_send(place), is_last, None, together, gate)

    async def _send(
        self,
        row: ToSend,
        is_last: Callable[[], bool],
        known: list[Item] | None,
        together: Together,
        gate: Gate,
    ) -> Result:
        """Send one row as far as it goes."""
        if self._errors or gate.stopped:
            return Result.WAITING
        result = Result.WAITING
        try:
            now = await Journey(row, is_last, self.place, together, gate, self.terms, self.now).go(known)
            result = memory.judge(row, now, self.place.sheet).result
        except Waits as waits:
            self._wait_until(waits.due_at)
        except Exception as error:
            self._errors.append(error)
        if result is not Result.WAITING:
            self.done.results[result] += 1
            self.told(self.done)
        return result

    def _wait_until(self, due_at: datetime) -> None:
        self.done.due_at = due_at if self.done.due_at is None else min(due_at, self.done.due_at)
