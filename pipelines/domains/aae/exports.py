"""What is delivered to AAE: each feed's queue, and how its objects are sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Export:
    """One feed of objects; ``query`` is sent with each of them.

    Attributes:
        name: of the feed, as settings and resources have it.
        query: the parameters that each object is sent with.
    """

    name: str
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def queue(self) -> str:
        """The ledger's queue of released objects; also the asset."""
        return f"aae/{self.name}"

    @property
    def source(self) -> str:
        """The queue of the landed files that the objects are made of; also the asset."""
        return f"mobile/{self.name}"


PACKAGES = Export("packages")
EVENTS = Export("events", {"feedName": "Epidemiological"})
EXPORTS = (PACKAGES, EVENTS)
