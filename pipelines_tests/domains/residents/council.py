"""What the tests of sending share: a drive, a ledger and an API, sheets to drop, a clock to set, runs to kill."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import InitVar, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pipelines.adapters.drive import Drive
from pipelines.adapters.here_to_help import open_here_to_help
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, State
from pipelines.domains.residents import intake
from pipelines.domains.residents.entries import effects_queue, sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.sheets import RESULTS, Work, outcomes_queue
from pipelines.domains.residents.terms import Terms
from pipelines.domains.residents.writing import Writing
from pipelines.sandbox.here_to_help import HereToHelp
from pipelines_tests.domains.residents.people import cells
from pipelines_tests.domains.residents.staff import InFolders, Staff
from pipelines_tests.processes import Child, elsewhere

KEY = "a-key-of-tests"
SECRET = bytes(range(32))
NOW = datetime(2021, 11, 20, 12, tzinfo=UTC)
POLICY = RetryPolicy(attempts=3, start=30, factor=4, cap=3600, jitter=0)
TERMS = Terms(8, timedelta(seconds=60), 20, 30, POLICY)


@dataclass
class Council:
    """A ledger under a folder, a drive, below it if there is no other, the API's address, and the time."""

    folder: Path
    url: str
    feed: Feed
    now: datetime = NOW
    terms: Terms = TERMS
    connect_seconds: float = 5
    total_seconds: float = 10
    of_staff: InitVar[Staff | None] = None
    staff: Staff = field(init=False)
    ledger: Ledger = field(init=False)
    drive: Drive = field(init=False)

    def __post_init__(self, of_staff: Staff | None) -> None:
        self.ledger = open_ledger(f"sqlite:///{self.folder / 'ledger.db'}")
        self.staff = of_staff or InFolders(self.folder / "drive")
        self.drive = self.staff.drive

    @property
    def queue(self) -> str:
        """Of the feed's sheets."""
        return sheets_queue(self.feed)

    def drop(self, name: str, *rows: Mapping[str, str], more: Sequence[str] = ()) -> None:
        """Put a sheet into the inbound folder, in the place of one of that name: sound rows with changes."""
        full = [cells(self.feed, row) for row in rows]
        header = [*self.feed.needed, *more]
        self.staff.drop(self.feed.name, name, [header, *([one.get(column, "") for column in header] for one in full)])

    def put(self, name: str, content: bytes) -> None:
        """Put any file into the inbound folder, whole at once."""
        self.staff.put(self.feed.name, name, content)

    def look(self, seconds: float = math.inf) -> intake.Intake:
        """What a tick does: sheets into the ledger; raises why not all of them could be seen."""
        taken = self.take_in(seconds)
        if taken.failed is not None:
            raise taken.failed
        return taken

    def take_in(self, seconds: float = math.inf) -> intake.Intake:
        """The same, whether or not all of them could be seen."""
        taken = intake.take_in([self.feed], self.drive, self.ledger, self.url, SECRET, self.now, seconds)
        return taken[self.feed.name]

    def work(self, owner: str = "run", *, excluded: frozenset[str] = frozenset(), **facts: Any) -> Work:
        """How sheets are sent."""
        return Work(
            self.feed,
            self.drive,
            self.ledger,
            partial(
                open_here_to_help,
                self.url,
                SecretStr(KEY),
                connections=self.terms.connections,
                calls_per_second=None,
                connect_seconds=self.connect_seconds,
                total_seconds=self.total_seconds,
            ),
            self.terms,
            SECRET,
            excluded,
            owner,
            **{"now": lambda: self.now, **facts},
        )

    def send(self, owner: str = "run", **facts: Any) -> list[Item]:
        """One run over the sheets that are due; returns what they became."""
        work = self.work(owner, **facts)
        shift = Shift(owner, self.terms.lease, now=work.now)
        made = work_through(
            self.ledger,
            self.queue,
            lambda: work.outcome,
            POLICY,
            shift,
            destination=self.url,
            releases=work.requests,
        )
        ids = [item.id for item in made]
        return [item for item in self.sheets() if item.id in ids]

    def writing(self, excluded: frozenset[str] = frozenset()) -> Writing:
        """How outcomes are written."""
        return Writing(self.feed, self.drive, self.ledger, POLICY, SECRET, excluded, lambda: self.now)

    def write(self, excluded: frozenset[str] = frozenset()) -> list[Item]:
        """One run over the outcomes that are due; returns what they became."""
        shift = Shift("writer", self.terms.lease, now=lambda: self.now)
        writing = self.writing(excluded)
        made = work_through(self.ledger, outcomes_queue(self.feed), lambda: writing.outcome, POLICY, shift)
        ids = [item.id for item in made]
        return [item for item in self.outcomes() if item.id in ids]

    def outcomes(self) -> list[Item]:
        """Every outcome that was asked for."""
        return sorted(self.ledger.items(outcomes_queue(self.feed)), key=lambda item: item.id)

    def told(self, outcome: str, tab: str) -> list[dict[str, str]]:
        """The rows of a tab of an outcome, by its columns; the last of those that stand twice."""
        header, *rows = self.staff.tab(self.feed.name, outcome, tab)
        return [dict(zip(header, row, strict=True)) for row in rows]

    def settle(self, *, most: int = 50) -> None:
        """Run after run, the clock set on to when work is due, until none is."""
        for _ in range(most):
            self.look()
            self.send()
            due = self.ledger.next_due(self.queue)
            if due is None:
                return
            self.now = max(self.now, due) + timedelta(seconds=1)
        raise AssertionError("it does not settle")

    def later(self, **time: float) -> None:
        """The clock goes on."""
        self.now += timedelta(**time)

    def sheets(self) -> list[Item]:
        """Every version of every sheet."""
        return sorted(self.ledger.items(self.queue), key=lambda item: item.id)

    def sheet(self) -> Item:
        """The one sheet."""
        (item,) = self.sheets()
        return item

    def results(self) -> dict[str, int]:
        """What became of the last sheet's rows."""
        found: dict[str, int] = self.sheets()[-1].detail[RESULTS]
        return found

    def effects(self) -> list[Item]:
        """Every effect."""
        return list(self.ledger.items(effects_queue(self.feed)))

    def effect_states(self) -> Counter[State]:
        """How many effects stand in which state."""
        return Counter(item.state for item in self.effects())


def people(count: int, feed: Feed, start: int = 0) -> list[dict[str, str]]:
    """Changes that make rows of so many different people; one in five twice in the sheet, with other phones."""
    return [_person(number, feed) for number in range(start, start + count)]


_NAMES = {
    "contact_tracing": ("Account ID", "NHS Number", "Surname", "Phone", "Comments"),
    "nsss": ("ID", "nhs_number", "last_name", "contact_number_calls", "submission_datetime"),
    "spl": ("uprn", "Traced_NHSNUMBER", "PatientSurname", "landline", "category"),
    "self_isolation": ("ID", "NHS Number", "Surname", "Phone2", "Comments"),
    "generic": ("UPRN", "Phone number 2", "Surname", "Phone number", "Case Note 2"),
}


TOLD_BY_PHONES = dict.fromkeys(("nhs_number", "date_of_birth", "contact_email", "address_uprn"), "")
"""Changes that make a row of nsss one whose resident the API may not find again."""


def without_key(row: dict[str, str], feed: Feed) -> dict[str, str]:
    """The same row, and nothing by which the API would know its request again."""
    return row | {_NAMES[feed.name][0]: ""}


def _person(number: int, feed: Feed) -> dict[str, str]:
    key, second, surname, phone, note = _NAMES[feed.name]
    return {
        key: f"{10_000_000 + number}",
        second: f"{7_000_000_000 + number}",
        surname: f"Sample{number}",
        phone: f"020{number:08}",
        note: f"about {number}",
    }


def run_elsewhere(council: Council, owner: str) -> AbstractContextManager[Child]:
    """A run over what is due, in a process of its own."""
    return elsewhere(_send, council.folder, council.url, council.feed.name, council.now, owner)


def _send(folder: Path, url: str, feed: str, now: datetime, owner: str) -> None:
    council = Council(folder, url, FEEDS[feed])
    council.now = now
    with closing(council.ledger):
        council.send(owner)


def hold(api: HereToHelp) -> tuple[int, int, int]:
    """What the API holds: residents, help requests, notes."""
    found = api.count()
    return found.residents, found.help_requests, found.case_notes


def stored(api: HereToHelp, field: str) -> list[Any]:
    """A field of each resident that the API holds."""
    return [json.loads(fields).get(field) for fields, _ in api.contents()]


def patiently(council: Council, **terms: Any) -> Council:
    """The same council with other terms."""
    council.terms = replace(council.terms, **terms)
    return council
