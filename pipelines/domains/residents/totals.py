"""The sheets of a day added up: how many stand where, and what became of their rows. Counts only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipelines.core.work import OPEN, Item, Reason, State
from pipelines.domains.residents.entries import REQUEST
from pipelines.domains.residents.outcomes import Result
from pipelines.domains.residents.sheets import REASONS, RESULTS, ROWS


@dataclass(slots=True)
class Totals:
    """Sheets by state and by reason; rows that were read, by what became of them, and why some were not sent.

    ``replaced`` counts rows that waited when another version of their sheet took its place: those that are not in it
    were never sent, and how many that are is not known.
    """

    sheets: Counter[State] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    rows: int = 0
    results: Counter[str] = field(default_factory=Counter)
    row_reasons: Counter[str] = field(default_factory=Counter)
    replaced: int = 0

    @property
    def waiting(self) -> int:
        """Sheets that still ask for work."""
        return sum(self.sheets[state] for state in OPEN)

    @property
    def refused(self) -> int:
        """Sheets that are given up."""
        return self.sheets[State.DEAD]

    @property
    def unaccounted(self) -> int:
        """Rows of settled sheets of which nothing can be said: there must be none."""
        return self.rows - self.results.total()

    @property
    def lost(self) -> int:
        """Rows that were rejected or given up."""
        return self.results[Result.REJECTED] + self.results[Result.GIVEN_UP]

    @property
    def rejected_share(self) -> float:
        """Of all rows, those that were rejected or given up."""
        return self.lost / self.rows if self.rows else 0.0


def total(found: Iterable[Item]) -> Totals:
    """Add up the sheets of a day; of those that are not settled only that they are there."""
    items, totals = list(found), Totals()
    for item in items:
        totals.sheets[item.state] += 1
        if item.reason is not None and item.state is not State.SUPERSEDED:
            totals.reasons[item.reason] += 1
        if item.state is State.SETTLED:
            totals.bytes += item.size
            totals.rows += item.detail[ROWS]
            totals.results.update(item.detail[RESULTS])
            totals.row_reasons.update(item.detail[REASONS])
    totals.replaced = count_replaced(items)
    return totals


def count_replaced(versions: Iterable[Item]) -> int:
    """How many rows waited in versions that another one took the place of."""
    replaced = (one for one in versions if one.state is State.SUPERSEDED)
    return sum(one.detail.get(RESULTS, {}).get(Result.WAITING, 0) for one in replaced)


def count_doubles(effects: Iterable[Item]) -> int:
    """How many keys got more than one request: the API must have found the first one again."""
    by_key: dict[str, int] = {}
    doubles = 0
    for effect in effects:
        request = effect.detail.get(REQUEST)
        if request is not None and by_key.setdefault(effect.name, request) != request:
            doubles += 1
    return doubles


def alarms(days: Mapping[str, Totals], bound: float) -> list[str]:
    """What asks for a person: days of which more than a share of the rows was rejected or given up."""
    return [
        f"{totals.lost} of {totals.rows} rows of {day} were rejected or given up"
        for day, totals in sorted(days.items())
        if totals.rejected_share > bound
    ]


def is_denied(items: Iterable[Item]) -> bool:
    """Whether a sheet waits since the API does not let us in."""
    return any(item.reason == Reason.NOT_ALLOWED for item in items)
