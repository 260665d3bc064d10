"""What the tests of delivery share: released objects, a stand-in to send them to, a clock to set, runs to kill."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.https import Credentials
from pipelines.adapters.ledger import Ledger, Span, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects, open_objects
from pipelines.core.circuit import Circuit
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, NewItem, State
from pipelines.domains.aae.delivering import Delivered, Delivery, Terms
from pipelines.sandbox.aae import Aae
from pipelines.sandbox.certificates import Certificates
from pipelines_tests.processes import Child, elsewhere

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = "2026-03-01-11:00"
QUEUE = "aae/packages"
DESTINATION = "sandbox://aae"
KEY = "a-key-of-tests"
PARQUET = "application/octet-stream"
POLICY = RetryPolicy(attempts=3, start=30, factor=4, cap=3600, jitter=0)
TERMS = Terms(4, timedelta(seconds=90), 5, 60, POLICY)


@dataclass
class Site:
    """A ledger and a lake under one folder, the endpoint that objects are released for, and the time."""

    folder: Path
    endpoint: Endpoint
    now: datetime = NOW
    ledger: Ledger = field(init=False)
    lake: Objects = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = open_ledger(f"sqlite:///{self.folder / 'ledger.db'}")
        self.lake = open_objects((self.folder / "lake").as_uri())

    def release(self, *names: str, partition: str = HOUR, destination: str = DESTINATION) -> None:
        """Store these objects and release them, as whatever verified them does."""
        items = []
        for name in names:
            body = body_of(name)
            self.lake.put(key_of(name), body)
            detail = {"key": key_of(name), "name": name, "content_type": PARQUET}
            sha256 = hashlib.sha256(body).hexdigest()
            items.append(NewItem(QUEUE, name, sha256, partition, len(body), destination=destination, detail=detail))
        self.ledger.take_in(items, self.now)

    def deliver(
        self,
        *,
        lake: Objects | None = None,
        endpoint: Endpoint | None = None,
        span: Span | None = None,
        **terms: Any,
    ) -> Delivered:
        """One run, at the time of the site."""
        lake, endpoint = lake or self.lake, endpoint or self.endpoint
        run = Delivery(self.ledger, lake, endpoint, QUEUE, replace(TERMS, **terms), owner="run", now=lambda: self.now)
        return run.run(span)

    def later(self, **time: float) -> None:
        """The clock goes on."""
        self.now += timedelta(**time)

    def items(self) -> dict[str, Item]:
        """Every item of the queue by its name."""
        return {item.name: item for item in self.ledger.items(QUEUE)}

    def states(self) -> Counter[State]:
        """How many items stand in which state."""
        return Counter(item.state for item in self.items().values())

    def circuit(self) -> Circuit:
        """The circuit of the endpoint, as the next run finds it."""
        return self.ledger.circuit(f"{QUEUE} {DESTINATION}")


def key_of(name: str) -> str:
    """Where an object is in the lake."""
    return f"mobile/packages/{name}"


def body_of(name: str) -> bytes:
    """What is in an object: something of its own."""
    return f"the bytes of {name}".encode() * 50


def endpoint_of(aae: Aae, certificates: Certificates, limits: Limits | None = None) -> Endpoint:
    """The way to a stand-in."""
    return Endpoint(DESTINATION, aae.url, credentials_of(certificates), limits or Limits(4, 2, 3))


def credentials_of(certificates: Certificates) -> Credentials:
    """What the stand-in takes."""
    return Credentials(SecretStr(KEY), certificates.client.read_bytes(), authority=certificates.authority.read_bytes())


def names_received(aae: Aae) -> list[str]:
    """The names of all requests so far, in their order."""
    return [one.name for one in aae.received()]


def run_elsewhere(
    site: Site,
    certificates: Certificates,
    *,
    owner: str,
    now: datetime | None = None,
    lease_seconds: float = 90,
    send_seconds: float = 5,
    connections: int = 4,
) -> AbstractContextManager[Child]:
    """A run over what is due in a process of its own, at one time for good or by the real clock."""
    terms = Terms(connections, timedelta(seconds=lease_seconds), send_seconds, 60, POLICY)
    return elsewhere(_deliver, site.folder, site.endpoint.url, certificates.folder, owner, now, terms)


def _deliver(folder: Path, url: str, certificates: Path, owner: str, now: datetime | None, terms: Terms) -> None:
    limits = Limits(terms.connections, terms.send_seconds / 2, terms.send_seconds / 2)
    site = Site(folder, Endpoint(DESTINATION, url, credentials_of(Certificates(certificates)), limits))
    clock: Callable[[], datetime] = (lambda: now) if now else utc_now
    Delivery(site.ledger, site.lake, site.endpoint, QUEUE, terms, owner=owner, now=clock).run()
