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


def after(
    *judgements: Judgement, circuit: Circuit | None = None, now: datetime = NOW, item: int | None = None
) -> Circuit:
    """The circuit after these answers, each to an object of its own or all to one."""
    circuit = circuit or Circuit()
    for judgement in judgements:
        circuit = circuit.after(judgement, now, POLICY, None, circuit.failures if item is None else item)
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


def test_one_object_that_fails_again_and_again_is_itself_at_fault() -> None:
    """On a quiet feed nothing comes between; it would open the circuit for ever, and never lose its last attempt."""
    alone = after(*[ERROR] * 50, item=7)
    assert not alone.is_open
    assert (alone.failures, alone.objects, alone.last) == (50, 1, 7)


def test_a_second_object_that_fails_shows_that_it_is_the_system() -> None:
    alone = after(*[ERROR] * (TRIPS_AFTER - 1), item=7)
    both = after(ERROR, circuit=alone, item=8)
    assert both.is_open
    assert (both.failures, both.objects, both.last) == (TRIPS_AFTER, 2, 8)


def test_two_objects_are_not_enough_before_as_many_failures_as_it_takes() -> None:
    assert not after(*[ERROR] * (TRIPS_AFTER - 2), circuit=after(ERROR, item=7), item=8).is_open


def test_one_object_opens_it_if_its_answer_concerns_the_system() -> None:
    assert after(FORBIDDEN, item=7).is_open


def test_while_it_is_open_one_object_alone_may_probe() -> None:
    """It may be the only one that waits."""
    circuit = after(FORBIDDEN, item=7)
    for _ in range(3):
        assert circuit.probe_at is not None
        circuit = after(ERROR, circuit=circuit, now=circuit.probe_at, item=7)
        assert circuit.is_open
    assert circuit.probe_at is not None
    assert after(DONE, circuit=circuit, now=circuit.probe_at, item=7) == Circuit()


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
    assert after(answer, circuit=after(FORBIDDEN, item=7), now=NOW + timedelta(minutes=1), item=8) == Circuit(last=7)


def test_one_object_that_is_not_let_in_while_others_are_is_itself_at_fault() -> None:
    """Else it would shut the circuit again and again, and all that follows would wait for its probes."""
    circuit = after(FORBIDDEN, item=7)
    circuit = after(DONE, circuit=circuit, now=NOW + timedelta(minutes=1), item=8)
    for _ in range(3):
        circuit = after(FORBIDDEN, circuit=circuit, now=NOW + timedelta(minutes=2), item=7)
        assert not circuit.is_open
        circuit = after(DONE, circuit=circuit, now=NOW + timedelta(minutes=2), item=9)
    assert after(FORBIDDEN, circuit=circuit, item=8).is_open


def test_a_suspect_that_finds_nobody_there_is_not_at_fault() -> None:
    """No connection is no answer: at night it may be the only one that waits, and would die of an outage."""
    unreached = Judgement(Verdict.SYSTEM, Reason.CONNECTION)
    circuit = after(unreached, item=7)
    circuit = after(DONE, circuit=circuit, now=NOW + timedelta(minutes=1), item=8)
    assert after(unreached, circuit=circuit, item=7).is_open


def test_a_probe_that_a_clock_put_far_ahead_does_not_shut_the_way_out_for_good() -> None:
    opened = after(FORBIDDEN, now=NOW + timedelta(days=3650))
    assert opened.allowance(NOW) == 1
    assert opened.allowance(NOW + timedelta(days=3650)) == 0


def test_what_gets_through_at_last_is_no_longer_suspected() -> None:
    circuit = after(FORBIDDEN, item=7)
    circuit = after(DONE, circuit=circuit, now=NOW + timedelta(minutes=1), item=8)
    circuit = after(DONE, circuit=circuit, item=7)
    assert circuit == Circuit()
    assert after(FORBIDDEN, circuit=circuit, item=7).is_open


def test_a_suspect_stays_one_until_another_object_fails_as_well() -> None:
    """On a quiet feed nobody may get through, or fail, in between."""
    circuit = after(FORBIDDEN, item=7)
    circuit = after(DONE, circuit=circuit, now=NOW + timedelta(minutes=1), item=8)
    alone = after(*[FORBIDDEN] * 10, circuit=circuit, item=7)
    assert (alone.is_open, alone.failures, alone.objects) == (False, 10, 0)
    both = after(FORBIDDEN, circuit=alone, item=9)
    assert (both.is_open, both.objects) == (True, 2)


def test_a_busy_probe_leaves_it_open() -> None:
    assert after(BUSY, circuit=after(FORBIDDEN), now=NOW + timedelta(minutes=1)).is_open


def test_the_wait_that_the_system_asked_for_delays_the_probe() -> None:
    opened = Circuit().after(FORBIDDEN, NOW, POLICY, 7200.0, 1)
    assert opened.probe_at == NOW + timedelta(hours=2)


def test_a_policy_without_pauses_does_not_probe_in_a_tight_loop() -> None:
    opened = Circuit().after(FORBIDDEN, NOW, RetryPolicy(start=0.0), None, 1)
    assert opened.allowance(NOW) == 0


answers = st.tuples(st.sampled_from([DONE, ERROR, BUSY, FORBIDDEN, REFUSED]), st.floats(0, 4000), st.integers(1, 3))


@given(st.lists(answers, max_size=40))
def test_it_is_never_both_open_and_unlimited_and_never_shut_for_good(
    answers: list[tuple[Judgement, float, int]],
) -> None:
    """Whatever comes, at any time: a shut circuit names a moment from which one object may try."""
    circuit, now = Circuit(), NOW
    for judgement, seconds, item in answers:
        now += timedelta(seconds=seconds)
        circuit = circuit.after(judgement, now, POLICY, None, item)
        if circuit.is_open:
            assert circuit.probe_at is not None
            assert circuit.allowance(circuit.probe_at) == 1
            assert circuit.reason is not None
            assert circuit.allowance(now) in (0, 1)
        else:
            assert circuit.allowance(now) is None
            assert circuit.probe_at is None


@given(st.lists(answers, max_size=40))
def test_without_an_answer_about_the_system_it_opens_only_after_enough_failures_of_two(
    answers: list[tuple[Judgement, float, int]],
) -> None:
    """The rule over again, over the row of failures since the last answer that was one."""
    circuit = Circuit()
    row: list[int] = []
    for judgement, _, item in answers:
        if judgement is FORBIDDEN:
            continue
        circuit = circuit.after(judgement, NOW, POLICY, None, item)
        row = [] if judgement in (DONE, REFUSED) else [*row, item]
        enough = [end for end in range(TRIPS_AFTER, len(row) + 1) if len(set(row[:end])) > 1]
        assert circuit.is_open == bool(enough)
        assert circuit.failures == len(row)
        assert not row or circuit.last == row[-1]
