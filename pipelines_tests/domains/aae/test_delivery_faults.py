"""What becomes of objects when the other side, or the way to it, fails: nothing is lost, nothing is hammered."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipelines.adapters.endpoints import Limits
from pipelines.core.circuit import TRIPS_AFTER
from pipelines.core.work import Reason, State
from pipelines.sandbox.aae import Aae, Behaviour, Cut
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.domains.aae.deliveries import NOW, POLICY, Site, endpoint_of, names_received

MANY = [f"{number:02}.parquet" for number in range(12)]


# The object is at fault


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (301, Reason.REDIRECTED),
        (307, Reason.REDIRECTED),
        (400, Reason.REFUSED),
        (409, Reason.CONFLICT),
        (413, Reason.REFUSED),
        (422, Reason.REFUSED),
    ],
)
def test_what_concerns_the_object_is_a_dead_letter_at_once_and_stops_no_other(
    site: Site, aae: Aae, status: int, reason: Reason
) -> None:
    aae.behave(Behaviour(status=status, names="bad*", location=f"{aae.url}/elsewhere.parquet"))
    site.release("bad.parquet", "good.parquet")
    assert site.deliver().outcomes == {"dead": 1, "settled": 1}
    item = site.items()["bad.parquet"]
    assert (item.state, item.status, item.reason, item.attempts) == (State.DEAD, status, reason, 1)
    assert not site.circuit().is_open
    site.later(days=1)
    site.deliver()
    assert sorted(names_received(aae)) == ["bad.parquet", "good.parquet"]  # a redirect is not followed either


@pytest.mark.parametrize("status", [404, 500, 503])
def test_one_object_that_fails_among_successes_is_tried_again_by_the_policy_then_given_up(
    site: Site, aae: Aae, status: int
) -> None:
    aae.behave(Behaviour(status=status, names="bad*"))
    due = NOW
    for attempts, pause in ((1, 30), (2, 120)):
        site.now = due
        site.release("bad.parquet", f"good-{attempts}.parquet")
        site.deliver()
        item = site.items()["bad.parquet"]
        due += timedelta(seconds=pause)
        assert (item.state, item.attempts, item.due_at) == (State.PENDING, attempts, due)
        site.now = due - timedelta(microseconds=1)
        assert site.deliver().outcomes == {}
    site.now = due
    site.deliver()
    item = site.items()["bad.parquet"]
    assert (item.state, item.attempts, item.reason) == (State.DEAD, 3, Reason.TOO_MANY_ATTEMPTS)
    assert item.status == status
    assert names_received(aae).count("bad.parquet") == POLICY.attempts


@pytest.mark.parametrize("status", [500, 503, 404])
def test_an_object_that_fails_once_is_delivered_the_next_time(site: Site, aae: Aae, status: int) -> None:
    aae.behave(Behaviour(status=status, times=1))
    site.release("a.parquet")
    assert site.deliver().outcomes == {"pending": 1}
    site.later(seconds=30)
    assert site.deliver().outcomes == {"settled": 1}


# The system is at fault


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("401", Reason.NOT_ALLOWED),
        ("403", Reason.NOT_ALLOWED),
        ("no certificate", Reason.TLS),
        ("a stranger's certificate", Reason.TLS),
        ("an authority we don't trust", Reason.TLS),
        ("404", Reason.NOT_FOUND),
        ("503", Reason.SERVER_ERROR),
        ("cut", Reason.CONNECTION),
    ],
)
def test_what_concerns_the_system_opens_the_circuit_and_costs_no_object(
    site: Site, aae: Aae, strangers: Certificates, fault: str, reason: Reason
) -> None:
    """Opened, silent until the probe, one probe at a time, and all that waited goes after the first success."""
    credentials = site.endpoint.credentials
    wrong = {
        "no certificate": replace(credentials, certificate=None),
        "a stranger's certificate": replace(credentials, certificate=strangers.client.read_bytes()),
        "an authority we don't trust": replace(credentials, authority=strangers.authority.read_bytes()),
    }
    endpoint = replace(site.endpoint, credentials=wrong.get(fault, credentials))
    if fault not in wrong:
        aae.behave(Behaviour(cut=Cut.BEFORE) if fault == "cut" else Behaviour(status=int(fault)))
    site.release(*MANY)
    site.deliver(endpoint=endpoint)
    circuit = site.circuit()
    assert (circuit.is_open, circuit.reason) == (True, reason)
    assert circuit.probe_at == NOW + timedelta(seconds=30)
    assert site.states() == {State.PENDING: len(MANY)}
    # Only the failures that it took to notice may count; whatever fails from then on does not.
    lost = sum(item.attempts for item in site.items().values())
    assert lost == (0 if reason in (Reason.NOT_ALLOWED, Reason.TLS) else TRIPS_AFTER - 1)
    sent = len(aae.received())
    assert sent <= TRIPS_AFTER + 3  # with those that were on their way

    site.later(seconds=29)
    assert site.deliver(endpoint=endpoint).outcomes == {}
    assert len(aae.received()) == sent

    site.later(seconds=1)
    probed = site.deliver(endpoint=endpoint)
    assert probed.outcomes == {"pending": 1}
    assert len(aae.received()) <= sent + 1
    assert site.circuit().probe_at == site.now + timedelta(seconds=120)
    assert sum(item.attempts for item in site.items().values()) == lost

    aae.behave()
    before = len(aae.received())
    site.later(seconds=120)
    assert site.deliver().outcomes == {"settled": len(MANY)}
    assert sorted(names_received(aae)[before:]) == MANY
    assert not site.circuit().is_open


def test_a_probe_that_fails_lets_another_object_probe_the_next_time(site: Site, aae: Aae) -> None:
    """Else one object that can never be delivered would keep the circuit open for ever."""
    aae.behave(Behaviour(status=401))
    site.release("a.parquet", "b.parquet", "c.parquet")
    site.deliver(connections=1)
    probes: list[str] = []
    for _ in range(3):
        site.later(hours=1)
        before = len(aae.received())
        site.deliver()
        probes += names_received(aae)[before:]
    assert sorted(probes) == ["a.parquet", "b.parquet", "c.parquet"]


def test_an_object_refused_by_the_system_that_is_back_closes_the_circuit(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=403, times=1), Behaviour(status=400, times=1))
    site.release(*MANY)
    site.deliver(connections=1)
    site.later(seconds=30)
    assert site.deliver().outcomes == {"dead": 1, "settled": len(MANY) - 1}


def test_fewer_failures_in_a_row_than_five_leave_the_circuit_closed(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=500, times=TRIPS_AFTER - 1))
    site.release(*MANY)
    site.deliver(connections=1)
    assert not site.circuit().is_open
    assert site.states() == {State.PENDING: TRIPS_AFTER - 1, State.SETTLED: len(MANY) - TRIPS_AFTER + 1}


# Asked to wait


def test_a_wait_in_seconds_is_kept(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=429, retry_after="600", times=1))
    site.release("a.parquet")
    site.deliver()
    assert site.items()["a.parquet"].due_at == NOW + timedelta(seconds=600)
    assert site.items()["a.parquet"].reason == Reason.BUSY
    site.later(seconds=599)
    site.deliver()
    assert len(aae.received()) == 1
    site.later(seconds=1)
    assert site.deliver().outcomes == {"settled": 1}


def test_a_wait_until_a_moment_is_kept(site: Site, aae: Aae) -> None:
    moment = (datetime.now(UTC) + timedelta(hours=2)).replace(microsecond=0)
    aae.behave(Behaviour(status=503, retry_after=format_datetime(moment, usegmt=True)))
    site.release("a.parquet")
    before = datetime.now(UTC)
    site.deliver()
    waits = site.items()["a.parquet"].due_at - NOW
    assert moment - datetime.now(UTC) <= waits <= moment - before


def test_a_wait_shorter_than_our_own_pause_hurries_nothing(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=429, retry_after="1"))
    site.release("a.parquet")
    site.deliver()
    assert site.items()["a.parquet"].due_at == NOW + timedelta(seconds=30)


def test_being_asked_to_wait_for_every_object_opens_the_circuit_for_that_long(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=429, retry_after="60"))
    site.release(*MANY)
    site.deliver()
    assert site.circuit().probe_at == NOW + timedelta(seconds=60)
    assert {item.state for item in site.items().values()} == {State.PENDING}
    assert sum(item.attempts for item in site.items().values()) < len(MANY)


# No answer


@pytest.mark.parametrize("cut", list(Cut))
def test_after_a_cut_the_same_object_is_sent_under_the_same_name_and_recorded_once(
    site: Site, aae: Aae, cut: Cut
) -> None:
    aae.behave(Behaviour(cut=cut, times=1))
    site.release("a.parquet")
    site.deliver()
    item = site.items()["a.parquet"]
    assert (item.state, item.reason, item.uncertain) == (State.PENDING, Reason.CONNECTION, True)
    site.later(seconds=30)
    site.deliver()
    first, second = aae.received()
    assert (first.name, first.sha256) == (second.name, second.sha256) == ("a.parquet", item.version)
    assert site.states() == {State.SETTLED: 1}


def test_no_answer_in_time_is_tried_again(site: Site, aae: Aae, certificates: Certificates) -> None:
    aae.behave(Behaviour(delay=1, times=1))
    site.release("a.parquet")
    site.deliver(endpoint=endpoint_of(aae, certificates, Limits(4, 0.3, 0.3)))
    item = site.items()["a.parquet"]
    assert (item.reason, item.uncertain, item.attempts) == (Reason.TIMEOUT, True, 1)
    site.later(seconds=30)
    assert site.deliver().outcomes == {"settled": 1}


def test_nobody_at_the_address_is_a_failed_connection_and_nothing_was_received(site: Site) -> None:
    site.release("a.parquet")
    site.deliver(endpoint=replace(site.endpoint, url="https://127.0.0.1:9/c19appdata"))
    item = site.items()["a.parquet"]
    assert (item.state, item.reason, item.uncertain) == (State.PENDING, Reason.CONNECTION, False)


@pytest.mark.parametrize(
    "lost",
    [Behaviour(cut=Cut.AFTER, times=1), Behaviour(status=502, times=1), Behaviour(status=504, times=1)],
    ids=["cut after it was kept", "502", "504"],
)
def test_already_there_after_an_attempt_of_unknown_outcome_is_a_delivery(site: Site, aae: Aae, lost: Behaviour) -> None:
    aae.behave(lost, Behaviour(status=409))
    site.release("a.parquet")
    site.deliver()
    site.later(seconds=30)
    assert site.deliver().outcomes == {"settled": 1}
    assert site.items()["a.parquet"].status == 409


def test_already_there_after_no_answer_in_time_is_a_delivery(site: Site, aae: Aae, certificates: Certificates) -> None:
    aae.behave(Behaviour(delay=1, times=1), Behaviour(status=409))
    site.release("a.parquet")
    site.deliver(endpoint=endpoint_of(aae, certificates, Limits(4, 0.3, 0.3)))
    site.later(seconds=30)
    assert site.deliver().outcomes == {"settled": 1}


def test_already_there_after_an_answered_failure_is_a_conflict(site: Site, aae: Aae) -> None:
    """The server said that it failed: what is there under this name is not known to be ours."""
    aae.behave(Behaviour(status=503, times=1), Behaviour(status=409))
    site.release("a.parquet")
    site.deliver()
    site.later(seconds=30)
    site.deliver()
    assert (site.items()["a.parquet"].state, site.items()["a.parquet"].reason) == (State.DEAD, Reason.CONFLICT)
