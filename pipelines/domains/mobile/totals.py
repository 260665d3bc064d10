"""What an hour of landed files adds up to, from its items in the ledger. Counts only: no names, no values."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipelines.core.work import OPEN, Item, State

COUNTS = {
    "zero_filled": "numbers_filled_with_zero",
    "events": "events",
    "dropped": "unknown_keys_dropped",
    "groups": "groups_in_files",
    "small_groups": "small_groups_in_files",
}
"""What only some feeds count, by its name in a file's facts, and what it is called in metadata."""

LEAST = {"smallest_group": "smallest_group_of_a_file"}
"""The same for what is not added up: an hour has the least that any of its files has."""


@dataclass(slots=True)
class Totals:
    """Files by state and the records in the settled ones; ``version`` changes when any output does."""

    files: Counter[State] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    mappings: set[str] = field(default_factory=set)
    read: int = 0
    written: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    least: dict[str, int] = field(default_factory=dict)
    unknown: int = 0
    broken: int = 0
    bytes: int = 0
    version: str = ""

    @property
    def waiting(self) -> int:
        """Files that still ask for work."""
        return sum(self.files[state] for state in OPEN)


def total(items: Iterable[Item]) -> Totals:
    """Add up the items of one hour; superseded versions count as files only."""
    totals = Totals()
    outputs = hashlib.sha256()
    for item in items:
        totals.files[item.state] += 1
        if item.reason is not None and item.state is not State.SUPERSEDED:
            totals.reasons[item.reason] += 1
        if item.state is not State.SETTLED:
            continue
        facts = item.detail
        totals.read += facts["read"]
        totals.written += facts["written"]
        totals.rejected.update(facts["rejected"])
        totals.mappings.add(facts["mapping"][:12])
        totals.counts.update({name: facts[fact] for fact, name in COUNTS.items() if fact in facts})
        for fact, name in LEAST.items():
            if facts.get(fact) is not None:
                totals.least[name] = min(facts[fact], totals.least.get(name, facts[fact]))
        totals.unknown += facts["unknown"]
        totals.broken += facts["broken"]
        totals.bytes += facts["bytes"] if facts["output"] else 0
        outputs.update(f"{item.name} {facts['sha256']}\n".encode())
    totals.version = outputs.hexdigest()
    return totals
