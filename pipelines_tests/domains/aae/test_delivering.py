"""A run of delivery: what leaves, what does not, and what is recorded of it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.https import Credentials
from pipelines.adapters.ledger import Span
from pipelines.adapters.objects import ObjectsUnavailable
from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Reason, State
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines_tests.domains.aae.deliveries import (
    DESTINATION,
    NOW,
    PARQUET,
    TERMS,
    Site,
    body_of,
    key_of,
    names_received,
)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_every_kind_of_success_is_a_delivery(site: Site, aae: Aae, status: int) -> None:
    aae.behave(Behaviour(status=status))
    site.release("a.parquet")
    done = site.deliver()
    assert done.outcomes == {"settled": 1}
    item = site.items()["a.parquet"]
    assert (item.state, item.status, item.reason, item.settled_at) == (State.SETTLED, status, None, NOW)
    (received,) = aae.received()
    assert (received.name, received.sha256, received.content_type) == ("a.parquet", item.version, PARQUET)


def test_what_was_delivered_is_not_sent_again(site: Site, aae: Aae) -> None:
    site.release("a.parquet", "b.parquet")
    site.deliver()
    site.later(days=1)
    site.release("a.parquet", "b.parquet")
    assert site.deliver().outcomes == {}
    assert sorted(names_received(aae)) == ["a.parquet", "b.parquet"]


def test_a_run_tells_what_it_did(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(status=400, names="b*"))
    site.release("a.parquet", partition="2026-03-01-09:00")
    site.release("b.parquet", partition="2026-03-01-10:00")
    done = site.deliver()
    assert done.outcomes == {"settled": 1, "dead": 1}
    assert done.bytes == len(body_of("a.parquet"))
    assert done.partitions == {"2026-03-01-09:00", "2026-03-01-10:00"}


def test_a_run_over_some_partitions_leaves_the_others(site: Site, aae: Aae) -> None:
    for hour in ("09", "10", "11"):
        site.release(f"{hour}.parquet", partition=f"2026-03-01-{hour}:00")
    done = site.deliver(span=Span("2026-03-01-10:00", "2026-03-01-10:00"))
    assert done.partitions == {"2026-03-01-10:00"}
    assert names_received(aae) == ["10.parquet"]


def test_what_is_bound_for_another_destination_never_leaves(site: Site, aae: Aae) -> None:
    """The address was changed while objects waited: what was released for the sandbox is not for the world."""
    site.release("a.parquet", destination="https://aae.example/c19appdata")
    site.release("b.parquet", destination=f"{DESTINATION}/")
    site.release("c.parquet")
    site.deliver()
    assert names_received(aae) == ["c.parquet"]
    assert site.states() == {State.PENDING: 2, State.SETTLED: 1}


def test_many_objects_leave_at_once_and_no_more_than_allowed(site: Site) -> None:
    connections, total = 3, 12
    counting, together = threading.Lock(), threading.Barrier(connections, timeout=20)
    now = most = 0

    class Counting(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            nonlocal now, most
            with counting:
                now += 1
                most = max(most, now)
            self.rfile.read(int(self.headers["Content-Length"]))
            together.wait()  # passes only if so many are under way at once
            time.sleep(0.1)  # for one too many to show itself
            with counting:
                now -= 1
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/c19appdata"
        # More connections than the run may use: the bound is the run's own.
        endpoint = Endpoint(DESTINATION, url, Credentials(SecretStr("key")), Limits(16, 5, 30))
        site.release(*(f"{number}.parquet" for number in range(total)))
        done = site.deliver(endpoint=endpoint, connections=connections)
        server.shutdown()
    assert done.outcomes == {"settled": total}
    assert most == connections


def test_a_run_ends_in_time_and_leaves_the_rest_as_it_was(site: Site, aae: Aae) -> None:
    aae.behave(Behaviour(delay=1.5))
    site.release(*(f"{number:02}.parquet" for number in range(40)))
    site.deliver(run_seconds=1, connections=2)
    assert site.states() == {State.SETTLED: 2, State.PENDING: 38}  # what was on its way, and nothing more
    assert len(aae.received()) == 2
    assert {item.attempts for item in site.items().values() if item.state is State.PENDING} == {0}
    aae.behave()
    site.deliver()
    assert sorted(names_received(aae)) == sorted(site.items())


def test_a_lease_that_does_not_outlast_a_request_is_refused() -> None:
    """Such a run would never dare to send, and claim the same objects again and again."""
    with pytest.raises(ValueError, match="one and a half times"):
        replace(TERMS, lease=timedelta(seconds=7), send_seconds=5)


# What we can't send


def test_altered_bytes_never_leave(site: Site, aae: Aae) -> None:
    site.release("a.parquet", "b.parquet")
    site.lake.put(key_of("a.parquet"), b"other bytes")
    site.deliver()
    assert names_received(aae) == ["b.parquet"]
    assert (site.items()["a.parquet"].state, site.items()["a.parquet"].reason) == (State.PENDING, Reason.ALTERED)
    for _ in range(2):
        site.later(hours=1)
        site.deliver()
    assert (site.items()["a.parquet"].state, site.items()["a.parquet"].reason) == (State.DEAD, Reason.ALTERED)
    assert names_received(aae) == ["b.parquet"]


def test_an_object_that_is_missing_does_not_leave_and_may_come_back(site: Site, aae: Aae) -> None:
    site.release("a.parquet")
    site.lake.delete(key_of("a.parquet"))
    site.deliver()
    assert aae.received() == []
    assert site.items()["a.parquet"].attempts == 1
    site.lake.put(key_of("a.parquet"), body_of("a.parquet"))
    site.later(hours=1)
    site.deliver()
    assert site.states() == {State.SETTLED: 1}


def test_a_store_that_fails_costs_our_object_an_attempt_and_never_the_system_its_circuit(site: Site, aae: Aae) -> None:
    names = [f"{number}.parquet" for number in range(8)]
    site.release(*names)
    site.deliver(lake=_Failing(site.folder))
    assert aae.received() == []
    assert not site.circuit().is_open
    assert {(item.attempts, item.reason) for item in site.items().values()} == {(1, Reason.UNREADABLE)}
    site.later(seconds=30)
    assert site.deliver().outcomes == {"settled": 8}


class _Failing(FileObjects):
    """A real store on a disk that fails on every read."""

    def __init__(self, folder: Path) -> None:
        super().__init__((folder / "lake").as_uri(), folder / "lake")

    def get(self, key: str, *, etag: str | None = None) -> bytes:
        raise ObjectsUnavailable(key)


def test_an_object_whose_reading_fails_stops_none_of_those_that_are_read_with_it(site: Site, aae: Aae) -> None:
    site.release("a.parquet", "b.parquet", "c.parquet")
    _spoil(site, "UPDATE work SET detail = json_set(detail, '$.key', '/no/../key') WHERE name = 'b.parquet'")
    with pytest.raises(ValueError, match="key"):
        site.deliver()
    assert sorted(names_received(aae)) == ["a.parquet", "c.parquet"]
    assert site.items()["b.parquet"].reason == Reason.INTERNAL


def test_an_error_of_our_own_stops_no_other_object_and_does_not_pass_for_success(site: Site, aae: Aae) -> None:
    """A name that no request can carry: found at each run, given up after the attempts, loud each time."""
    site.release("a.parquet", "b.parquet")
    _spoil(site, "UPDATE work SET detail = json_set(detail, '$.name', 'x/y') WHERE name = 'a.parquet'")
    for attempts in (1, 2, 3):
        with pytest.raises(ValueError, match="one path segment"):
            site.deliver()
        item = site.items()["a.parquet"]
        assert (item.attempts, item.reason) == (attempts, Reason.INTERNAL)
        site.later(hours=1)
    assert site.states() == {State.DEAD: 1, State.SETTLED: 1}
    assert names_received(aae) == ["b.parquet"]


def test_a_ledger_that_takes_no_receipts_ends_the_run_soon(site: Site, aae: Aae) -> None:
    """What is not recorded would be sent again: so nothing more is sent, and the error is the run's."""
    aae.behave(Behaviour(delay=0.05))
    site.release(*(f"{number:03}.parquet" for number in range(200)))
    _spoil(
        site,
        "CREATE TRIGGER full BEFORE UPDATE ON work WHEN NEW.state = 'settled' BEGIN SELECT RAISE(ABORT, 'full'); END",
    )
    with pytest.raises(sa.exc.DBAPIError, match="full"):
        site.deliver(connections=2)
    assert 0 < len(aae.received()) < 100
    _spoil(site, "DROP TRIGGER full")
    aae.behave()
    site.deliver()  # those of the run that failed are still held
    site.later(seconds=91)
    site.deliver()
    assert site.states() == {State.SETTLED: 200}
    assert len(list((aae.folder / "objects").iterdir())) == 200


def _spoil(site: Site, statement: str) -> None:
    engine = sa.create_engine(f"sqlite:///{site.folder / 'ledger.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
