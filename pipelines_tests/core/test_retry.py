"""What an answer means, and how long to wait."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.retry import Judgement, RetryPolicy, Verdict, judge
from pipelines.core.work import Reason

policies = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 20),
    start=st.floats(0.01, 600),
    factor=st.floats(1, 10),
    cap=st.floats(600, 86_400),
    jitter=st.floats(0, 1),
)
counts = st.integers(1, 10_000)
chances = st.floats(0, 1)
DAY = 86_400.0
TICK = timedelta(microseconds=2)  # a pause is rounded to microseconds


@given(policies, counts, counts, chances)
def test_later_pauses_are_never_shorter(policy: RetryPolicy, one: int, other: int, chance: float) -> None:
    fewer, more = sorted((one, other))
    assert policy.pause(fewer, chance) <= policy.pause(more, chance)


@given(policies, counts, chances)
def test_a_pause_is_the_plain_one_and_at_most_the_jitter_more(policy: RetryPolicy, count: int, chance: float) -> None:
    plain = policy.pause(count, 0.0)
    assert timedelta(0) < plain <= timedelta(seconds=policy.cap)
    assert plain <= policy.pause(count, chance) <= plain * (1 + policy.jitter) + TICK


@given(policies, counts, chances, st.floats(-10, 10 * DAY))
def test_the_wait_that_was_asked_for_is_kept_up_to_a_day(
    policy: RetryPolicy, count: int, chance: float, asked: float
) -> None:
    own, pause = policy.pause(count, chance), policy.pause(count, chance, asked)
    assert pause == max(own, timedelta(seconds=min(max(asked, 0.0), DAY)))


def test_the_default_pauses_are_half_a_minute_times_four_up_to_an_hour() -> None:
    pauses = [RetryPolicy().pause(count, 0.0).total_seconds() for count in range(1, 7)]
    assert pauses == [30, 120, 480, 1920, 3600, 3600]


@pytest.mark.parametrize(("failed", "exhausted"), [(1, False), (4, False), (5, True), (6, True)])
def test_an_object_gets_five_attempts(failed: int, exhausted: bool) -> None:
    assert RetryPolicy().exhausted(failed) is exhausted


SYSTEM = {401, 403}
RETRY = {404, 408, 425, 429}
failures = st.sampled_from([None, "timeout", "connection", "tls", "something new"])


@given(st.integers(100, 599), failures, st.booleans())
def test_every_status_has_one_verdict(status: int, failure: str | None, maybe_there: bool) -> None:
    """The whole rule over again, as sets: 2xx is done, and only what is listed is retried or concerns the system."""
    judgement = judge(status, failure, maybe_there=maybe_there)
    if 200 <= status < 300 or (status == 409 and maybe_there):
        expected = Verdict.DONE
    elif status in SYSTEM:
        expected = Verdict.SYSTEM
    elif status in RETRY or status >= 500:
        expected = Verdict.RETRY
    else:
        expected = Verdict.OBJECT
    assert judgement.verdict is expected
    assert (judgement.reason is None) == (expected is Verdict.DONE)


@given(failures, st.booleans(), st.booleans())
def test_no_answer_never_kills_an_object(failure: str | None, maybe_there: bool, maybe_received: bool) -> None:
    judgement = judge(None, failure, maybe_there=maybe_there, maybe_received=maybe_received)
    system = failure == "tls" or (failure == "connection" and not maybe_received)
    assert judgement.verdict is (Verdict.SYSTEM if system else Verdict.RETRY)
    assert judgement.reason is not None


def test_no_connection_at_all_concerns_the_system() -> None:
    """Nobody has seen the object, so it can't be at fault; one that was cut may have been cut for the object's sake."""
    assert judge(None, "connection", maybe_there=False, maybe_received=False).verdict is Verdict.SYSTEM
    assert judge(None, "connection", maybe_there=False).verdict is Verdict.RETRY


@given(st.integers(100, 599), st.booleans())
def test_an_answer_is_one_whoever_received_the_object(status: int, maybe_there: bool) -> None:
    known = judge(status, None, maybe_there=maybe_there, maybe_received=False)
    assert known == judge(status, None, maybe_there=maybe_there)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (302, Reason.REDIRECTED),
        (400, Reason.REFUSED),
        (401, Reason.NOT_ALLOWED),
        (404, Reason.NOT_FOUND),
        (408, Reason.TIMEOUT),
        (409, Reason.CONFLICT),
        (413, Reason.REFUSED),
        (422, Reason.REFUSED),
        (429, Reason.BUSY),
        (503, Reason.SERVER_ERROR),
    ],
)
def test_a_reason_says_the_kind_of_refusal(status: int, reason: Reason) -> None:
    assert judge(status, None, maybe_there=False).reason is reason


def test_already_there_is_success_only_if_it_may_be_ours() -> None:
    """A first attempt that conflicts speaks of somebody else's object under the name."""
    assert judge(409, None, maybe_there=True) == Judgement(Verdict.DONE)
    assert judge(409, None, maybe_there=False) == Judgement(Verdict.OBJECT, Reason.CONFLICT)
