"""What becomes of an object after an attempt: total over all that may come back, and never too hopeful."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipelines.core.circuit import TRIPS_AFTER, Circuit
from pipelines.core.delivery import Answer, Failure, conclude, put_back
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Outcome, Reason, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy()
ITEM = Item(
    id=7,
    queue="aae/packages",
    destination="sandbox://aae",
    name="a.parquet",
    version="sha",
    partition="2026-03-01-11:00",
    size=10,
    state=State.CLAIMED,
    attempts=0,
    due_at=NOW,
    owner="run",
    fence=3,
    lease_until=NOW + timedelta(minutes=1),
    uncertain=False,
    status=None,
    reason=None,
    parent=None,
    made_with="",
    cause="",
    seen_at=NOW,
    changed_at=NOW,
    settled_at=None,
    detail={},
)

waits = st.none() | st.floats(0, 1e9)
answers = st.builds(Answer, status=st.integers(100, 999), retry_after=waits) | st.builds(
    Answer, failure=st.sampled_from(Failure), retry_after=waits, maybe_received=st.booleans()
)
items = st.builds(replace, st.just(ITEM), attempts=st.integers(0, 9), uncertain=st.booleans())
moments = st.timedeltas(timedelta(days=-9), timedelta(days=9)).map(lambda away: NOW + away)
open_ones = st.builds(Circuit, st.integers(1, 99), moments, moments, st.integers(1, 99), st.sampled_from(Reason))
circuits = st.builds(Circuit, st.integers(0, TRIPS_AFTER - 1), objects=st.integers(0, 3)) | open_ones
policies = st.builds(RetryPolicy, attempts=st.integers(1, 9))
chances = st.floats(0, 1)


def after(answer: Answer, item: Item = ITEM, circuit: Circuit | None = None) -> Outcome:
    return conclude(item, answer, circuit or Circuit(), POLICY, NOW, 0.0)[0]


@given(items, answers, circuits, policies, chances)
def test_every_attempt_has_an_outcome_that_says_why_it_is_not_done(
    item: Item, answer: Answer, circuit: Circuit, policy: RetryPolicy, chance: float
) -> None:
    outcome, _ = conclude(item, answer, circuit, policy, NOW, chance)
    assert (outcome.id, outcome.fence, outcome.status) == (item.id, item.fence, answer.status)
    assert outcome.state in (State.SETTLED, State.DEAD, State.PENDING)
    assert (outcome.reason is None) == (outcome.state is State.SETTLED)
    assert (outcome.due_at is None) == (outcome.state is not State.PENDING)


@given(items, answers, circuits, policies, chances)
def test_only_success_is_a_delivery_or_what_is_there_after_an_unknown_outcome(
    item: Item, answer: Answer, circuit: Circuit, policy: RetryPolicy, chance: float
) -> None:
    outcome, _ = conclude(item, answer, circuit, policy, NOW, chance)
    success = answer.status is not None and 200 <= answer.status <= 299
    assert (outcome.state is State.SETTLED) == (success or (answer.status == 409 and item.uncertain))


@given(items, answers, circuits, policies, chances)
def test_no_object_loses_an_attempt_or_dies_of_one_while_the_circuit_is_open_after_it(
    item: Item, answer: Answer, circuit: Circuit, policy: RetryPolicy, chance: float
) -> None:
    outcome, left = conclude(item, answer, circuit, policy, NOW, chance)
    if left.is_open:
        assert (outcome.state, outcome.attempted, outcome.due_at) == (State.PENDING, False, left.probe_at)
    else:
        assert outcome.attempted


@given(items, answers, circuits, policies, chances)
def test_that_an_object_may_be_there_is_never_forgotten(
    item: Item, answer: Answer, circuit: Circuit, policy: RetryPolicy, chance: float
) -> None:
    outcome, _ = conclude(item, answer, circuit, policy, NOW, chance)
    if item.uncertain or (answer.status is None and answer.maybe_received):
        assert outcome.uncertain
    assert put_back(item).uncertain is item.uncertain


@given(items, answers, policies, chances)
def test_a_wait_that_was_asked_for_is_kept_up_to_a_day(
    item: Item, answer: Answer, policy: RetryPolicy, chance: float
) -> None:
    outcome, _ = conclude(item, answer, Circuit(), policy, NOW, chance)
    if outcome.due_at is not None:
        assert outcome.due_at >= NOW + timedelta(seconds=min(answer.retry_after or 0.0, 86_400.0))


@pytest.mark.parametrize(
    ("answer", "uncertain"),
    [
        (Answer(failure=Failure.TIMEOUT), True),
        (Answer(failure=Failure.CONNECTION), True),
        (Answer(failure=Failure.CONNECTION, maybe_received=False), False),
        (Answer(failure=Failure.TLS, maybe_received=False), False),
        (Answer(status=502), True),
        (Answer(status=504), True),
        (Answer(status=500), False),
        (Answer(status=503), False),
        (Answer(status=429), False),
    ],
)
def test_an_object_may_be_there_if_nobody_said_that_it_is_not(answer: Answer, uncertain: bool) -> None:
    """A gateway does not know what became of a request behind it; the server itself does."""
    assert after(answer).uncertain is uncertain


def test_the_last_attempt_ends_in_a_dead_letter() -> None:
    almost = replace(ITEM, attempts=POLICY.attempts - 2)
    assert after(Answer(status=500), almost).state is State.PENDING
    last = after(Answer(status=500), replace(ITEM, attempts=POLICY.attempts - 1))
    assert (last.state, last.reason, last.status) == (State.DEAD, Reason.TOO_MANY_ATTEMPTS, 500)


def fail(answer: Answer, items: int, attempts: int) -> tuple[dict[int, Item], Circuit]:
    """Let so many objects be tried one after the other, as they and the circuit say, until so many tries failed."""
    waiting = {number: replace(ITEM, id=number) for number in range(items)}
    circuit, now = Circuit(), NOW
    for _ in range(attempts):
        due = [item for item in waiting.values() if item.state is not State.DEAD]
        if not due:
            break
        item = min(due, key=lambda one: (one.due_at, one.id))
        now = max(now, item.due_at, circuit.probe_at or now)
        outcome, circuit = conclude(item, answer, circuit, POLICY, now, 0.0)
        waiting[item.id] = replace(
            item,
            state=outcome.state,
            attempts=item.attempts + outcome.attempted,
            due_at=outcome.due_at or now,
            reason=outcome.reason,
            changed_at=now,
        )
    return waiting, circuit


def test_a_poison_object_on_a_quiet_feed_is_a_dead_letter_after_its_attempts() -> None:
    """And it leaves the circuit shut to nobody."""
    waiting, circuit = fail(Answer(status=500), 1, 50)
    assert [(one.state, one.reason, one.attempts) for one in waiting.values()] == [
        (State.DEAD, Reason.TOO_MANY_ATTEMPTS, POLICY.attempts)
    ]
    assert not circuit.is_open


def test_in_an_outage_with_two_objects_none_dies() -> None:
    waiting, circuit = fail(Answer(status=503), 2, 50)
    assert circuit.is_open
    assert {one.state for one in waiting.values()} == {State.PENDING}
    assert sum(one.attempts for one in waiting.values()) == TRIPS_AFTER - 1


@pytest.mark.parametrize("items", [1, 2, 5])
def test_a_refused_connection_never_uses_attempts_up(items: int) -> None:
    """Nobody has seen an object; all of them wait, however long it lasts."""
    refused = Answer(failure=Failure.CONNECTION, maybe_received=False)
    waiting, circuit = fail(refused, items, 50)
    assert {(one.state, one.attempts, one.reason) for one in waiting.values()} == {
        (State.PENDING, 0, Reason.CONNECTION)
    }
    assert circuit.is_open


@pytest.mark.parametrize("answer", [Answer(status=403), Answer(failure=Failure.CONNECTION, maybe_received=False)])
def test_while_the_system_is_out_of_order_each_object_has_its_turn_as_the_probe(answer: Answer) -> None:
    """One that fails for its own sake would else keep the circuit open for all."""
    once, _ = fail(answer, 5, 5)
    tried_at = {number: item.changed_at for number, item in once.items()}
    assert len({*tried_at.values()}) == 5
    twice, _ = fail(answer, 5, 10)
    assert all(item.changed_at > max(tried_at.values()) for item in twice.values())


def test_what_was_claimed_and_not_tried_is_as_it_was() -> None:
    back = put_back(replace(ITEM, attempts=2, uncertain=True))
    assert back == Outcome(7, 3, State.PENDING, attempted=False, uncertain=True)
