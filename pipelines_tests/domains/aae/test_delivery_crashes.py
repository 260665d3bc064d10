"""A run that dies without a word: what it held is sent again, as the same object, and nothing is lost."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from pipelines.core.work import State
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.domains.aae.deliveries import Site, body_of, names_received, run_elsewhere


@pytest.mark.parametrize("again", [201, 409])
def test_killed_after_the_object_arrived_and_before_that_was_recorded(
    site: Site, aae: Aae, certificates: Certificates, again: int
) -> None:
    aae.behave(Behaviour(delay=0.7, times=1), Behaviour(status=again))
    site.release("a.parquet")
    with run_elsewhere(site, certificates, owner="killed", now=site.now) as child:
        _wait_until(lambda: site.states() == {State.CLAIMED: 1})
        with _nobody_writes(site):
            _wait_until(lambda: len(aae.received()) == 1)
            child.kill()
    assert site.states() == {State.CLAIMED: 1}

    site.later(seconds=90)
    assert site.deliver().outcomes == {}  # perhaps it still lives
    site.later(seconds=1)
    assert site.deliver().outcomes == {"settled": 1}
    first, second = aae.received()
    assert (first.name, first.sha256) == (second.name, second.sha256)
    item = site.items()["a.parquet"]
    assert (item.status, item.uncertain, item.attempts) == (again, True, 1)


def test_killed_at_any_moments_everything_arrives_and_nothing_is_recorded_twice(
    site: Site, aae: Aae, certificates: Certificates
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = [f"{number:03}.parquet" for number in range(100)]
    site.release(*names)
    aae.behave(Behaviour(delay=0.05))
    kills = 3
    for number in range(kills):
        with run_elsewhere(site, certificates, owner=f"killed {number}", now=site.now):
            time.sleep(chance.uniform(0.05, 0.6))  # the moment is what is tried
        site.later(seconds=91)
    recorded = site.states()[State.SETTLED]
    assert site.deliver().outcomes["settled"] == len(names) - recorded
    assert site.states() == {State.SETTLED: len(names)}
    received = names_received(aae)
    assert all(1 <= received.count(name) <= kills + 1 for name in names)
    assert all((aae.folder / "objects" / name).read_bytes() == body_of(name) for name in names)


@contextmanager
def _nobody_writes(site: Site) -> Iterator[None]:
    """Holds the ledger, so that a run can't record what it did."""
    engine = sa.create_engine(f"sqlite:///{site.folder / 'ledger.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
    engine.dispose()


def _wait_until(it_is_so: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + 30
    while not it_is_so():
        assert time.monotonic() < gives_up
        time.sleep(0.01)
