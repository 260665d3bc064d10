"""A deployment of residents below one folder: sheets in a drive, sent to the API, written back, receipts of all."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial

from pydantic import SecretStr

from pipelines.adapters.drive import Drive, open_drive
from pipelines.adapters.here_to_help import HereToHelp, open_here_to_help
from pipelines.domains.residents import intake
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.receipts import write_day
from pipelines.domains.residents.sheets import RECEIPTS, Work, outcomes_queue
from pipelines.domains.residents.terms import Terms
from pipelines.domains.residents.writing import Writing
from pipelines.lost import is_lost, refuse_if_lost
from pipelines_tests.crashes.landings import CANARY
from pipelines_tests.crashes.steps import watch, watch_opened
from pipelines_tests.crashes.world import World
from pipelines_tests.domains.mobile.stages import HOUR
from pipelines_tests.domains.residents.council import KEY, SECRET
from pipelines_tests.domains.residents.people import cells

PLAYED = (FEEDS["self_isolation"], FEEDS["contact_tracing"])
"""One with notes and an extra case, and one whose note goes with its request."""

SHEET = f"{CANARY} monday.csv"


class Residents(World):
    """The runs of such a deployment; the place's URL is that of the API's stand-in."""

    @property
    def drive(self) -> Drive:
        return watch(open_drive(self.environment.drive, quiet=timedelta(0)), Drive, self.step)

    # What staff do

    def drop(self, sheets: Mapping[str, list[dict[str, str]]]) -> None:
        """Put a sheet into each feed's inbound folder, whole at once, in the place of the one before if it differs."""
        folder = self.place.root / "drive"
        for feed in PLAYED:
            inbound = folder / feed.name / "inbound"
            inbound.mkdir(parents=True, exist_ok=True)
            content = _csv(feed, sheets[feed.name])
            if (inbound / SHEET).exists() and (inbound / SHEET).read_bytes() == content:
                continue
            (folder / "fresh").write_bytes(content)
            (folder / "fresh").rename(inbound / SHEET)

    # What sensors start

    def look(self) -> None:
        """Take in whatever is new."""
        if not is_lost(self.ledger, self.lake):
            intake.take_in(PLAYED, self.drive, self.ledger, self._destination, SECRET, self.now)

    def send(self, feed: Feed) -> None:
        """Send the sheets that are due."""
        refuse_if_lost(self.ledger, self.lake)
        terms = Terms(2, self.lease, 15, 30, self.policy)
        work = Work(
            *(feed, self.drive, self.ledger, self._open_api, terms, SECRET, frozenset(), self.owner),
            now=lambda: self.now,
        )
        self._work_through(sheets_queue(feed), lambda: work.outcome, destination=self._destination)

    def write_back(self, feed: Feed) -> None:
        """Write the outcomes that are due."""
        writing = Writing(feed, self.drive, self.ledger, self.policy, SECRET, frozenset(), lambda: self.now)
        self._work_through(outcomes_queue(feed), lambda: writing.outcome)

    def write_receipts(self) -> None:
        """Write the receipts that are asked for."""
        refuse_if_lost(self.ledger, self.lake)
        self._remake(RECEIPTS, partial(write_day, self.lake, self.ledger))

    @property
    def jobs(self) -> Mapping[str, Callable[[], None]]:
        """What works on each queue, in the order in which work flows."""
        return {
            **{sheets_queue(feed): partial(self.send, feed) for feed in PLAYED},
            **{outcomes_queue(feed): partial(self.write_back, feed) for feed in PLAYED},
            RECEIPTS: self.write_receipts,
        }

    @property
    def _destination(self) -> str:
        return self.environment.here_to_help

    def _open_api(self) -> AbstractAsyncContextManager[HereToHelp]:
        opening = open_here_to_help(self.place.url, SecretStr(KEY), connections=2, calls_per_second=None)
        return watch_opened(opening, HereToHelp, self.step)


def _csv(feed: Feed, rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, feed.needed)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _isolating(number: int, name: str, **changes: str) -> dict[str, str]:
    """Who asks for support; all that tells who it is follows from the number."""
    own = {"NHS Number": f"{9_100_000_000 + number}", "Phone": f"079{number:08}", "Phone2": f"020{number:08}"}
    texts = {"Email": f"{CANARY}-{number}@sample.test", "Comments": f"{CANARY} about {name}"}
    day = {"ID": f"{5_000_000 + number}", "Surname": f"{CANARY}-{name}", "Date Tested": f"{HOUR:%d/%m/%Y}"}
    return cells(FEEDS["self_isolation"], own | texts | day | changes)


def _traced(number: int, name: str, **changes: str) -> dict[str, str]:
    own = {"NHS Number": "", "Phone": f"079{number:08}", "Account ID": f"dd{number:08}"}
    texts = {"Comments": f"{CANARY} about {name}", "Surname": f"{CANARY}-{name}"}
    return cells(FEEDS["contact_tracing"], own | texts | {"Date Tested": f"{HOUR:%d/%m/%Y}"} | changes)


_BEN = _isolating(2, "Ben", **{"LA Support Required": "1", "LA Support Letter Received": "0"})

BEFORE: Mapping[str, list[dict[str, str]]] = {
    "self_isolation": [_isolating(1, "Ada", **{"Day 4 Outcome": "called"}), _BEN],
    "contact_tracing": [_traced(6, "Dan"), _traced(7, "Eve", **{"Account ID": ""})],
}
"""Somebody with notes and a case, somebody without a case, somebody whose note goes along, somebody without a key."""

EDITED: Mapping[str, list[dict[str, str]]] = {
    "self_isolation": [
        _isolating(1, "Ada", **{"Day 4 Outcome": "called", "Day 7 Outcome": "called again"}),
        _BEN,
        _isolating(3, "Cleo"),
        _isolating(3, "Cleo", ID="5000004", Comments=f"{CANARY} more"),
        _isolating(5, "Nobody", **{"Date of Birth": "31/02/2000"}),
        _BEN,
    ],
    "contact_tracing": [
        _traced(6, "Dan", Comments=f"{CANARY} more about Dan"),
        _traced(7, "Eve", **{"Account ID": ""}),
        _traced(8, "Faye", **{"Account ID": ""}),
        _traced(6, "Dan", Comments=f"{CANARY} more about Dan"),
    ],
}
"""Another note for two of them, one person in two rows, one row that is rejected, rows that are there twice."""

CORRECTED: Mapping[str, list[dict[str, str]]] = {
    feed: [row if row.get("Account ID") == "" else row | {"Email": f"{CANARY}@sample.test"} for row in rows]
    for feed, rows in BEFORE.items()
}
"""The same people with the same notes, and another address of whoever has a key."""
