"""The API as it is configured: who it is, and how to open it when there is something to send."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from pydantic import SecretStr

from pipelines.adapters.here_to_help.client import HereToHelp, open_here_to_help


@dataclass(frozen=True, slots=True)
class Access:
    """The way to the API; times in seconds.

    Attributes:
        destination: names it in receipts, for good, whatever its address is today.
        url: its address.
        api_key: sent with each call.
        authority: PEM of the authorities to trust instead of the system's.
        connections: calls under way at once.
        calls_per_second: over all who call it in this process; None for no limit.
        connect_seconds: for connecting.
        total_seconds: for a whole call.
    """

    destination: str
    url: str
    api_key: SecretStr = field(repr=False)
    authority: bytes | None = field(repr=False)
    connections: int
    calls_per_second: float | None
    connect_seconds: float
    total_seconds: float

    def open(self) -> AbstractAsyncContextManager[HereToHelp]:
        """Open it; errors in URL or key show here."""
        return open_here_to_help(
            self.url,
            self.api_key,
            authority=self.authority,
            connections=self.connections,
            calls_per_second=self.calls_per_second,
            connect_seconds=self.connect_seconds,
            total_seconds=self.total_seconds,
        )
