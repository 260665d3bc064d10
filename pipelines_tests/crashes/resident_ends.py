"""What must hold once all sheets are settled, and what must be the same as if nobody had died."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from pydantic import SecretStr
from python_calamine import CalamineWorkbook

from pipelines.adapters.here_to_help import open_here_to_help
from pipelines.core.work import OPEN, OVER, Item, NewItem, State
from pipelines.domains.residents import receipts
from pipelines.domains.residents.entries import effects_queue, sheets_queue
from pipelines.domains.residents.feeds.contract import Id, Verdict
from pipelines.domains.residents.outcomes import Result
from pipelines.sandbox.here_to_help import HereToHelp
from pipelines_tests.crashes.invariants import leaks
from pipelines_tests.crashes.residents import PLAYED, Residents
from pipelines_tests.domains.residents.council import KEY

Row = Mapping[str, str]
Effect = tuple[str, str, str, str]
"""Its queue, name, version and state."""

_SENT = {Result.SENT, Result.UNCHANGED}


@dataclass(frozen=True)
class Ended:
    """What a deployment and its other side have in the end.

    Attributes:
        wrong: all that is wrong by itself, in words.
        stored: what the API has of each person, by last name.
        told: the rows of each tab of each outcome, without ids.
        effects: what the receipts tell of rows that have a key.
    """

    wrong: Sequence[str] = field(repr=False)
    stored: Mapping[str, Sequence[str]] = field(repr=False)
    told: Mapping[str, Sequence[Row]] = field(repr=False)
    effects: Counter[Effect] = field(repr=False)

    @property
    def unknown(self) -> frozenset[str]:
        """Who may be there or not, as the outcomes tell."""
        rows = (row for rows in self.told.values() for row in rows)
        return frozenset(row["Surname"] for row in rows if row.get(Verdict.OUTCOME) == Result.UNKNOWN)

    def judge(self, whole: Ended, *, edited: bool = False) -> list[str]:
        """All that is wrong, or otherwise than it is ``whole``; only persons that are told of as unknown may be.

        Args:
            whole: how it ends if nobody dies.
            edited: whether sheets were edited at another moment than there, before all of them was sent.
        """
        names = (self.stored.keys() | whole.stored.keys()) - self.unknown
        stored = [(name, self.stored.get(name), whole.stored.get(name)) for name in sorted(names)]
        wrong = [
            *self.wrong,
            *(f"{name}: the API has {one} and not {other}" for name, one, other in stored if one != other),
        ]
        if self.told.keys() != whole.told.keys():
            wrong.append(f"outcomes: {sorted(self.told)} and not {sorted(whole.told)}")
        for tab, rows in self.told.items():
            wrong += [f"{tab}: {one}" for one in _differences(rows, whole.told.get(tab, ()), edited=edited)]
        if not edited and self.effects != whole.effects:
            wrong.append(
                f"receipts: {self.effects - whole.effects} too much, {whole.effects - self.effects} too little"
            )
        return wrong


def ended(world: Residents, api: HereToHelp) -> Ended:
    """How a deployment ends."""
    told = {name: [_without_ids(row) for row in rows] for name, rows in _outcomes(world)}
    stored: dict[str, list[str]] = defaultdict(list)
    for resident, requests in api.contents(_text):
        stored[orjson.loads(resident)["LastName"]].append(orjson.dumps([resident, requests]).decode())
    effects = Counter(
        (item.queue, item.name, item.version, str(item.state))
        for item in _receipts(world)
        if item.queue in map(effects_queue, PLAYED) and not _is_without_key(item)
    )
    wrong = [*_judge_ledger(world), *_judge_receipts(world), *leaks(world.place.root), *_judge_ids(world)]
    return Ended(wrong, stored, told, effects)


def _judge_ledger(world: Residents) -> Iterator[str]:
    for queue in world.ledger.queues():
        for item in world.ledger.items(queue):
            if item.state in OPEN:
                yield f"{queue}: {item.name} is {item.state}"
            if item.state is State.DEAD and not (item.uncertain and _is_without_key(item)):
                yield f"{queue}: {item.name} is dead: {item.reason}"


def _judge_receipts(world: Residents) -> Iterator[str]:
    """The receipts tell what the ledger holds."""
    queues = [queue for feed in PLAYED for queue in (sheets_queue(feed), effects_queue(feed))]
    held = Counter(_facts(item) for queue in queues for item in world.ledger.items(queue, states=OVER))
    told = Counter(_facts(item) for item in _receipts(world))
    if told != held:
        yield f"receipts tell {told - held} too much and {held - told} too little"


def _judge_ids(world: Residents) -> Iterator[str]:
    """Each id that is written back is of the row's own person."""
    rows = [row for _, rows in _outcomes(world) for row in rows if row.get(Id.REQUEST)]

    async def read() -> list[tuple[str, str]]:
        async with open_here_to_help(world.place.url, SecretStr(KEY), calls_per_second=None) as api:
            replies = [(await api.get_help_request(int(row[Id.REQUEST]))).body for row in rows]
        return [(str(one.resident_id), one.fields["LastName"]) if one else ("", "") for one in replies]

    for row, found in zip(rows, asyncio.run(read()), strict=True):
        if found != (row[Id.RESIDENT], row["Surname"]):
            yield f"{row['Surname']}: the ids {row[Id.RESIDENT]}, {row[Id.REQUEST]} are of {found}"


def _outcomes(world: Residents) -> Iterator[tuple[str, list[Row]]]:
    """Each tab of each spreadsheet in the outbound folders, with its rows."""
    for path in sorted((world.place.root / "drive").glob("*/outbound/*")):
        book = CalamineWorkbook.from_path(path)
        for tab in book.sheet_names:
            header, *rows = (list(map(str, row)) for row in book.get_sheet_by_name(tab).to_python())
            yield f"{path.name} {tab}", [dict(zip(header, row, strict=True)) for row in rows]


def _receipts(world: Residents) -> Iterator[NewItem]:
    for day in receipts.days(world.lake):
        for family in receipts.read_day(world.lake, day):
            yield from family.releases or ([family.item] if family.item else [])


def _facts(item: Item | NewItem) -> tuple[str, str, str, str, str]:
    detail = orjson.dumps(dict(item.detail), option=orjson.OPT_SORT_KEYS).decode()
    return item.queue, item.name, item.version, str(item.state), detail


def _is_without_key(effect: Item | NewItem) -> bool:
    """Whether an effect is of a row without a key: it is named by what the row says."""
    return effect.name.startswith(f"{effect.version} ")


def _differences(rows: Sequence[Row], whole: Sequence[Row], *, edited: bool) -> Iterator[str]:
    if len(rows) != len(whole):
        yield f"{len(rows)} rows and not {len(whole)}"
        return
    for row, other in zip(rows, whole, strict=True):
        outcome = row.get(Verdict.OUTCOME)
        is_unknown = outcome == Result.UNKNOWN and row.get("Account ID") == ""
        is_as_good = edited and {outcome, other.get(Verdict.OUTCOME)} <= _SENT
        told = [name for name in row if name not in set(Verdict) or not (is_unknown or is_as_good)]
        if any(row[name] != other[name] for name in told):
            yield f"{row} and not {other}"


def _without_ids(row: Row) -> Row:
    return {name: text for name, text in row.items() if name not in set(Id)}


def _text(note: str) -> str:
    """What a note says, without when it was written."""
    return str(orjson.loads(note)["note"]) if note.startswith("{") else note
