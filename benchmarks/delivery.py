"""Delivery of many small objects to an endpoint that takes its time, beside a client that sends one after another.

Here: the objects, and both ways. Not here: the other side, and how often they are run and compared.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import quote, urlsplit

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import open_objects
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import NewItem
from pipelines.domains.aae.delivering import Delivery, Terms
from pipelines.sandbox.certificates import Certificates

ANSWER_SECONDS = 0.02
OBJECT_BYTES = 1_500
"""An exported event's size, or so."""

LIMITS = Limits(connections=128, connect_seconds=10, total_seconds=30)

_QUEUE = "aae/events"
_HOUR = "2025-06-05-04:00"
_KIND = "application/json"
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Sent:
    """How many objects the other side took in, and the seconds in which it did: by the clock, and of our processor."""

    objects: int
    seconds: float
    cpu: float


def release(folder: Path, count: int, destination: str, url: str = "") -> None:
    """Put objects into a lake (``url``, else one in the folder) and release them in a ledger, as verified ones are."""
    lake = open_objects(url or (folder / "lake").as_uri())
    with closing(open_ledger(_ledger(folder))) as ledger:
        for start in range(0, count, _AT_ONCE):
            items = []
            for number in range(start, min(start + _AT_ONCE, count)):
                name = f"{number:07}.json"
                body = name.encode() * (OBJECT_BYTES // len(name))
                lake.put(name, body)
                detail = {"key": name, "name": name, "content_type": _KIND}
                sha256 = hashlib.sha256(body).hexdigest()
                items.append(NewItem(_QUEUE, name, sha256, _HOUR, len(body), destination=destination, detail=detail))
            ledger.take_in(items, utc_now())


def deliver(folder: Path, endpoint: Endpoint, url: str = "") -> Sent:
    """Ours: claimed under leases, read, checked by hash, sent over many connections, each receipt in the ledger."""
    lake = open_objects(url or (folder / "lake").as_uri())
    with closing(open_ledger(_ledger(folder))) as ledger:
        terms = Terms(LIMITS.connections, timedelta(seconds=90), 30, 3600, RetryPolicy())
        run = Delivery(ledger, lake, endpoint, _QUEUE, terms, owner="benchmark")
        begun, cpu = time.perf_counter(), time.process_time()
        outcomes = run.run().outcomes
        return Sent(outcomes["settled"], time.perf_counter() - begun, time.process_time() - cpu)


def send_serially(folder: Path, endpoint: Endpoint, certificates: Certificates, count: int) -> Sent:
    """The naive way: one connection, kept alive, and one object after another; nothing checked, nothing recorded."""
    address = urlsplit(endpoint.url)
    trust = ssl.create_default_context(cafile=certificates.authority)
    trust.load_cert_chain(certificates.client)
    key = endpoint.credentials.subscription_key.get_secret_value()
    headers = {"Ocp-Apim-Subscription-Key": key, "Content-Type": _KIND}
    sent = 0
    begun, cpu = time.perf_counter(), time.process_time()
    with closing(HTTPSConnection(address.netloc, context=trust, timeout=30)) as connection:
        for path in sorted((folder / "lake").glob("*.json"))[:count]:
            connection.request("PUT", f"{address.path}/{quote(path.name)}", path.read_bytes(), headers)
            answer = connection.getresponse()
            answer.read()
            sent += answer.status == 201
    return Sent(sent, time.perf_counter() - begun, time.process_time() - cpu)


def _ledger(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"
