"""Ledgers of every form, and a few words for what is asked of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.core.work import Item, NewItem, Outcome, State
from pipelines_tests.servers import postgres

FORMS = ("postgresql", "sqlite")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEASE = timedelta(minutes=10)
MINUTE = timedelta(minutes=1)
HOUR = "2026-03-01-11:00"
QUEUE = "mobile/packages"
EXPORTS = "aae/packages"


def open_at(url: str) -> Ledger:
    """The ledger at a URL of the fixture ``ledger_url``, in any process."""
    return open_ledger(url, postgres.password() if urlsplit(url).scheme == "postgresql" else None)


def new(name: str = "a.json", version: str = "1", **facts: Any) -> NewItem:
    return NewItem(**{"queue": QUEUE, "name": name, "version": version, "partition": HOUR, "size": 10, **facts})


def release(version: str = "sha", name: str = "a.parquet", **facts: Any) -> NewItem:
    return new(name, version, queue=EXPORTS, **facts)


def claim(ledger: Ledger, queue: str = QUEUE, *, now: datetime = NOW, limit: int = 100, **more: Any) -> list[Item]:
    return ledger.claim(queue, owner="run", limit=limit, now=now, lease=LEASE, **more)


def end(item: Item, state: State = State.SETTLED, **more: Any) -> Outcome:
    return Outcome(item.id, item.fence, state, **more)


def states(ledger: Ledger, queue: str = QUEUE) -> dict[str, State]:
    return {f"{item.name} {item.version}": item.state for item in ledger.items(queue)}


def settle_first(ledger: Ledger, *releases: NewItem, now: datetime = NOW, made_with: str | None = "m1") -> Item:
    """Claim the one due item of the queue and settle it with these releases."""
    (item,) = claim(ledger, now=now)
    assert ledger.settle([end(item, made_with=made_with, releases=releases)], now) == {item.id}
    return item
