"""What becomes of an object after one attempt to deliver it, and of the circuit of where it was bound."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipelines.core.circuit import Circuit
from pipelines.core.retry import RetryPolicy, Verdict, judge
from pipelines.core.work import Item, Outcome, Reason, State

_GATEWAY = frozenset({502, 504})
"""Answers of one that stands between and does not know what became of the request behind it."""


class Failure(StrEnum):
    """Why there is no answer. It concerns the wire, never the object."""

    TIMEOUT = "timeout"
    CONNECTION = "connection"
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: either ``status`` or ``failure`` is set.

    Attributes:
        status: The HTTP status; redirects are answers too.
        failure: What kept the answer away.
        retry_after: Seconds to wait before the next request, if the other side asked for it.
        maybe_received: False only if the other side certainly did not take the object in, since nothing was sent or
            our certificate was refused.
    """

    status: int | None = None
    failure: Failure | None = None
    retry_after: float | None = None
    maybe_received: bool = True

    @property
    def is_unknown(self) -> bool:
        """Whether the object may be there, though nobody says that it is."""
        return self.maybe_received and (self.status is None or self.status in _GATEWAY)


def conclude(
    item: Item, answer: Answer, circuit: Circuit, policy: RetryPolicy, now: datetime, chance: float
) -> tuple[Outcome, Circuit]:
    """The object's outcome and the circuit after it; ``chance`` from 0 to 1 spreads the pauses.

    While the circuit is open no object loses an attempt: it is put back and stays pending.
    """
    judgement = judge(answer.status, answer.failure, maybe_there=item.uncertain, maybe_received=answer.maybe_received)
    after = circuit.after(judgement, now, policy, answer.retry_after, item.id)
    attempts = item.attempts + 1
    state, reason, counted, due = State.PENDING, judgement.reason, True, None
    if judgement.verdict is Verdict.DONE:
        state = State.SETTLED
    elif judgement.verdict is Verdict.OBJECT:
        state = State.DEAD
    elif after.is_open:
        # Due when the next probe is: the others, due before it, then go first and each gets its turn as the probe.
        counted, due = False, after.probe_at
    elif policy.exhausted(attempts):
        state, reason = State.DEAD, Reason.TOO_MANY_ATTEMPTS
    else:
        due = now + policy.pause(attempts, chance, answer.retry_after)
    uncertain = item.uncertain or answer.is_unknown
    outcome = Outcome(item.id, item.fence, state, counted, due, uncertain, answer.status, reason)
    return outcome, after


def put_back(item: Item) -> Outcome:
    """The outcome of an item that was claimed and not tried: pending as before, with no attempt lost."""
    return Outcome(item.id, item.fence, State.PENDING, attempted=False, uncertain=item.uncertain, reason=item.reason)
