"""How partitions are recorded: each change once, whichever run made it, and tables made anew when they have to be."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import ObjectsUnavailable
from pipelines.assets import Recorder, Report, Scope, days, make_tables, remake, share_of
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, NewItem, Reason, State
from pipelines.environment import Environment

REPOSITORY = Path(__file__).parent.parent
QUEUE = "test/table"
MONDAY, TUESDAY = "2026-03-02", "2026-03-03"
LEASE = timedelta(minutes=10)
POLICY = RetryPolicy(attempts=2)


@dataclass
class House:
    """An asset of tables over a ledger; ``make`` writes one of them."""

    environment: Environment
    ledger: Ledger
    instance: dg.DagsterInstance
    made: list[str] = field(default_factory=list)
    make: Callable[[str], dict[str, Any]] | None = None

    def ask(self, *partitions: str, version: str = "1") -> None:
        """Something has changed that these tables are made from."""
        items = [NewItem(QUEUE, one, version, one, 0, joins=True) for one in partitions]
        self.ledger.take_in(items, utc_now())

    def run(self, first: str, last: str | None = None, *, only_due: bool = False) -> dg.ExecuteInProcessResult:
        """A run over these partitions, as a person (or, with ``only_due``, a sensor) starts it."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last or first}
        config = {"ops": {"test__table": {"config": {"only_due": only_due}}}}
        return self.execute(config, tags, self.asset())

    def execute(
        self, config: Mapping[str, Any], tags: Mapping[str, str], *assets: dg.AssetsDefinition
    ) -> dg.ExecuteInProcessResult:
        """A run over assets."""
        job = dg.Definitions(assets, jobs=[dg.define_asset_job("job", "*")]).resolve_job_def("job")
        keys = [one.key for one in assets]
        return job.execute_in_process(
            config, self.instance, tags=tags, raise_on_error=False, asset_selection=keys if keys[1:] else None
        )

    def asset(self) -> dg.AssetsDefinition:
        def write(partition: str) -> dict[str, Any]:
            self.made.append(partition)
            if self.make is not None:
                return self.make(partition)
            return {"version": f"{len(self.made)}", "rows": 7, "bytes": 70}

        @dg.asset(
            key=["test", "table"],
            partitions_def=days,
            backfill_policy=dg.BackfillPolicy.single_run(),
            output_required=False,
            code_version="5",
        )
        def table(context: dg.AssetExecutionContext, config: Scope) -> Iterator[dg.MaterializeResult[None]]:
            yield from make_tables(context, config, self.ledger, write, self.environment, POLICY, {"more": "facts"})

        return table

    def recorded(self, result: dg.ExecuteInProcessResult) -> list[tuple[str | None, dict[str, Any]]]:
        """Each materialisation of a run with its metadata."""
        entries = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        made = [entry.get_dagster_event().step_materialization_data.materialization for entry in entries]
        return [(one.partition, {name: value.value for name, value in one.metadata.items()}) for one in made]

    def judged(self, result: dg.ExecuteInProcessResult) -> dict[tuple[str | None, str], bool]:
        """What each check said of each partition."""
        entries = self.instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        found = [entry.get_dagster_event().asset_check_evaluation_data for entry in entries]
        return {(one.partition, one.check_name): one.passed for one in found}

    def states(self) -> list[State]:
        return [item.state for item in self.ledger.items(QUEUE)]


@pytest.fixture
def house(environment: Environment) -> Iterator[House]:
    with closing(open_ledger(environment.ledger)) as ledger, dg.DagsterInstance.ephemeral() as instance:
        yield House(environment, ledger, instance)


# Tables


def test_a_run_that_a_sensor_starts_makes_what_is_asked_for_and_records_that_alone(house: House) -> None:
    house.ask(MONDAY)
    result = house.run(MONDAY, TUESDAY, only_due=True)
    assert result.success
    assert house.made == [MONDAY]
    assert house.recorded(result) == [(MONDAY, {"bytes": 70, "dagster/row_count": 7, "more": "facts"})]
    assert house.judged(result) == {(MONDAY, "nothing_pending"): True, (MONDAY, "was_made"): True}
    assert house.ledger.unrecorded(QUEUE) == {}
    assert house.recorded(house.run(MONDAY, TUESDAY, only_due=True)) == []


def test_a_table_that_is_asked_for_by_hand_is_made_whether_or_not_anything_changed(house: House) -> None:
    for _ in range(2):
        assert [one for one, _ in house.recorded(house.run(MONDAY, TUESDAY))] == [MONDAY, TUESDAY]
    assert house.made == [MONDAY, TUESDAY] * 2
    assert house.ledger.unrecorded(QUEUE) == {}


def test_beside_an_asset_that_does_not_wait_for_it_a_table_is_recorded_and_judged_as_ever(house: House) -> None:
    @dg.asset
    def stranger() -> None:
        """Made in the same run."""

    house.ask(MONDAY)
    tags = {"dagster/asset_partition_range_start": MONDAY, "dagster/asset_partition_range_end": MONDAY}
    config = {"ops": {"test__table": {"config": {"only_due": True}}}}
    result = house.execute(config, tags, house.asset(), stranger)
    assert result.success
    assert house.judged(result) == {(MONDAY, "nothing_pending"): True, (MONDAY, "was_made"): True}
    assert result.asset_materializations_for_node("stranger")


def test_assets_that_a_sensor_has_made_in_one_run_share_its_time(house: House) -> None:
    shares: list[float] = []

    @dg.asset
    def one(context: dg.AssetExecutionContext, config: Scope) -> None:
        shares.append(share_of(context, config, 600))

    @dg.asset
    def another() -> None:
        """Made in the same run."""

    for only_due in (True, False):
        config = {"ops": {"one": {"config": {"only_due": only_due}}}}
        assert house.execute(config, {}, one, another).success
        assert house.execute(config, {}, one).success
    assert shares == [300, 600, 600, 600]


def test_a_table_is_made_once_for_all_that_asks_for_it_before(house: House) -> None:
    for number in range(5):
        house.ask(MONDAY, version=f"{number}")
    house.run(MONDAY, only_due=True)
    assert house.made == [MONDAY]


def test_what_is_asked_for_while_a_table_is_made_has_it_made_again(house: House) -> None:
    def change_meanwhile(partition: str) -> dict[str, Any]:
        if len(house.made) == 1:
            house.ask(partition, version="2")
        return {"version": "", "rows": 0, "bytes": 0}

    house.make = change_meanwhile
    house.ask(MONDAY)
    result = house.run(MONDAY, only_due=True)
    assert house.made == [MONDAY, MONDAY]
    assert [one for one, _ in house.recorded(result)] == [MONDAY]


def test_a_table_that_can_t_be_made_holds_up_no_other_and_says_so(house: House) -> None:
    def fail(partition: str) -> dict[str, Any]:
        if partition == MONDAY:
            raise ValueError("ZZ9Q: values of records may be in here")
        return {"version": "", "rows": 0, "bytes": 0}

    house.make = fail
    house.ask(MONDAY, TUESDAY)
    house.run(MONDAY, TUESDAY, only_due=True)
    (monday, tuesday) = house.ledger.items(QUEUE)
    assert (monday.state, monday.reason, tuesday.state) == (State.PENDING, Reason.INTERNAL, State.SETTLED)
    house.ledger.take_in([NewItem(QUEUE, MONDAY, "2", MONDAY, 0)], utc_now())
    result = house.run(MONDAY, TUESDAY, only_due=True)
    assert not any("ZZ9Q" in entry.user_message for entry in house.instance.all_logs(result.run_id))


def test_a_table_that_was_given_up_fails_its_check_until_it_is_made(house: House) -> None:
    def fail(_: str) -> dict[str, Any]:
        raise ValueError

    house.make = fail
    long_ago = utc_now() - 4 * LEASE
    house.ledger.take_in([NewItem(QUEUE, MONDAY, "1", MONDAY, 0)], long_ago)
    (item,) = house.ledger.claim(QUEUE, owner="x", limit=1, now=long_ago, lease=LEASE)
    result = house.run(MONDAY, only_due=True)  # a run ended without a word, and this one fails: these were its attempts
    assert [one.state for one in house.ledger.items(QUEUE) if one.id == item.id] == [State.DEAD]
    assert house.judged(result)[MONDAY, "was_made"] is False
    house.make = None
    assert house.judged(house.run(MONDAY)) == {(MONDAY, "nothing_pending"): True, (MONDAY, "was_made"): True}


def test_a_table_is_tried_for_as_long_as_its_store_is_out_of_order(house: House) -> None:
    """The store is to blame, not the table: no outage, however long, makes it one that was given up."""

    def fail(partition: str) -> dict[str, Any]:
        raise ObjectsUnavailable(partition)

    house.ask(MONDAY)
    now = utc_now()
    common: dict[str, Any] = {"ledger": house.ledger, "policy": POLICY, "made_with": "5", "now": lambda: now}
    for attempt in range(1, 2 * POLICY.attempts):
        (item,) = house.ledger.claim(QUEUE, owner="x", limit=1, now=now, lease=LEASE)
        house.ledger.settle([remake(item, lambda _: True, make=fail, **common)], now)
        (item,) = house.ledger.items(QUEUE)
        assert (item.state, item.reason, item.attempts) == (State.PENDING, Reason.UNREADABLE, 0)
        assert item.due_at == now + POLICY.pause(attempt, 0.0)
        now = item.due_at
    (item,) = house.ledger.claim(QUEUE, owner="x", limit=1, now=now, lease=LEASE)
    facts = {"version": "", "rows": 0, "bytes": 0}
    house.ledger.settle([remake(item, lambda _: True, make=lambda _: facts, **common)], now)
    assert house.states() == [State.SETTLED]


def test_after_an_outage_a_table_whose_runs_die_is_given_up_as_ever(house: House) -> None:
    """Not sooner, for its attempts are all left; and not never."""

    def fail(partition: str) -> dict[str, Any]:
        raise ObjectsUnavailable(partition)

    house.ask(MONDAY)
    now = utc_now()
    common: dict[str, Any] = {"ledger": house.ledger, "policy": POLICY, "made_with": "5", "now": lambda: now}
    for _ in range(2 * POLICY.attempts):
        (item,) = house.ledger.claim(QUEUE, owner="x", limit=1, now=now, lease=LEASE, crash_counts=True)
        house.ledger.settle([remake(item, lambda _: True, make=fail, **common)], now)
        (item,) = house.ledger.items(QUEUE)
        now = item.due_at
    for crashes in range(POLICY.attempts + 1):
        (item,) = house.ledger.claim(QUEUE, owner="dead", limit=1, now=now, lease=LEASE, crash_counts=True)
        assert item.attempts == crashes
        now += 2 * LEASE
    outcome = remake(item, lambda _: True, make=lambda _: {}, **common)
    assert (outcome.state, outcome.reason) == (State.DEAD, Reason.CRASHED)


@pytest.mark.parametrize("held", [True, False])
def test_a_table_that_was_written_under_a_lost_lease_is_made_once_more(house: House, held: bool) -> None:
    """Whoever took it over may have written before, of more than was seen here."""
    house.ask(MONDAY)
    (item,) = house.ledger.claim(QUEUE, owner="x", limit=1, now=utc_now(), lease=LEASE)
    facts = {"version": "", "rows": 0, "bytes": 0}
    outcome = partial(remake, ledger=house.ledger, make=lambda _: facts, policy=POLICY, made_with="5", now=utc_now)
    house.ledger.settle([outcome(item, lambda _: held)], utc_now())
    assert (State.PENDING in house.states()) is not held


# Recording


def test_what_a_killed_run_did_and_never_told_is_recorded_by_the_next_one(house: House) -> None:
    """It is killed between the ledger and Dagster, without a word."""
    house.ask(MONDAY)
    code = f"from pipelines_tests.test_assets import settle_and_die; settle_and_die({house.environment.ledger!r})"
    killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert house.states() == [State.SETTLED]
    assert house.ledger.unrecorded(QUEUE) == {MONDAY: 1}
    result = house.run(MONDAY, only_due=True)
    assert house.made == []
    assert [one for one, _ in house.recorded(result)] == [MONDAY]
    assert house.judged(result) == {(MONDAY, "nothing_pending"): True, (MONDAY, "was_made"): True}
    assert house.recorded(house.run(MONDAY, only_due=True)) == []


@dataclass
class Recorded:
    """What a run recorded that called its recorder in a certain way."""

    materialised: list[str | None]
    judged: list[str | None]


def record(house: House, act: Callable[[Recorder], None]) -> Recorded:
    """A run that does nothing but record."""

    @dg.asset(key=["test", "table"], partitions_def=days, output_required=False)
    def table(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        reported = Report({}, "1", {}, [("is_right", True, {})])
        act(Recorder(context, house.ledger, QUEUE, lambda _: reported))
        yield from ()

    result = dg.materialize([table], instance=house.instance, partition_key=MONDAY)
    return Recorded([one for one, _ in house.recorded(result)], [one for one, _ in house.judged(result)])


def change(house: House, partition: str) -> Item:
    """An item of a partition is settled."""
    house.ask(partition, version=f"{utc_now()}")
    (item,) = house.ledger.claim(QUEUE, owner="x", limit=1, now=utc_now(), lease=LEASE)
    facts = {"version": "", "rows": 0, "bytes": 0}
    done = remake(
        item, lambda _: True, ledger=house.ledger, make=lambda _: facts, policy=POLICY, made_with="", now=utc_now
    )
    house.ledger.settle([done], utc_now())
    return item


def test_a_partition_is_told_once_for_all_its_changes_and_judged_at_the_end(house: House) -> None:
    change(house, MONDAY)
    change(house, TUESDAY)
    change(house, MONDAY)

    def act(recorder: Recorder) -> None:
        recorder.catch_up()
        recorder.catch_up()
        recorder.finish()

    assert record(house, act) == Recorded([MONDAY, TUESDAY], [MONDAY, TUESDAY])
    assert house.ledger.unrecorded(QUEUE) == {}


def test_what_changes_between_is_told_again_and_judged_once(house: House) -> None:
    change(house, MONDAY)

    def act(recorder: Recorder) -> None:
        recorder.catch_up()
        change(house, MONDAY)
        recorder.finish()

    assert record(house, act) == Recorded([MONDAY, MONDAY], [MONDAY])


def test_a_run_that_fails_before_its_end_leaves_all_of_it_to_be_told_by_the_next(house: House) -> None:
    change(house, MONDAY)
    assert record(house, Recorder.catch_up) == Recorded([MONDAY], [])
    assert house.ledger.unrecorded(QUEUE) == {MONDAY: 1}
    assert record(house, Recorder.finish) == Recorded([MONDAY], [MONDAY])


def test_what_changes_after_it_was_told_stays_to_be_told(house: House) -> None:
    change(house, MONDAY)
    counts = house.ledger.unrecorded(QUEUE)
    change(house, MONDAY)
    house.ledger.recorded(QUEUE, counts)
    assert record(house, Recorder.finish).materialised == [MONDAY]


def settle_and_die(url: str) -> None:
    """In a process of its own: what is due is done, and nobody is told."""
    ledger = open_ledger(url)
    (item,) = ledger.claim(QUEUE, owner="x", limit=1, now=utc_now(), lease=LEASE)
    facts = {"version": "", "rows": 0, "bytes": 0}
    done = remake(item, lambda _: True, ledger=ledger, make=lambda _: facts, policy=POLICY, made_with="", now=utc_now)
    ledger.settle([done], utc_now())
    os.kill(os.getpid(), signal.SIGKILL)
