"""Two runs at once: no object leaves twice, and a run that lost its claim keeps its hands off."""

from __future__ import annotations

import time
from collections import Counter

from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import State
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.domains.aae.deliveries import Site, names_received, run_elsewhere


def test_two_runs_of_one_partition_at_once_send_each_object_exactly_once(
    site: Site, aae: Aae, certificates: Certificates
) -> None:
    names = [f"{number:03}.parquet" for number in range(200)]
    site.release(*names)
    aae.behave(Behaviour(delay=0.05))
    with (
        run_elsewhere(site, certificates, owner="one", connections=8) as one,
        run_elsewhere(site, certificates, owner="two", connections=8) as two,
    ):
        one.wait()
        two.wait()
    assert Counter(names_received(aae)) == Counter(names)
    assert site.states() == {State.SETTLED: 200}
    assert {item.owner for item in site.items().values()} == {"one", "two"}


def test_a_run_that_was_frozen_beyond_its_lease_sends_and_records_nothing_of_what_it_held(
    site: Site, aae: Aae, certificates: Certificates
) -> None:
    """A machine that sleeps, a debugger, a long pause of the disk: when it goes on, another run has its objects."""
    site.release("a.parquet", "b.parquet")
    aae.behave(Behaviour(delay=1, times=1))
    with run_elsewhere(site, certificates, owner="frozen", lease_seconds=1.5, send_seconds=1, connections=1) as child:
        while site.states()[State.CLAIMED] < 2:
            time.sleep(0.01)
        child.freeze()  # one object may be on its way, the other waits for its turn
        while any(item.lease_until is None or item.lease_until >= utc_now() for item in site.items().values()):
            time.sleep(0.05)
        site.now = utc_now()
        assert site.deliver().outcomes == {"settled": 2}
        child.go_on()
        child.wait()
    received = Counter(names_received(aae))
    assert received["b.parquet"] == 1
    assert received["a.parquet"] <= 2
    assert {(item.owner, item.uncertain) for item in site.items().values()} == {("run", True)}
    assert site.states() == {State.SETTLED: 2}
