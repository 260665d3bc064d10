"""What becomes of an object after one attempt to deliver it, and of the circuit of where it was bound."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipelines.core.circuit import Circuit
from pipelines.core.retry import RetryPolicy, Verdict, judge
from pipelines.core.work import Item, Outcome, Reason, State


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt brought: an HTTP ``status``, or a ``failure`` of the wire where no answer came.

    ``retry_after`` is the wait in seconds that the other side asked for; ``maybe_received`` is false only if certainly
    nothing reached it.
    """

    status: int | None
    failure: str | None
    retry_after: float | None
    maybe_received: bool


def conclude(
    item: Item, attempt: Attempt, circuit: Circuit, policy: RetryPolicy, now: datetime, chance: float
) -> tuple[Outcome, Circuit]:
    """The object's outcome and the circuit after it; ``chance`` from 0 to 1 spreads the pauses.

    While the circuit is open no object loses an attempt: it is put back and stays pending.
    """
    judgement = judge(attempt.status, attempt.failure, maybe_there=item.uncertain)
    after = circuit.after(judgement, now, policy, attempt.retry_after)
    uncertain = item.uncertain or (attempt.status is None and attempt.maybe_received)
    if judgement.verdict is Verdict.DONE:
        return Outcome(item.id, item.fence, State.SETTLED, status=attempt.status), after
    if judgement.verdict is Verdict.OBJECT:
        return Outcome(item.id, item.fence, State.DEAD, status=attempt.status, reason=judgement.reason), after
    if after.is_open:
        # Due when the next probe is: the others, due before it, then go first and each gets its turn as the probe.
        state, due, counted = State.PENDING, after.probe_at, False
    elif policy.exhausted(item.attempts + 1):
        state, due, counted = State.DEAD, None, True
    else:
        state, due, counted = State.PENDING, now + policy.pause(item.attempts + 1, chance, attempt.retry_after), True
    reason = Reason.TOO_MANY_ATTEMPTS if state is State.DEAD else judgement.reason
    outcome = Outcome(
        item.id, item.fence, state, counted, due_at=due, uncertain=uncertain, status=attempt.status, reason=reason
    )
    return outcome, after


def put_back(item: Item, reason: Reason | None = None) -> Outcome:
    """The outcome of an item that was claimed and not tried: pending as before, with no attempt lost."""
    return Outcome(item.id, item.fence, State.PENDING, attempted=False, uncertain=item.uncertain, reason=reason)
