"""What lands in each feed: how its records are made, how they go wrong, and where texts may be planted in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, cycle
from random import Random
from typing import Any

from pipelines.sandbox import event_faults, package_faults
from pipelines.sandbox.encounters import make_submission
from pipelines.sandbox.faults import BadKind, Canary, Place
from pipelines.sandbox.phones import Pair, make_package

Marks = Mapping[int, BadKind | Canary]
"""The records (from 0) that are not plain good ones."""


@dataclass(frozen=True, slots=True)
class Content:
    """The records of one feed.

    Attributes:
        feed: the folder where they land, which is the ledger's queue as well.
        end: what stands behind each of them.
        make: a good one that arrives in the hour, at one of the places.
        kinds: what may be wrong with one.
        spoil: makes its text with a fault of such a kind.
        places: where planted texts stand in turn.
        plant: makes its text with a planted one.
    """

    feed: str
    end: bytes
    make: Callable[[Random, Sequence[Pair], datetime], dict[str, Any]]
    kinds: Sequence[BadKind]
    spoil: Callable[[BadKind, dict[str, Any], Random, datetime], bytes]
    places: Sequence[Place]
    plant: Callable[[Canary, dict[str, Any], Random, datetime], bytes]

    def mark(self, seed: int, count: int, bad_share: float, canaries: Sequence[str]) -> Marks:
        """Choose which of ``count`` records are bad, each kind in turn, and which ones beside them have a canary.

        Raises:
            ValueError: there are more canaries than records.
        """
        if len(canaries) > count:
            raise ValueError("more canaries than records to plant them in")
        bad = min(round(count * bad_share), count - len(canaries))
        chosen = seeded(seed, count).sample(range(count), bad + len(canaries))
        planted = (Canary(text, *place) for text, place in zip(canaries, cycle(self.places), strict=False))
        return dict(sorted(zip(chosen, chain(planted, cycle(self.kinds)), strict=False)))


PACKAGES = Content(
    "mobile/packages",
    b"\n",
    make_package,
    package_faults.KINDS,
    package_faults.spoil_package,
    package_faults.CANARY_PLACES,
    package_faults.plant_in_package,
)

EVENTS = Content(
    "mobile/events",
    b"",
    make_submission,
    event_faults.KINDS,
    event_faults.spoil_submission,
    event_faults.CANARY_PLACES,
    event_faults.plant_in_submission,
)


def seeded(*seeds: object) -> Random:
    """A source of chance that repeats itself."""
    return Random("/".join(map(str, seeds)))  # noqa: S311 - made-up sample data, no secret
