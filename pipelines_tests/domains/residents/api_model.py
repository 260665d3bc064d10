"""The API as a model in memory, as far as effects need it, and a sender that answers may be kept from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from itertools import repeat
from typing import Any

from pipelines.domains.residents.calls import (
    AddNote,
    Answer,
    Cases,
    CreateCase,
    CreateRequest,
    Done,
    Gone,
    ListCases,
    Made,
    ReadRequest,
    Step,
)
from pipelines.domains.residents.effects import learn, next_step
from pipelines.domains.residents.notes import write_note
from pipelines.domains.residents.progress import Plan, Progress, Standing, begin
from pipelines.domains.residents.replies import Case, HelpRequest

MOMENT = datetime(2021, 11, 20, 12, tzinfo=UTC)


class Fault(Enum):
    """What goes wrong with one call."""

    NONE = auto()
    LOST_BEFORE = auto()
    """The call never arrives, and nobody knows; or the sender ends after it recorded that it would call."""
    LOST_AFTER = auto()
    """The call has its effect, and its answer is lost; or the sender ends before it recorded that."""
    KILLED_RECORDED = auto()
    """The sender ends after it recorded the answer."""


@dataclass
class Stored:
    """A help request with its notes."""

    id: int
    resident: int
    key: tuple[str, ...]
    help_needed: str
    notes: list[str] = field(default_factory=list)


@dataclass
class Api:
    """Residents by whom they are, and their help requests; ids count from 1."""

    residents: list[tuple[str, ...]] = field(default_factory=list)
    postcodes: dict[int, str] = field(default_factory=dict)
    requests: list[Stored] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    sent: list[Mapping[str, Any]] = field(default_factory=list)

    def answer(self, step: Step) -> Answer:
        """Does what a call asks for."""
        self.calls.append(type(step).__name__)
        match step:
            case CreateRequest():
                self.sent.append(step.payload)
                return Made(self._create(step.payload))
            case ReadRequest():
                return self._read(step.request)
            case AddNote():
                text = write_note(step.author, MOMENT, step.text) if step.author else step.text
                self.requests[step.request - 1].notes.append(text)
                return Done()
            case ListCases():
                own = [one for one in self.requests if one.resident == step.resident]
                return Cases(tuple(Case(one.id, one.help_needed) for one in own))
            case CreateCase():
                self.sent.append(step.payload)
                return Made(self._store(step.resident, (), step.payload["HelpNeeded"]))

    def _read(self, request: int) -> Answer:
        if request > len(self.requests):
            return Gone()
        stored = self.requests[request - 1]
        notes = f"[{', '.join(stored.notes)}]"
        return HelpRequest(request, stored.resident, notes, {"Postcode": self.postcodes.get(stored.resident)})

    def _create(self, payload: Mapping[str, Any]) -> int:
        names = ("NhsNumber",) if "NhsNumber" in payload else ("FirstName", "LastName", "DobYear", "NhsCtasId")
        who = tuple(payload.get(name, "") for name in names)
        if who not in self.residents:
            self.residents.append(who)
        resident = self.residents.index(who) + 1
        if "AddressFirstLine" in payload and "Postcode" in payload:
            self.postcodes[resident] = payload["Postcode"]
        metadata = payload.get("Metadata", {})
        key: tuple[str, ...] = ()
        if "NhsCtasId" in payload:
            key = "ctas", payload["NhsCtasId"], payload["HelpNeeded"].upper()
        elif "generic_ingestion_id" in metadata:
            key = "generic", metadata["generic_ingestion_id"], str(resident)
        else:
            key = next(((name, metadata[name]) for name in ("nsss_id", "spl_id") if name in metadata), ())
        there = [one.id for one in self.requests if key and one.key == key]
        request = there[0] if there else self._store(resident, key, payload["HelpNeeded"])
        if "CaseNotes" in payload:
            self.requests[request - 1].notes.append(payload["CaseNotes"])
        return request

    def _store(self, resident: int, key: tuple[str, ...], help_needed: str) -> int:
        self.requests.append(Stored(len(self.requests) + 1, resident, key, help_needed))
        return len(self.requests)


@dataclass
class Ledger:
    """What is durable of a row: the standings of its effects, and ids."""

    standings: dict[str, Standing] = field(default_factory=dict)
    ids: dict[str, int | None] = field(default_factory=dict)

    def record(self, plan: Plan, progress: Progress) -> None:
        """Keeps all that a row has come to."""
        for effect, standing in zip(plan.effects, progress.standings, strict=True):
            self.standings[effect.name] = standing
        self.ids |= {"resident": progress.resident, "request": progress.request, "case": progress.case}

    def intend(self, plan: Plan, step: Step) -> None:
        """Keeps what is about to be asked for."""
        for place in step.effects:
            self.standings[plan.effects[place].name] = Standing.UNKNOWN

    def begin(self, plan: Plan, earlier: int | None) -> Progress:
        """A row's progress after a restart."""
        return begin(plan, self.standings, earlier=earlier, **self.ids)


def send(
    plan: Plan,
    api: Api,
    faults: Iterable[Fault] = (),
    earlier: int | None = None,
    known: Mapping[str, Standing] | None = None,
) -> Progress:
    """Sends a row until nothing is next, through so many faults and then without any; `known` is of earlier ones."""
    ledger = Ledger(dict(known or {}))
    progress = ledger.begin(plan, earlier)
    trouble: Iterator[Fault] = iter([*faults, *repeat(Fault.NONE, 100)])
    while (step := next_step(plan, progress)) is not None:
        fault = next(trouble)
        ledger.intend(plan, step)
        if fault is not Fault.LOST_BEFORE:
            answer = api.answer(step)
        if fault in (Fault.NONE, Fault.KILLED_RECORDED):
            progress = learn(plan, progress, step, answer)
            ledger.record(plan, progress)
        if fault is not Fault.NONE:
            progress = ledger.begin(plan, earlier)
    return progress
