"""What is due, as few runs as can be."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.periods import hour_key
from pipelines.core.planning import Request, plan
from pipelines.core.work import Backlog

FIRST = datetime(2025, 1, 1, tzinfo=UTC)

partitions = st.integers(0, 2000).map(lambda hours: hour_key(FIRST + timedelta(hours=hours)))
backlogs = st.lists(
    st.builds(
        Backlog,
        queue=st.just("aae/events"),
        destination=st.sampled_from(["", "https://one", "https://two"]),
        partition=partitions,
        items=st.integers(0, 50),
        oldest_due=st.integers(0, 10_000).map(lambda minutes: FIRST + timedelta(minutes=minutes)),
    ),
    max_size=20,
)
unrecorded = st.sets(partitions, max_size=5)


@given(backlogs, unrecorded)
def test_a_run_is_asked_for_if_anything_is_due_or_unrecorded(due: list[Backlog], unrecorded: set[str]) -> None:
    assert (plan(due, unrecorded) is None) == (not unrecorded and not any(one.items for one in due))


@given(backlogs, unrecorded)
def test_a_request_holds_all_that_there_is_to_do(due: list[Backlog], unrecorded: set[str]) -> None:
    """Nothing is left out of the span, so one run after another comes to an end."""
    request = plan(due, unrecorded)
    if request is None:
        return
    waiting = [one for one in due if one.items]
    wanted = {one.partition for one in waiting} | unrecorded
    assert all(request.first <= one <= request.last for one in wanted)
    assert {request.first, request.last} <= wanted
    assert request.items == sum(one.items for one in due)
    assert request.oldest_due == min((one.oldest_due for one in waiting), default=None)


@given(backlogs, st.randoms(use_true_random=False))
def test_the_order_in_which_the_ledger_answers_does_not_matter(due: list[Backlog], random: Random) -> None:
    shuffled = list(due)
    random.shuffle(shuffled)
    assert plan(shuffled) == plan(due)


def test_nothing_due_asks_for_no_run() -> None:
    assert plan([]) is None
    assert plan([Backlog("aae/events", "", "2025-01-01-00:00", 0, FIRST)]) is None


def test_partitions_that_are_only_to_be_recorded_have_no_due_time() -> None:
    assert plan([], ["2025-01-02-00:00"]) == Request("2025-01-02-00:00", "2025-01-02-00:00", 0, None)
