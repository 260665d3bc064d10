"""What many rows ask of the ledger at once, in one transaction for all of them.

A commit for each would cost more than its call. Not here: what they ask, and why.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import Leases, steady_seconds
from pipelines.core.delivery import put_back
from pipelines.core.work import Item, NewItem, Outcome, State

_GATHERS = 0.02
"""A transaction waits for others to join it for as long as the last one took, and so many seconds at most: it costs as
much as two dozen rows do, so that one for each few rows would take more time than they all wait."""


@dataclass(slots=True)
class _Asked:
    """What one row asks; of it the parts that it has."""

    outcomes: Sequence[Outcome] = ()
    details: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    absent: Sequence[NewItem] = ()
    intents: Sequence[NewItem] = ()
    names: Sequence[str] = ()
    answer: asyncio.Future[list[Item]] = field(default_factory=asyncio.Future)


class Together:
    """The ledger as the rows of one sheet use it. What fails, fails all who asked, and all who ask later."""

    def __init__(
        self,
        ledger: Ledger,
        queue: str,
        destination: str,
        owner: str,
        leases: Leases,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger, self._queue, self._destination, self._owner = ledger, queue, destination, owner
        self._leases, self._now = leases, now
        self._waiting: list[_Asked] = []
        self._asked = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._working: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._working = asyncio.create_task(self._work())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._asked.set()
        if self._working is not None:
            await self._working

    async def look(self, names: Sequence[str]) -> list[Item]:
        """All versions of the effects of these names."""
        return await self._ask(_Asked(names=names))

    async def intend(self, items: Sequence[NewItem]) -> list[Item]:
        """Take effects in hand; returns those that are, of all of them in their order, else nothing and takes none."""
        found = await self._ask(_Asked(intents=items))
        mine = {(item.name, item.version): item for item in found if self._is_mine(item)}
        taken = [mine[item.name, item.version] for item in items if (item.name, item.version) in mine]
        if len(taken) == len(items):
            return taken
        await self.settle([put_back(item) for item in taken])
        return []

    async def settle(
        self,
        outcomes: Sequence[Outcome],
        details: Mapping[int, Mapping[str, Any]] | None = None,
        absent: Sequence[NewItem] = (),
    ) -> None:
        """Record together what became of effects, what settled ones keep, and effects that were found to be there."""
        await self._ask(_Asked(outcomes=outcomes, details=details or {}, absent=absent))

    def holds(self, item: Item, seconds: float) -> bool:
        """Whether an effect is surely in hand for that long."""
        return self._leases.holds(item, seconds)

    def _is_mine(self, item: Item) -> bool:
        return item.state is State.CLAIMED and item.owner == self._owner

    async def _ask(self, asked: _Asked) -> list[Item]:
        if self._error is not None:
            raise self._error
        self._waiting.append(asked)
        self._asked.set()
        return await asked.answer

    async def _work(self) -> None:
        took = 0.0
        while True:
            await self._asked.wait()
            await asyncio.sleep(min(took, _GATHERS))
            self._asked.clear()
            together, self._waiting = self._waiting, []
            begun = steady_seconds()
            if together:
                await self._do(together)
            elif self._ended:
                return
            took = steady_seconds() - begun

    async def _do(self, together: Sequence[_Asked]) -> None:
        try:
            found = await asyncio.to_thread(self._record, together)
        except BaseException as error:
            self._error = error
            for asked in together:
                with suppress(asyncio.InvalidStateError):
                    asked.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for asked in together:
            names = [*asked.names, *(item.name for item in asked.intents)]
            if not asked.answer.done():
                asked.answer.set_result([item for name in names for item in found[name]])

    def _record(self, together: Sequence[_Asked]) -> dict[str, list[Item]]:
        """All in one transaction, what is over before what is next; then those look who ask what is known."""
        found: dict[str, list[Item]] = defaultdict(list)
        outcomes = [one for asked in together for one in asked.outcomes]
        absent = [one for asked in together for one in asked.absent]
        details = {one: detail for asked in together for one, detail in asked.details.items()}
        intents = [one for asked in together for one in asked.intents]
        if outcomes or absent or details or intents:
            now, asked_at = self._now(), steady_seconds()
            lease = self._leases.lease
            items = self._ledger.intend(
                intents, self._owner, now, lease, outcomes=outcomes, there=absent, details=details
            )
            self._leases.drop(one.id for one in outcomes)
            self._leases.hold([item for item in items if self._is_mine(item)], asked_at)
            for item in items:
                found[item.name].append(item)
        names = [name for asked in together for name in asked.names]
        if names:
            for item in self._ledger.named(self._queue, self._destination, names):
                found[item.name].append(item)
        return found
