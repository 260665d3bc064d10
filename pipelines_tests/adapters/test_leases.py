"""Leases: kept alive while the work goes on, and never believed beyond what is certain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import Leases
from pipelines.core.work import Item, NewItem, Outcome, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=60)
QUEUE = "aae/packages"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        names = ("a.parquet", "b.parquet")
        ledger.take_in([NewItem(QUEUE, name, "1", "2026-03-01-11:00", 1) for name in names], NOW)
        yield ledger


def claim(ledger: Ledger, owner: str = "run", now: datetime = NOW, lease: timedelta = LEASE) -> list[Item]:
    return ledger.claim(QUEUE, owner=owner, limit=10, now=now, lease=lease)


def hold(leases: Leases, items: list[Item], ago: float = 0) -> None:
    leases.hold(items, time.monotonic() - ago)


def test_a_claim_is_held_for_as_long_as_is_certain(ledger: Ledger) -> None:
    leases = Leases(ledger, LEASE, lambda: NOW)
    item, other = claim(ledger)
    hold(leases, [item], ago=30)
    assert leases.holds(item, 20)
    assert not leases.holds(item, 31)
    assert not leases.holds(other, 0)


def test_what_is_dropped_is_held_no_more(ledger: Ledger) -> None:
    leases = Leases(ledger, LEASE, lambda: NOW)
    item, other = claim(ledger)
    hold(leases, [item, other])
    leases.drop([item.id])
    assert not leases.holds(item, 0)
    assert leases.holds(other, 0)


def test_a_renewal_makes_a_claim_last_longer_here_and_in_the_ledger(ledger: Ledger) -> None:
    later = NOW + timedelta(seconds=50)
    leases = Leases(ledger, LEASE, lambda: later)
    items = claim(ledger)
    hold(leases, items, ago=50)
    assert not leases.holds(items[0], 20)
    leases.renew()
    assert leases.holds(items[0], 50)
    assert {item.lease_until for item in ledger.items(QUEUE)} == {later + LEASE}


def test_what_another_run_took_over_is_let_go_at_the_renewal(ledger: Ledger) -> None:
    leases = Leases(ledger, LEASE, lambda: NOW)
    items = claim(ledger)
    hold(leases, items)
    claim(ledger, "another", NOW + LEASE + timedelta(seconds=1))
    leases.renew()
    assert not any(leases.holds(item, 0) for item in items)


def test_a_claim_that_was_lost_is_not_held_through_a_later_claim_of_the_same_run(ledger: Ledger) -> None:
    """Else the work of the lost claim, still waiting for its turn, would go on beside that of the new one."""
    leases = Leases(ledger, LEASE, lambda: NOW)
    lost, _ = claim(ledger)
    hold(leases, [lost])
    again = claim(ledger, now=NOW + LEASE + timedelta(seconds=1))
    hold(leases, again)
    assert not leases.holds(lost, 0)
    assert all(leases.holds(item, 0) for item in again)


def test_a_claim_made_during_a_renewal_is_kept(ledger: Ledger) -> None:
    """The answer to the renewal speaks of the claim before: what it says of that is not true of the new one."""

    class PutBackAndClaimedMeanwhile(Leases):
        again: Item

        def renew(self) -> None:
            real = self._ledger

            class Meanwhile:
                def renew(self, held: list[Item], now: datetime, lease: timedelta) -> set[int]:
                    ledger.settle([Outcome(one.id, one.fence, State.PENDING, attempted=False) for one in held], now)
                    alive = real.renew(held, now, lease)
                    (leases.again,) = [one for one in claim(ledger) if one.id == item.id]
                    hold(leases, [leases.again])
                    return alive

            self._ledger = Meanwhile()  # type: ignore[assignment]  # all of the ledger that a renewal uses
            super().renew()

    leases = PutBackAndClaimedMeanwhile(ledger, LEASE, lambda: NOW)
    item, _ = claim(ledger)
    hold(leases, [item])
    leases.renew()
    assert leases.holds(leases.again, 0)


def test_leases_outlive_their_length_while_the_work_goes_on_and_end_with_it(ledger: Ledger) -> None:
    lease = timedelta(seconds=0.6)
    start = time.monotonic()
    with Leases(ledger, lease, lambda: NOW + timedelta(seconds=time.monotonic() - start)) as leases:
        (item, _) = items = claim(ledger, lease=lease)
        hold(leases, items)
        seen = {_lease_until(ledger)}
        gives_up = start + 30
        while len(seen) < 4 and time.monotonic() < gives_up:
            seen.add(_lease_until(ledger))
        assert len(seen) == 4  # as claimed, and renewed three times: longer than the lease
    ended = _lease_until(ledger)
    assert claim(ledger, "another", ended) == []
    assert item.id in {one.id for one in claim(ledger, "another", ended + timedelta(seconds=1))}


def test_a_ledger_that_fails_for_a_moment_ends_no_lease(
    ledger: Ledger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lease = timedelta(seconds=0.3)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    with Leases(ledger, lease, lambda: NOW) as leases:
        hold(leases, claim(ledger, lease=lease))
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE work RENAME TO away")
        gives_up = time.monotonic() + 30
        while "leases could not be renewed" not in caplog.text:
            assert time.monotonic() < gives_up
            time.sleep(0.01)
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE away RENAME TO work")
        while not all(leases.holds(item, 0) for item in ledger.items(QUEUE)):
            assert time.monotonic() < gives_up
            time.sleep(0.01)
    engine.dispose()


def _lease_until(ledger: Ledger) -> datetime:
    until = min(item.lease_until for item in ledger.items(QUEUE) if item.lease_until is not None)
    assert isinstance(until, datetime)
    return until
