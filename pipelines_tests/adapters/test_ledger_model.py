"""The ledger against a model of it in a few lines, under any order of events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pipelines.adapters.ledger import Ledger
from pipelines.core.work import MOVES, OPEN, Item, NewItem, Outcome, Reason, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=10)
PAUSE = timedelta(minutes=1)
UNDONE = {State.PENDING, State.DEAD, State.ASIDE}
Key = tuple[str, str]

names = st.sampled_from(["a", "b"])
versions = st.sampled_from(["1", "2"])


@dataclass(slots=True)
class Row:
    """What the model knows of one version of one name."""

    state: State
    due_at: datetime
    lease_until: datetime = NOW
    attempts: int = 0
    uncertain: bool = False
    gone: bool = False


class Model(RuleBasedStateMachine):
    """Each example works on a queue of its own in one ledger."""

    ledger: Ledger
    queues = count()

    def __init__(self) -> None:
        super().__init__()
        self.queue = f"queue {next(self.queues)}"
        self.now = NOW
        self.rows: dict[Key, Row] = {}
        self.newest: dict[str, str] = {}
        self.claims: list[Item] = []
        self.seen: dict[Key, State] = {}
        self.untold = False

    def is_newest(self, key: Key) -> bool:
        return self.newest[key[0]] == key[1]

    @rule(minutes=st.sampled_from([1, 11]))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule(
        batch=st.lists(
            st.tuples(names, versions, st.sampled_from([State.PENDING, State.ASIDE]), st.booleans()), max_size=3
        )
    )
    def take_in(self, batch: list[tuple[str, str, State, bool]]) -> None:
        items = [
            NewItem(self.queue, name, version, "p", 1, state=state, joins=joins)
            for name, version, state, joins in batch
        ]
        self.ledger.take_in(items, self.now)
        for name, version, state, joins in {one[0]: one for one in batch}.values():
            waits = any(row.state is State.PENDING for key, row in self.rows.items() if key[0] == name)
            if not (joins and waits):
                self.see((name, version), state)

    def see(self, key: Key, state: State) -> None:
        row = self.rows.get(key)
        if row is None:
            self.rows[key] = Row(state, self.now)
        elif state is State.PENDING and (
            row.state in (State.ASIDE, State.SUPERSEDED)
            or (row.state is State.DEAD and row.gone)
            or (row.state is State.SETTLED and not self.is_newest(key))
        ):
            uncertain = row.uncertain or row.attempts > 0 or row.state is State.SETTLED
            self.rows[key] = Row(state, self.now, uncertain=uncertain)
        elif row.state is not State.CLAIMED:
            return
        self.newest[key[0]] = key[1]
        for other, row in self.rows.items():
            if other[0] == key[0] and other != key and row.state in UNDONE:
                row.state = State.SUPERSEDED

    @rule(limit=st.integers(1, 4), crash_counts=st.booleans())
    def claim(self, limit: int, crash_counts: bool) -> None:
        claimed = self.ledger.claim(
            self.queue, owner="run", limit=limit, now=self.now, lease=LEASE, crash_counts=crash_counts
        )
        for key, row in self.rows.items():
            if row.state is State.CLAIMED and row.lease_until < self.now and not self.is_newest(key):
                row.state, row.uncertain = State.SUPERSEDED, True
        due = [key for key, row in self.rows.items() if self.is_due(key, row)]
        due.sort(key=lambda key: self.rows[key].due_at)
        assert len(claimed) == min(limit, len(due))
        assert [item.due_at for item in claimed] == [self.rows[key].due_at for key in due[:limit]]
        for item in claimed:
            key = (item.name, item.version)
            assert key in due
            row = self.rows[key]
            lost = row.state is State.CLAIMED
            row.uncertain |= lost
            row.attempts += lost and crash_counts
            row.state, row.lease_until = State.CLAIMED, self.now + LEASE
            self.claims = [one for one in self.claims if one.id != item.id] + [item]

    def is_due(self, key: Key, row: Row) -> bool:
        held = [other for other, one in self.rows.items() if other[0] == key[0] and one.state is State.CLAIMED]
        if row.state is State.CLAIMED:
            return row.lease_until < self.now
        return row.state is State.PENDING and row.due_at <= self.now and not held

    @rule(
        data=st.data(),
        state=st.sampled_from([State.SETTLED, State.PENDING, State.DEAD, State.SUPERSEDED]),
        made=st.booleans(),
        gone=st.booleans(),
        uncertain=st.booleans(),
    )
    def settle(self, data: st.DataObject, state: State, made: bool, gone: bool, uncertain: bool) -> None:
        if not self.claims:
            return
        item = data.draw(st.sampled_from(self.claims))
        key, row = (item.name, item.version), self.rows[item.name, item.version]
        outcome = Outcome(
            item.id,
            item.fence,
            state,
            due_at=self.now + PAUSE,
            uncertain=uncertain,
            reason=Reason.GONE if gone else Reason.REFUSED,
            made_with="m" if made else None,
        )
        stale = Outcome(item.id, item.fence - 1, state)
        assert self.ledger.settle([stale], self.now) == set()
        held = row.state is State.CLAIMED
        assert self.ledger.settle([outcome], self.now) == ({item.id} if held else set())
        if not held:
            return
        row.state = State.SUPERSEDED if state in UNDONE and not self.is_newest(key) else state
        row.attempts, row.uncertain, row.gone = row.attempts + 1, row.uncertain or uncertain, gone
        row.due_at = self.now + PAUSE
        self.untold = True
        if state is State.SETTLED and made:
            for other, one in self.rows.items():
                if other[0] == key[0] and other != key and one.state is State.SETTLED:
                    one.state = State.SUPERSEDED

    @rule()
    def reopen(self) -> None:
        moved = self.ledger.reopen([item.id for item in self.ledger.items(self.queue)], self.now, Reason.INTERNAL)
        over = [key for key, row in self.rows.items() if row.state in (State.SETTLED, State.DEAD)]
        mine = [self.rows[key] for key in over if self.is_newest(key)]
        assert moved == len(mine)
        self.untold |= moved > 0
        for row in mine:
            row.uncertain |= row.state is State.SETTLED
            row.state, row.attempts, row.due_at = State.PENDING, 0, self.now

    @rule()
    def tell(self) -> None:
        self.ledger.recorded(self.queue, self.ledger.unrecorded(self.queue))
        self.untold = False

    @invariant()
    def they_agree(self) -> None:
        there = {(item.name, item.version): item for item in self.ledger.items(self.queue)}
        assert {key: (item.state, item.attempts, item.uncertain) for key, item in there.items()} == {
            key: (row.state, row.attempts, row.uncertain) for key, row in self.rows.items()
        }
        for key, state in self.seen.items():
            after = there[key].state
            assert after is state or after in MOVES[state]
        self.seen = {key: item.state for key, item in there.items()}

    @invariant()
    def what_changed_is_known_until_it_is_told(self) -> None:
        assert set(self.ledger.unrecorded(self.queue)) == ({"p"} if self.untold else set())

    @invariant()
    def of_one_name_one_version_at_most_waits_and_one_is_in_hand(self) -> None:
        for name in self.newest:
            mine = [row.state for key, row in self.rows.items() if key[0] == name]
            assert sum(state in UNDONE for state in mine) <= 1
            assert mine.count(State.CLAIMED) <= 1

    @invariant()
    def what_is_counted_as_due_is_what_some_claim_would_act_on(self) -> None:
        """Otherwise a run is started for nothing, again and again, or work waits that nobody starts a run for."""
        due = sum(self.is_due(key, row) for key, row in self.rows.items())
        assert sum(one.items for one in self.ledger.backlog(self.now) if one.queue == self.queue) == due
        next_due = self.ledger.next_due(self.queue)
        assert (next_due is None) == (not any(row.state in OPEN for row in self.rows.values()))
        assert due == 0 or (next_due is not None and next_due <= self.now)


def test_states_move_as_the_model_says_and_only_by_moves_that_exist(ledger: Ledger) -> None:
    bound = type("BoundModel", (Model,), {"ledger": ledger})
    run_state_machine_as_test(bound, settings=settings(max_examples=20, stateful_step_count=20, deadline=None))
