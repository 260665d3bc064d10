"""A lost ledger rebuilt: nothing is sent again by itself, nothing is forgotten, and whatever comes in between."""

from __future__ import annotations

import hashlib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from pipelines.adapters.ledger.leases import utc_now
from pipelines.cli import main
from pipelines.core.work import Reason, State
from pipelines.environment import Environment
from pipelines.lost import is_lost
from pipelines.restore import ACTION, LedgerInUse, restore
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.addresses import sandbox_running
from pipelines_tests.platforms import Platform, an_hour_ago

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture
def aae(environment: Environment) -> Iterator[Aae]:
    with sandbox_running(environment.sandbox, utc_now()) as aae:
        yield aae


@pytest.fixture
def platform(environment: Environment, aae: Aae) -> Platform:
    return Platform(environment, aae, an_hour_ago())


# The whole


def test_nothing_is_sent_twice_and_nothing_is_lost(platform: Platform) -> None:
    aae = platform.aae
    platform.land_packages("refused.jsonl")
    aae.behave(Behaviour(status=422))
    platform.settle()
    aae.behave()
    for name in ("a.jsonl", "b.jsonl"):
        platform.land_packages(name, bad=1)
    platform.land_packages("bad.jsonl", good=0, bad=2)
    for name in ("c.json", "d.json"):
        platform.land_events(name)
    platform.settle()
    before = {queue: platform.states(queue) for queue in ("mobile/packages", "mobile/events", "aae/packages")}
    sent = platform.kept()
    assert sent.total() == 4
    late = platform.land_packages("late.jsonl")
    platform.land_events("late.json")

    platform.lose_the_ledger()
    restored = platform.restore()
    assert (restored.landed, restored.delivered, restored.doubtful) == (6, 5, 0)
    assert {queue: platform.states(queue) for queue in before} == before
    (refused,) = [item for item in platform.items("aae/packages") if item.state is State.DEAD]
    assert (refused.reason, refused.status) == ("refused", 422)

    platform.settle()  # of the deliveries the first one fails, to call a person to the dead letter
    platform.settle()
    assert len(platform.kept()) == len(sent) + 2
    assert set(platform.kept().values()) == {1}
    assert platform.states("mobile/packages")[late.rpartition("/")[-1]] is State.SETTLED
    assert set(platform.states("mobile/events").values()) == {State.SETTLED}
    settled = platform.items("mobile/packages")
    assert sum(item.detail["written"] for item in settled) == 3 * 4
    assert sum(sum(item.detail["rejected"].values()) for item in settled) == 2 + 2
    assert platform.settle() == []


def test_what_may_have_left_after_the_last_receipts_is_for_a_person_to_judge(platform: Platform) -> None:
    platform.land_packages("a.jsonl")
    platform.settle()
    receipts = platform.receipts()
    platform.land_packages("b.jsonl")
    platform.land_events("c.json")
    platform.settle()
    sent = platform.kept()
    assert sent.total() == 3

    platform.put_back(receipts)
    platform.lose_the_ledger()
    assert platform.restore().doubtful == 2
    platform.settle()
    assert platform.kept() == sent
    doubtful = [item for queue in ("aae/packages", "aae/events") for item in platform.items(queue)]
    doubtful = [item for item in doubtful if item.state is State.DEAD]
    assert [item.reason for item in doubtful] == [Reason.MAY_HAVE_LEFT] * 2
    assert [len(item.detail["mapping"]) for item in doubtful] == [64, 64]
    assert set(platform.states("mobile/packages").values()) == {State.SETTLED}  # made again, to the same bytes
    assert sum(len(platform.items(queue)) for queue in ("aae/packages", "aae/events")) == 3

    assert platform.run("aae_replay_dead_letters", {"feed": "packages"}, dry_run=False).success
    platform.settle()
    (again,) = [name for name, count in platform.kept().items() if count == 2]
    assert again.endswith("-b.jsonl.parquet")
    assert len({one.sha256 for one in platform.aae.received() if one.name == again}) == 1


def test_what_may_have_left_is_told_in_the_receipts_and_raises_the_alarm(platform: Platform) -> None:
    platform.land_packages("a.jsonl")
    platform.settle()
    platform.put_back({})
    platform.lose_the_ledger()
    assert platform.restore().doubtful == 1
    ran = platform.settle()
    assert [one.success for one in ran if one.job == "aae_deliver_packages"] == [False]
    assert len(platform.receipts()) == 1
    platform.lose_the_ledger()
    assert platform.restore().doubtful == 0
    assert [item.reason for item in platform.items("aae/packages")] == [Reason.MAY_HAVE_LEFT]


def test_a_rewritten_file_that_left_after_the_last_receipts_does_not_leave_again(platform: Platform) -> None:
    """Its output lies where the one before lay, of which the receipts do tell."""
    platform.land_packages("a.jsonl")
    platform.settle()
    receipts = platform.receipts()
    platform.land_packages("a.jsonl", seed=2)
    platform.settle()
    (name,) = platform.kept()
    assert platform.kept()[name] == 2

    platform.put_back(receipts)
    platform.lose_the_ledger()
    assert platform.restore().doubtful == 1
    platform.settle()
    assert platform.kept()[name] == 2


@pytest.mark.parametrize("is_parquet", [True, False])
def test_an_output_that_is_made_to_other_bytes_does_not_leave_either(platform: Platform, is_parquet: bool) -> None:
    """By another version of the code, or under another mapping: it may have left under its name."""
    platform.land_packages("a.jsonl")
    platform.settle()
    sent = platform.kept()
    platform.put_back({})
    platform.lose_the_ledger()
    (output,) = [info.key for info in platform.lake.list("mobile/packages/")]
    made = platform.lake.get(output)
    otherwise = io.BytesIO()
    pq.write_table(pq.read_table(pa.BufferReader(made)), otherwise, compression="none")
    platform.lake.put(output, otherwise.getvalue() if is_parquet else b"damaged")
    platform.restore()
    platform.settle()
    assert platform.kept() == sent
    assert platform.lake.get(output) == made
    assert set(platform.states("mobile/packages").values()) == {State.SETTLED}
    standing = [(item.version, item.reason) for item in platform.items("aae/packages") if item.state is State.DEAD]
    assert standing == [(hashlib.sha256(made).hexdigest(), Reason.MAY_HAVE_LEFT)]
    platform.run("aae_replay_dead_letters", {"feed": "packages"}, dry_run=False)
    platform.settle()
    assert list(platform.kept().values()) == [2]


def test_what_was_filtered_and_waited_when_the_ledger_was_lost_is_not_forgotten(platform: Platform) -> None:
    """Nobody can tell it from what was just delivered: a person has it sent, once."""
    platform.land_packages("a.jsonl")
    platform.settle(aae_packages_enabled=False)
    assert platform.kept().total() == 0
    platform.lose_the_ledger()
    assert platform.restore().doubtful == 1
    platform.settle()
    assert platform.kept().total() == 0
    platform.run("aae_replay_dead_letters", {"feed": "packages", "reasons": [str(Reason.MAY_HAVE_LEFT)]}, dry_run=False)
    platform.settle()
    assert list(platform.kept().values()) == [1]


def test_nothing_is_taken_in_while_the_ledger_is_lost(platform: Platform) -> None:
    platform.land_packages("a.jsonl")
    platform.land_events("b.json")
    platform.settle()
    sent, receipts = platform.kept(), platform.receipts()
    platform.lose_the_ledger()
    with pytest.raises(Exception, match="the ledger is lost"):
        platform.settle()
    for asset, partition in (
        ("mobile/packages", platform.partition),
        ("mobile/events", platform.partition),
        ("aae/receipts", platform.partition[:10]),
    ):
        assert not platform.materialise(asset, partition).success
        assert platform.items(asset) == []
    assert platform.kept() == sent
    assert platform.receipts() == receipts
    platform.restore()
    platform.settle()
    assert platform.kept() == sent


def test_records_that_are_processed_again_are_found_though_no_listing_finds_them(platform: Platform) -> None:
    """And what was delivered of such files is not delivered again."""
    platform.land_packages("a.jsonl", bad=1)
    platform.settle()
    known = platform.landing.put(
        f"reprocessed/mobile/packages/{platform.hour:%Y/%m/%d/%H}/a.jsonl.again-1.jsonl",
        platform.landing.get(platform.land_packages("to-be-moved.jsonl")),
    )
    platform.landing.delete(f"mobile/packages/{platform.hour:%Y/%m/%d/%H}/to-be-moved.jsonl")
    (quarantined,) = [info.key for info in platform.landing.list("quarantine/mobile/packages/")]
    platform.landing.delete(quarantined)  # as by the run that moved them
    platform.lose_the_ledger()
    platform.restore()
    platform.settle()
    states = {item.name: item.state for item in platform.items("mobile/packages")}
    assert states[known.key] is State.SETTLED
    assert sorted(platform.kept().values()) == [1, 1]
    platform.lose_the_ledger()
    platform.restore()
    platform.settle()
    assert sorted(platform.kept().values()) == [1, 1]


def test_tables_that_were_to_be_made_again_are(platform: Platform) -> None:
    platform.land_events("a.json")
    platform.settle()
    (table,) = [info.key for info in platform.lake.list("mobile/events_table/")]
    made = platform.lake.get(table)
    platform.lose_the_ledger()
    platform.restore()
    assert platform.items("mobile/events_table") == []
    platform.lake.delete(table)
    platform.lose_the_ledger()
    platform.restore()
    platform.settle()
    assert platform.lake.get(table) == made


# Once, and to the end


def test_a_ledger_in_use_is_not_restored(platform: Platform) -> None:
    platform.land_packages("a.jsonl")
    platform.settle()
    with pytest.raises(LedgerInUse):
        platform.restore()
    platform.lose_the_ledger()
    platform.restore()
    with pytest.raises(LedgerInUse):
        platform.restore()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("deaths", [[4], [1, 2, 4, 6, 8]], ids=["once", "again and again"])
def test_a_restoring_that_is_killed_is_begun_again(platform: Platform, deaths: list[int]) -> None:
    platform.land_packages("a.jsonl")
    platform.land_events("b.json")
    platform.settle()
    receipts = platform.receipts()
    platform.land_packages("c.jsonl")
    platform.land_events("d.json")
    platform.settle()
    sent = platform.kept()
    platform.put_back(receipts)
    platform.lose_the_ledger()
    home = str(platform.environment.home)
    for calls in deaths:
        code = f"from pipelines_tests.test_restore import restore_until; restore_until({home!r}, {calls})"
        killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False)
        assert killed.returncode == -signal.SIGKILL
        with platform.ledger() as ledger:
            assert is_lost(ledger, platform.lake)
    with pytest.raises(Exception, match="the ledger is lost"):
        platform.settle()
    restored = platform.restore()
    assert (restored.landed, restored.delivered, restored.doubtful) == (2, 2, 2)
    platform.settle()
    assert platform.kept() == sent
    assert sorted(platform.states("aae/packages").values()) == [State.DEAD, State.SETTLED]
    assert sorted(platform.states("aae/events").values()) == [State.DEAD, State.SETTLED]


# What a person sees


def test_the_command_restores_says_what_and_leaves_who_and_why(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.land_packages("a.jsonl")
    platform.settle()
    platform.lose_the_ledger()
    monkeypatch.setenv("PIPELINES_HOME", str(platform.environment.home))
    done = CliRunner().invoke(main, ["ledger", "restore", "--who", "Ann", "--why", "the disk broke"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "1 landed files and 1 deliveries" in done.output
    refused = CliRunner().invoke(main, ["ledger", "restore", "--who", "Ann", "--why", "once more"])
    assert refused.exit_code == 1
    assert "only a lost one is restored" in refused.output
    with platform.ledger() as ledger:
        (entry,) = ledger.journal()
    assert (entry.action, entry.who, entry.why) == (ACTION, "Ann", "the disk broke")
    assert entry.effect == {"landed": 1, "delivered": 1, "doubtful": 0}
    told = CliRunner().invoke(main, ["ledger", "journal"])
    assert "the disk broke" in told.output


class Deadly:
    """A store that a process does not survive the use of, from one call on."""

    def __init__(self, store: object, calls: list[int]) -> None:
        self._store, self._calls = store, calls

    def __getattr__(self, name: str) -> object:
        self._calls[0] -= 1
        if not self._calls[0]:
            signal.raise_signal(signal.SIGKILL)
        return getattr(self._store, name)


def restore_until(home: str, calls: int) -> None:
    """In a process of its own: restore until landing and lake were asked so many times."""
    environment = Environment(home=Path(home))
    platform = Platform(environment, None, an_hour_ago())  # type: ignore[arg-type]  # nothing is delivered here
    left = [calls]
    with platform.ledger() as ledger:
        stores = (Deadly(platform.landing, left), Deadly(platform.lake, left))
        restore(ledger, *stores, environment, "Ann", "lost", utc_now())  # type: ignore[arg-type]  # as stores as they die
