"""What is due, as few runs as can be."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.periods import hour_key
from pipelines.core.planning import Request, plan
from pipelines.core.work import Backlog

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
QUEUES = ["mobile/packages", "mobile/events", "aae/packages", "aae/events"]

backlogs = st.lists(
    st.builds(
        Backlog,
        queue=st.sampled_from(QUEUES),
        destination=st.sampled_from(["", "https://one", "https://two"]),
        partition=st.integers(0, 2000).map(lambda hours: hour_key(FIRST + timedelta(hours=hours))),
        items=st.integers(0, 50),
        oldest_due=st.integers(0, 10_000).map(lambda minutes: FIRST + timedelta(minutes=minutes)),
    ),
    max_size=20,
)
held = st.sets(st.sampled_from(QUEUES))


@given(backlogs, held)
def test_each_queue_that_waits_and_is_not_held_has_one_request(due: list[Backlog], held: set[str]) -> None:
    requests = plan(due, held)
    assert [one.queue for one in requests] == sorted({one.queue for one in due if one.items} - held)


@given(backlogs, held)
def test_a_request_holds_all_that_is_due_in_its_queue(due: list[Backlog], held: set[str]) -> None:
    """Nothing due is left out of the span, so one run after another comes to an end."""
    for request in plan(due, held):
        mine = [one for one in due if one.queue == request.queue and one.items]
        assert all(request.first <= one.partition <= request.last for one in mine)
        assert {request.first, request.last} <= {one.partition for one in mine}
        assert request.items == sum(one.items for one in mine)


@given(backlogs, st.randoms(use_true_random=False))
def test_the_order_in_which_the_ledger_answers_does_not_matter(due: list[Backlog], random: Random) -> None:
    shuffled = list(due)
    random.shuffle(shuffled)
    assert plan(shuffled) == plan(due)


def test_nothing_due_asks_for_no_run() -> None:
    assert plan([]) == []
    assert plan([Backlog("aae/events", "", "2025-01-01-00:00", 0, FIRST)]) == []


def test_two_destinations_of_one_queue_share_its_run() -> None:
    due = [Backlog("aae/events", url, f"2025-01-0{day}-00:00", 2, FIRST) for day, url in [(2, "one"), (1, "two")]]
    assert plan(due) == [Request("aae/events", "2025-01-01-00:00", "2025-01-02-00:00", 4)]
