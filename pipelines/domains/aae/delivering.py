"""Delivery of released objects: claimed, read, checked, sent, recorded; many at once, each at most once per run."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec.structs import replace

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.https import Https
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import Leases, steady_seconds, utc_now
from pipelines.adapters.ledger.working import LOOKS_EVERY
from pipelines.adapters.objects import ObjectMissing, Objects, ObjectsUnavailable
from pipelines.core import event_loop
from pipelines.core.delivery import conclude, put_back
from pipelines.core.receipts import receipts_request
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Outcome, Reason, State
from pipelines.domains.aae.budget import Budget

FLUSH_SECONDS = 0.25
"""Receipts are recorded in groups this old at most: a commit for each would cost more than the send, and a crash
repeats only sends that the other side takes as the same object."""

BYTES_AT_ONCE = 256 << 20
"""Objects are small; a few huge ones must not be in memory all at the same time."""

HELD_PER_CONNECTION = 4
"""Objects in hand for each connection: a claim looks through all that waits, so there should be few of them."""

SMALL_BYTES = 64 << 10
READ_TOGETHER = 8
"""So many objects that are small are read in one go: to hand one over to a thread and back costs more than to read it.

They are not counted in the bound on memory: all that a run holds of them is less than one that is huge.
"""

_Read: TypeAlias = bytes | Exception


@dataclass(frozen=True, slots=True)
class Terms:
    """How a delivery run behaves; times in seconds."""

    connections: int
    lease: timedelta
    send_seconds: float
    run_seconds: float
    policy: RetryPolicy
    stays: float = 0.0
    """How long after its start a run waits for more when nothing is due: to start another one costs seconds."""

    def __post_init__(self) -> None:
        if self.lease.total_seconds() * 2 / 3 < self.send_seconds:  # it is renewed every third
            raise ValueError("a lease must be at least one and a half times as long as one request may take")


@dataclass(slots=True)
class Delivered:
    """What one run did, for its metadata: objects by what became of them, and the partitions it touched."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    partitions: set[str] = field(default_factory=set)


class Delivery:
    """One run over a queue's due items that are bound for one endpoint."""

    def __init__(
        self,
        ledger: Ledger,
        lake: Objects,
        endpoint: Endpoint,
        queue: str,
        terms: Terms,
        *,
        owner: str,
        query: Mapping[str, str] | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._ledger, self._lake, self._endpoint, self._queue, self._terms = ledger, lake, endpoint, queue, terms
        self._owner, self._query, self._now = owner, query or {}, now
        self._circuit_name = f"{queue} {endpoint.destination}"
        self._circuit = ledger.circuit(self._circuit_name)
        self._recorded_circuit = self._circuit
        self._slots = asyncio.Semaphore(terms.connections)
        self._memory = Budget(BYTES_AT_ONCE)
        self._flying: set[asyncio.Task[None]] = set()
        self._errors: list[Exception] = []
        self._ends_at = 0.0
        self._ending = asyncio.Event()
        self._finished: list[tuple[Item, Outcome]] = []
        self.done = Delivered()

    def run(self, span: Span | None = None, idle: Callable[[], None] = lambda: None) -> Delivered:
        """Deliver what is due, within the run's time; returns what was done. Safe to run twice at once.

        ``idle`` is called whenever nothing is due and nothing is on its way.
        """
        event_loop.run(self._run(span, idle))
        return self.done

    async def _run(self, span: Span | None, idle: Callable[[], None]) -> None:
        self._ends_at = time.monotonic() + self._terms.run_seconds
        stays_until = time.monotonic() + self._terms.stays
        with Leases(self._ledger, self._terms.lease, self._now) as leases:
            async with self._endpoint.open() as https:
                recorder = asyncio.create_task(self._record_regularly(leases))
                try:
                    while self._has_time() and not recorder.done():
                        if await self._fill(https, leases, span):
                            await asyncio.wait({*self._flying, recorder}, return_when=asyncio.FIRST_COMPLETED)
                        elif self._finished:
                            await asyncio.wait({recorder}, timeout=FLUSH_SECONDS)
                        else:
                            idle()
                            if time.monotonic() >= stays_until:
                                break
                            await asyncio.wait({recorder}, timeout=LOOKS_EVERY)
                finally:
                    self._ends_at = 0.0  # whatever ended it: what waits for a slot stays
                    if self._flying:
                        await asyncio.wait(self._flying)
                    self._ending.set()
                    await recorder
        if self._errors:
            raise self._errors[0]  # it stopped nothing else, but it never passes for success

    async def _fill(self, https: Https, leases: Leases, span: Span | None) -> bool:
        """Claim more when the hands are half empty; returns whether anything is on its way."""
        allowed = self._circuit.allowance(self._now())
        hands = HELD_PER_CONNECTION * self._terms.connections if allowed is None else allowed
        room = hands - len(self._flying)
        if room >= (hands // 2 if allowed is None else 1):
            claimed_at = steady_seconds()
            items = await asyncio.to_thread(
                self._ledger.claim,
                self._queue,
                destination=self._endpoint.destination,
                owner=self._owner,
                limit=room,
                now=self._now(),
                lease=self._terms.lease,
                span=span,
            )
            leases.hold(items, claimed_at)
            small = [item for item in items if item.size <= SMALL_BYTES]
            for start in range(0, len(small), READ_TOGETHER):
                together = small[start : start + READ_TOGETHER]
                reading = asyncio.ensure_future(asyncio.to_thread(self._read, together))
                for at, item in enumerate(together):
                    self._start(self._deliver(item, reading, at, https, leases))
            for item in items:
                if item.size > SMALL_BYTES:
                    self._start(self._deliver_large(item, https, leases))
        return bool(self._flying)

    def _start(self, delivery: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(delivery)
        self._flying.add(task)
        task.add_done_callback(self._flying.discard)

    def _read(self, items: Sequence[Item]) -> list[_Read]:
        """Read objects; in place of one that can't be had stands why, which stops none of the others."""
        bodies: list[_Read] = []
        for item in items:
            try:
                bodies.append(self._lake.get(item.detail["key"]))
            except Exception as error:
                bodies.append(error)
        return bodies

    async def _deliver_large(self, item: Item, https: Https, leases: Leases) -> None:
        async with self._memory.take(item.size):
            await self._deliver(item, asyncio.to_thread(self._read, [item]), 0, https, leases)

    async def _deliver(
        self, item: Item, reading: Awaitable[Sequence[_Read]], at: int, https: Https, leases: Leases
    ) -> None:
        """Deliver the object that stands at ``at`` in what is being read."""
        try:
            outcome = await self._attempt(item, (await reading)[at], https, leases)
        except Exception as error:
            self._errors.append(error)
            outcome = replace(self._withheld(item, Reason.INTERNAL), uncertain=True)  # it may have left before
        if outcome.state in (State.SETTLED, State.DEAD):
            outcome = replace(outcome, releases=(receipts_request(item),))
        self._finished.append((item, outcome))

    async def _attempt(self, item: Item, body: _Read, https: Https, leases: Leases) -> Outcome:
        if isinstance(body, ObjectMissing):
            return self._withheld(item, Reason.ALTERED)
        if isinstance(body, ObjectsUnavailable):
            return self._withheld(item, Reason.UNREADABLE)
        if isinstance(body, Exception):
            raise body
        if hashlib.sha256(body).hexdigest() != item.version:
            return self._withheld(item, Reason.ALTERED)
        name, content_type = item.detail["name"], item.detail["content_type"]
        async with self._slots:  # judged at the last moment: a wait for the slot may be long
            if not self._may_send(item, leases):
                return put_back(item)
            answer = await https.put(name, body, content_type=content_type, query=self._query)
        outcome, self._circuit = conclude(
            item,
            answer,
            self._circuit,
            self._terms.policy,
            self._now(),
            random.random(),  # noqa: S311 (spreads pauses, guards nothing)
        )
        return outcome

    def _has_time(self) -> bool:
        return time.monotonic() < self._ends_at

    def _may_send(self, item: Item, leases: Leases) -> bool:
        in_order = self._circuit.allowance(self._now()) != 0
        return in_order and self._has_time() and leases.holds(item, self._terms.send_seconds)

    def _withheld(self, item: Item, reason: Reason) -> Outcome:
        """Nothing leaves: the bytes that were released can't be had. It counts as an attempt, but not of the system."""
        attempts = item.attempts + 1
        # While a store is out of order no object can be had, and none is to blame: each is tried as long as that lasts.
        dead = self._terms.policy.exhausted(attempts) and reason is not Reason.UNREADABLE
        due = self._now() + self._terms.policy.pause(attempts, 0.0)
        state = State.DEAD if dead else State.PENDING
        # Nor may so many attempts go by meanwhile that its first failure at the other side would be its last.
        counted = reason is not Reason.UNREADABLE or not self._terms.policy.exhausted(attempts + 1)
        return Outcome(item.id, item.fence, state, counted, due, item.uncertain, reason=reason)

    async def _record_regularly(self, leases: Leases) -> None:
        """Record until the run ends; an error here ends the run, since what is not recorded would be sent again."""
        while not self._ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), FLUSH_SECONDS)
            await self._record(leases)
        await self._record(leases)

    async def _record(self, leases: Leases) -> None:
        finished, self._finished = self._finished, []
        if not finished:
            return
        counted = await asyncio.to_thread(self._ledger.settle, [outcome for _, outcome in finished], self._now())
        if self._circuit != self._recorded_circuit:
            await asyncio.to_thread(self._ledger.set_circuit, self._circuit_name, self._circuit)
            self._recorded_circuit = self._circuit
        leases.drop(item.id for item, _ in finished)
        for item, outcome in finished:
            if item.id in counted:
                self.done.outcomes[outcome.state.value] += 1
                self.done.partitions.add(item.partition)
                self.done.bytes += item.size if outcome.state is State.SETTLED else 0
