"""When a whole system is held to be out of order, and how it is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.circuit import TRIPS_AFTER, Circuit
from pipelines.core.retry import Judgement, RetryPolicy, Verdict
from pipelines.core.work import Reason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy()
DONE = Judgement(Verdict.DONE)
ERROR = Judgement(Verdict.RETRY, Reason.SERVER_ERROR)
BUSY = Judgement(Verdict.RETRY, Reason.BUSY)
FORBIDDEN = Judgement(Verdict.SYSTEM, Reason.NOT_ALLOWED)
REFUSED = Judgement(Verdict.OBJECT, Reason.REFUSED)


def after(*judgements: Judgement, circuit: Circuit | None = None, now: datetime = NOW) -> Circuit:
    circuit = circuit or Circuit()
    for judgement in judgements:
        circuit = circuit.after(judgement, now, POLICY, None)
    return circuit


def test_one_answer_that_concerns_the_system_opens_it_at_once() -> None:
    opened = after(FORBIDDEN)
    assert opened.is_open
    assert opened.reason == Reason.NOT_ALLOWED
    assert opened.allowance(NOW) == 0


def test_failures_in_a_row_open_it_and_one_fewer_does_not() -> None:
    almost = after(*[ERROR] * (TRIPS_AFTER - 1))
    assert not almost.is_open
    assert almost.allowance(NOW) is None
    assert after(ERROR, circuit=almost).is_open


@pytest.mark.parametrize("answer", [DONE, REFUSED])
def test_any_real_answer_starts_the_row_anew(answer: Judgement) -> None:
    """A refusal of one object says that the system is there and lets us in."""
    assert not after(*[ERROR] * (TRIPS_AFTER - 1), answer, *[ERROR] * (TRIPS_AFTER - 1)).is_open


def test_being_asked_to_wait_again_and_again_opens_it() -> None:
    """Each object would else lose its attempts, and die, to a limit that concerns them all."""
    assert not after(*[BUSY] * (TRIPS_AFTER - 1)).is_open
    assert after(*[BUSY] * TRIPS_AFTER).is_open


def test_while_open_one_object_probes_when_the_time_has_come() -> None:
    opened = after(FORBIDDEN)
    assert opened.probe_at == NOW + timedelta(seconds=30)
    assert opened.allowance(opened.probe_at - timedelta(microseconds=1)) == 0
    assert opened.allowance(opened.probe_at) == 1


def test_each_failed_probe_waits_longer_and_keeps_when_it_opened() -> None:
    circuit, pauses = after(FORBIDDEN), []
    for _ in range(6):
        assert circuit.probe_at is not None
        now = circuit.probe_at
        circuit = after(FORBIDDEN, circuit=circuit, now=now)
        assert circuit.probe_at is not None
        pauses.append((circuit.probe_at - now).total_seconds())
    assert pauses == [120, 480, 1920, 3600, 3600, 3600]
    assert circuit.opened_at == NOW


def test_what_was_on_its_way_when_it_opened_does_not_count_as_probes() -> None:
    """Sixteen connections fail together: the first probe is still half a minute away, not an hour."""
    opened = after(FORBIDDEN)
    stragglers = after(*[ERROR, BUSY, FORBIDDEN] * 5, circuit=opened, now=NOW + timedelta(seconds=1))
    assert (stragglers.probe_at, stragglers.probes) == (opened.probe_at, opened.probes)


@pytest.mark.parametrize("answer", [DONE, REFUSED])
def test_a_successful_probe_closes_it(answer: Judgement) -> None:
    assert after(answer, circuit=after(FORBIDDEN), now=NOW + timedelta(minutes=1)) == Circuit()


def test_a_busy_probe_leaves_it_open() -> None:
    assert after(BUSY, circuit=after(FORBIDDEN), now=NOW + timedelta(minutes=1)).is_open


def test_the_wait_that_the_system_asked_for_delays_the_probe() -> None:
    opened = Circuit().after(FORBIDDEN, NOW, POLICY, 7200.0)
    assert opened.probe_at == NOW + timedelta(hours=2)


def test_a_policy_without_pauses_does_not_probe_in_a_tight_loop() -> None:
    opened = Circuit().after(FORBIDDEN, NOW, RetryPolicy(start=0.0), None)
    assert opened.allowance(NOW) == 0


@given(st.lists(st.tuples(st.sampled_from([DONE, ERROR, BUSY, FORBIDDEN, REFUSED]), st.floats(0, 4000)), max_size=40))
def test_it_is_never_both_open_and_unlimited_and_never_shut_for_good(answers: list[tuple[Judgement, float]]) -> None:
    """Whatever comes, at any time: a shut circuit names a moment from which one object may try."""
    circuit, now = Circuit(), NOW
    for judgement, seconds in answers:
        now += timedelta(seconds=seconds)
        circuit = circuit.after(judgement, now, POLICY, None)
        if circuit.is_open:
            assert circuit.probe_at is not None
            assert circuit.allowance(circuit.probe_at) == 1
            assert circuit.reason is not None
            assert circuit.allowance(now) in (0, 1)
        else:
            assert circuit.allowance(now) is None
            assert circuit.probe_at is None
