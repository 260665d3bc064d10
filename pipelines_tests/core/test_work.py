"""What the states of work promise to each other."""

import pytest

from pipelines.core.work import MOVES, OPEN, UNSETTLED, Outcome, State


def test_every_state_says_where_it_may_go() -> None:
    assert set(MOVES) == set(State)
    assert all(targets <= set(State) for targets in MOVES.values())


def test_no_state_is_a_dead_end() -> None:
    """Whatever happened to a file, putting it back or a person's decision can make it work again."""
    for state in State:
        reached = {state}
        while (wider := reached | {target for one in reached for target in MOVES[one]}) != reached:
            reached = wider
        assert State.PENDING in reached, state


def test_only_a_claim_leads_to_settled_or_dead() -> None:
    """Nobody gives up or finishes what nobody held."""
    for end in (State.SETTLED, State.DEAD):
        assert [state for state in State if end in MOVES[state]] == [State.CLAIMED]


def test_a_run_holds_only_what_was_open() -> None:
    assert {state for state in State if State.CLAIMED in MOVES[state]} == OPEN


def test_what_is_unsettled_is_neither_done_nor_replaced() -> None:
    assert set(State) - UNSETTLED == {State.SETTLED, State.SUPERSEDED}
    assert OPEN < UNSETTLED


@pytest.mark.parametrize("state", [State.CLAIMED, State.ASIDE])
def test_an_outcome_that_would_leave_the_item_stuck_is_refused(state: State) -> None:
    """A claim without a lease is never due again."""
    with pytest.raises(ValueError, match="does not become"):
        Outcome(1, 1, state)


@pytest.mark.parametrize("state", [State.SETTLED, State.DEAD, State.PENDING, State.SUPERSEDED])
def test_an_outcome_is_any_end_that_a_claim_has(state: State) -> None:
    assert Outcome(1, 1, state).state in MOVES[State.CLAIMED]
