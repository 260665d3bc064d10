"""Delivery of many small objects to an endpoint that takes its time, beside a client that sends one after another.

Here: the objects, the stand-in for the other side, and both ways. Not here: how often they are run and compared.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPSConnection
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import quote, urlsplit

from pipelines.adapters.endpoints import Limits
from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import open_objects
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import NewItem
from pipelines.domains.aae.delivering import Delivery, Terms
from pipelines.sandbox.aae import Behaviour
from pipelines.sandbox.addresses import sandbox_endpoint, sandbox_running

ANSWER_SECONDS = 0.02
OBJECT_BYTES = 1_500
"""An exported event's size, or so."""

CONNECTIONS = 64

_DESTINATION = "sandbox://aae"
_QUEUE = "aae/events"
_HOUR = "2025-06-05-04:00"
_KIND = "application/json"
_LIMITS = Limits(CONNECTIONS, 10, 30)
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Sent:
    """How many objects the other side took in, and the seconds in which it did: by the clock, and of our processor."""

    objects: int
    seconds: float
    cpu: float


def release(folder: Path, count: int, url: str = "") -> None:
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
                items.append(NewItem(_QUEUE, name, sha256, _HOUR, len(body), destination=_DESTINATION, detail=detail))
            ledger.take_in(items, utc_now())


@contextmanager
def other_side(folder: Path) -> Iterator[None]:
    """Run the stand-in in a process of its own; it keeps every object, and answers each request after a while."""
    context = get_context("spawn")
    ready, over = context.Event(), context.Event()
    process = context.Process(target=_stand_in, args=(folder, ready, over))
    process.start()
    try:
        while not ready.wait(0.1):
            if not process.is_alive():
                raise RuntimeError("the stand-in did not start")
        yield
    finally:
        over.set()
        process.join()


def deliver(folder: Path, sandbox: Path, url: str = "") -> Sent:
    """Ours: claimed under leases, read, checked by hash, sent over many connections, each receipt in the ledger."""
    endpoint = sandbox_endpoint(_DESTINATION, sandbox, _LIMITS)
    lake = open_objects(url or (folder / "lake").as_uri())
    with closing(open_ledger(_ledger(folder))) as ledger:
        terms = Terms(CONNECTIONS, timedelta(seconds=90), 30, 3600, RetryPolicy())
        run = Delivery(ledger, lake, endpoint, _QUEUE, terms, owner="benchmark")
        begun, cpu = time.perf_counter(), time.process_time()
        outcomes = run.run().outcomes
        return Sent(outcomes["settled"], time.perf_counter() - begun, time.process_time() - cpu)


def send_serially(folder: Path, sandbox: Path, count: int) -> Sent:
    """The naive way: one connection, kept alive, and one object after another; nothing checked, nothing recorded."""
    endpoint = sandbox_endpoint(_DESTINATION, sandbox, _LIMITS)
    address = urlsplit(endpoint.url)
    trust = ssl.create_default_context(cafile=sandbox / "certificates" / "authority.pem")
    trust.load_cert_chain(sandbox / "certificates" / "client.pem")
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


def _stand_in(folder: Path, ready: Event, over: Event) -> None:
    with sandbox_running(folder, utc_now()) as aae:
        aae.behave(Behaviour(delay=ANSWER_SECONDS))
        ready.set()
        over.wait()
