"""The one retry policy: what an answer means, and when to try again.

Nothing else in the platform retries. The ledger keeps attempts and due times; this module only decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from pipelines.core.work import Item, Outcome, Reason, State

LONGEST_PAUSE = timedelta(days=2)
"""As long as the longest pause, a day, with all that chance may add: a moment further ahead was set by a clock that had
jumped, and nobody waits for that."""


class Verdict(StrEnum):
    """Whom an answer concerns."""

    DONE = "done"
    RETRY = "retry"
    """The attempt: the same object may well succeed later."""
    OBJECT = "object"
    """The object: no later attempt can succeed, so it is a dead letter at once."""
    SYSTEM = "system"
    """The system or our right to use it: no object would succeed, so none should lose an attempt."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason; ``reason`` is ``None`` only for success."""

    verdict: Verdict
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart. Pauses are seconds; ``jitter`` is the share of a pause that chance may add."""

    attempts: int = 5
    start: float = 30.0
    factor: float = 4.0
    cap: float = 3600.0
    jitter: float = 0.2

    def pause(self, attempts: int, chance: float, retry_after: float | None = None) -> timedelta:
        """The time to wait after ``attempts`` failed ones (1 or more); ``chance`` is a number from 0 to 1.

        A wait that the other side asked for is kept when it is the longer one, up to a day.
        """
        steps = min(attempts - 1, 64)  # a circuit may probe for weeks, and a float power that grows as long overflows
        own = min(self.cap, self.start * self.factor**steps) * (1 + self.jitter * chance)
        return timedelta(seconds=max(own, min(retry_after or 0.0, 86_400.0)))

    def exhausted(self, attempts: int) -> bool:
        """Whether ``attempts`` failed ones are all that an object gets."""
        return attempts >= self.attempts


_DONE = Judgement(Verdict.DONE)
_NO_ANSWER = {
    "timeout": Judgement(Verdict.RETRY, Reason.TIMEOUT),
    "connection": Judgement(Verdict.RETRY, Reason.CONNECTION),
    "tls": Judgement(Verdict.SYSTEM, Reason.TLS),
}
_NO_CONNECTION = Judgement(Verdict.SYSTEM, Reason.CONNECTION)
_STATUSES = {
    401: Judgement(Verdict.SYSTEM, Reason.NOT_ALLOWED),
    403: Judgement(Verdict.SYSTEM, Reason.NOT_ALLOWED),
    # A wrong address answers every object alike; the circuit tells one lost object from a lost endpoint.
    404: Judgement(Verdict.RETRY, Reason.NOT_FOUND),
    408: Judgement(Verdict.RETRY, Reason.TIMEOUT),
    409: Judgement(Verdict.OBJECT, Reason.CONFLICT),
    425: Judgement(Verdict.RETRY, Reason.BUSY),
    429: Judgement(Verdict.RETRY, Reason.BUSY),
}
_CLASSES = {
    2: _DONE,
    3: Judgement(Verdict.OBJECT, Reason.REDIRECTED),
    5: Judgement(Verdict.RETRY, Reason.SERVER_ERROR),
}


def judge(status: int | None, failure: str | None, *, maybe_there: bool, maybe_received: bool = True) -> Judgement:
    """What an attempt's result means.

    Args:
        status: the HTTP status, or ``None`` where no answer came.
        failure: ``timeout``, ``connection`` or ``tls`` where no answer came.
        maybe_there: an earlier attempt may have been received, so "already there" may speak of our own object.
        maybe_received: false if this attempt certainly was not: with no connection at all (refused, no route, no such
            name) nobody has seen the object, so it can't be at fault.
    """
    if status is None:
        if failure == "connection" and not maybe_received:
            return _NO_CONNECTION
        return _NO_ANSWER.get(failure or "connection", _NO_ANSWER["connection"])
    if status == 409 and maybe_there:
        return _DONE
    refused = Judgement(Verdict.OBJECT, Reason.REFUSED)
    return _STATUSES.get(status) or _CLASSES.get(status // 100, refused)


def store_unavailable(item: Item, policy: RetryPolicy, now: datetime) -> Outcome:
    """The outcome of a claimed item whose store is out of order: it is tried for as long as that lasts.

    None of its attempts is lost, which are for what is its own fault: a run that dies of it, an error of ours.
    """
    pause = policy.pause(item.fence, 0.0)  # how often it was claimed: what is not counted has to wait longer, too
    return Outcome(item.id, item.fence, State.PENDING, attempted=False, due_at=now + pause, reason=Reason.UNREADABLE)
