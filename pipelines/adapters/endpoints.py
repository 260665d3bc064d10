"""An endpoint as it is configured: who it is, and how to open it when there is something to send."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from pipelines.adapters.https import Credentials, Https, open_https


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests at once, and how long each may take, in seconds."""

    connections: int
    connect_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where objects are sent. ``destination`` names it in receipts, for good, whatever its address is today."""

    destination: str
    url: str
    credentials: Credentials = field(repr=False)
    limits: Limits

    def open(self) -> AbstractAsyncContextManager[Https]:
        """Open it; errors in URL or credentials show here."""
        return open_https(
            self.url,
            self.credentials,
            connections=self.limits.connections,
            connect_seconds=self.limits.connect_seconds,
            total_seconds=self.limits.total_seconds,
        )
