"""Whether the API is called: as long as it is in order, lets us in, and the run goes on.

Here: one run's way to the API, shared by all rows. Not here: what is called, and what an answer means for a row.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from pipelines.adapters.here_to_help import HereToHelp, Reply
from pipelines.core.circuit import Circuit
from pipelines.core.delivery import conclude, put_back
from pipelines.core.retry import Judgement, RetryPolicy, Verdict, judge
from pipelines.core.work import Item, Outcome, Reason, State
from pipelines.domains.residents.calling import call, sent
from pipelines.domains.residents.calls import Step

_DENIED = frozenset({401, 403})


class Gate:
    """The way to the API.

    Attributes:
        circuit: of the API, as far as this run knows.
        stopped: why no call is made any more; None while they are.
    """

    def __init__(
        self,
        api: HereToHelp,
        circuit: Circuit,
        policy: RetryPolicy,
        late_seconds: float,
        connections: int,
        goes_on: Callable[[], bool],
        now: Callable[[], datetime],
    ) -> None:
        self._api, self._policy, self._late = api, policy, timedelta(seconds=late_seconds)
        self._goes_on, self._now = goes_on, now
        self._slots, self._probing = asyncio.Semaphore(connections), asyncio.Lock()
        self.circuit = circuit
        self.stopped: Reason | None = None

    async def call(self, step: Step, may: Callable[[], bool] = lambda: True) -> Reply[Any] | None:
        """Make a call; None if none is made any more. While the API is out of order one at a time tries.

        Args:
            step: the call's.
            may: whether it may be made; asked at the last moment, since a wait for the turn may be long.
        """
        async with self._slots:
            if not self.circuit.is_open:
                return await self._call(step, may)
            async with self._probing:
                return await self._call(step, may)

    def conclude(self, item: Item, reply: Reply[Any]) -> Outcome:
        """What becomes of an effect after the call that should have it, and of the circuit."""
        now = self._now()
        chance = random.random()  # noqa: S311 (spreads pauses, guards nothing)
        outcome, self.circuit = conclude(item, sent(reply), self.circuit, self._policy, now, chance)
        if outcome.state is State.PENDING and self.circuit.is_open:
            outcome = replace(outcome, due_at=self._after_others())
        if not reply.is_unknown:
            return replace(outcome, uncertain=item.uncertain)
        # A call may go on behind a gateway that gave it up: what is read before it is over says nothing.
        return replace(outcome, uncertain=True, due_at=max(outcome.due_at or now, now + self._late))

    def put_off(self, item: Item, reply: Reply[Any]) -> Outcome:
        """What becomes of an effect that was not called for, since a read before it failed; and of the circuit."""
        self.hear(reply, item.id, well=False)
        if self.circuit.is_open:
            return replace(put_back(item), due_at=self._after_others())
        attempts = item.attempts + 1
        if self._policy.exhausted(attempts):
            return Outcome(item.id, item.fence, State.DEAD, uncertain=item.uncertain, reason=Reason.TOO_MANY_ATTEMPTS)
        pause = self._policy.pause(attempts, random.random(), sent(reply).retry_after)  # noqa: S311 (as above)
        return Outcome(item.id, item.fence, State.PENDING, due_at=self._now() + pause, uncertain=item.uncertain)

    def hear(self, reply: Reply[Any], item: int, *, well: bool) -> None:
        """What an answer to a call without an effect says of the API; ``item`` is of the row's request."""
        answer = sent(reply)
        judgement = judge(answer.status, answer.failure, maybe_there=False, maybe_received=answer.maybe_received)
        judgement = Judgement(Verdict.DONE) if well else judgement
        self.circuit = self.circuit.after(judgement, self._now(), self._policy, answer.retry_after, item)

    def again_at(self) -> datetime:
        """When to go on with what was not tried, since no call is made any more."""
        now = self._now()
        if self.circuit.is_open:
            return max(self.circuit.probe_at or now, now)
        return now + self._policy.pause(1, 0.0) if self.stopped is Reason.NOT_ALLOWED else now

    def _after_others(self) -> datetime:
        """When the effect that failed while the API was out of order is tried again: it may be at fault itself."""
        return self.again_at() + 2 * self._policy.pause(1, 0.0)

    def _is_open(self) -> bool:
        if self.stopped is None and self.circuit.allowance(self._now()) == 0:
            self.stopped = Reason(self.circuit.reason or Reason.SERVER_ERROR)
        if self.stopped is None and not self._goes_on():
            self.stopped = Reason.BUSY
        return self.stopped is None

    async def _call(self, step: Step, may: Callable[[], bool]) -> Reply[Any] | None:
        if not self._is_open() or not may():
            return None
        reply = await call(self._api, step, self._now())
        if reply.answer.status in _DENIED:
            self.stopped = Reason.NOT_ALLOWED
        return reply
