"""The effects of a feed's rows as the ledger keeps them, one entry each: how they are called, and what is kept.

An entry is named by the row's key, so that what was sent under it before is found, or by what the row says if it has
none; its version is what the row says. One in somebody's hands is the intent, made before the call: if its lease runs
out, nobody knows whether the call happened. Not here: how far a row is.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.core.work import Item, NewItem, Reason
from pipelines.domains.residents.batches import ToSend
from pipelines.domains.residents.feeds.contract import Feed

REFUSALS = frozenset({Reason.REFUSED, Reason.CONFLICT, Reason.REDIRECTED})
"""Of effects that the API will not have."""

REQUEST, RESIDENT, CASE = "request", "resident", "case"
"""In an item's detail: ids that the API gave."""

THERE = "there"
"""In an item's detail: the effect had happened before, or was not needed."""

TEXT = "text"
"""In a note's detail: a digest of one that went as it is, by which a later version's is known not to be news."""

ANOTHERS = "another's"
"""In a request's detail: it was seen to be another person's."""

ADDRESS_LEFT_OUT = "address left out"
READS = "failed reads"
"""In a settled request's detail: how often who it is of could not be read."""
WORDS = "words"
"""In an item's detail: why it was refused, as far as that is nobody's data."""


def sheets_queue(feed: Feed) -> str:
    """The queue of a feed's sheets; also the asset."""
    return f"residents/{feed.name}"


def effects_queue(feed: Feed) -> str:
    """The queue of the effects of a feed's rows."""
    return f"residents/{feed.name}_effects"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row's effects are in the ledger.

    Attributes:
        queue: of the feed's effects.
        destination: the API that they are bound for.
        partition: the day of the sheet.
        sheet: the id of the sheet's item.
        versions: the ids of those versions of the sheet that were ever taken up.
        is_doubtful: whether rows that the ledger does not know may have been sent before it was lost.
    """

    queue: str
    destination: str
    partition: str
    sheet: int
    versions: frozenset[int] = frozenset()
    is_doubtful: bool = False

    def comes_after(self, sheet: int | None) -> bool:
        """Whether the sheet says something new after what was sent for a version of any sheet.

        It does if that was a version of its own, or if it is newer and was never sent before. An older sheet of which
        another row was edited says nothing new of the others.
        """
        if sheet is None:
            return False
        return sheet in self.versions or (sheet < self.sheet and self.versions <= {self.sheet})

    def comes_before(self, sheet: int | None) -> bool:
        """Whether that is a version of another, newer sheet."""
        return sheet is not None and sheet > self.sheet and sheet not in self.versions


def names(row: ToSend) -> tuple[str, ...]:
    """The names of the row's effects, in their order."""
    of_row = _name(row)
    return tuple(f"{of_row} {effect.name}" for effect in row.plan.effects)


def new_item(row: ToSend, effect: int, place: Place) -> NewItem:
    """One of the row's effects, as it is recorded."""
    return NewItem(
        place.queue,
        f"{_name(row)} {row.plan.effects[effect].name}",
        row.identity.content,
        place.partition,
        0,
        destination=place.destination,
        parent=place.sheet,
        uncertain=place.is_doubtful and effect == 0,
    )


def again(item: Item) -> NewItem:
    """An effect that is known, as it is asked for."""
    return NewItem(
        item.queue,
        item.name,
        item.version,
        item.partition,
        item.size,
        destination=item.destination,
        parent=item.parent,
    )


def _name(row: ToSend) -> str:
    has_own_key = row.identity.key and not row.plan.feed.key_is_per_resident
    return row.identity.key if has_own_key else row.identity.content
