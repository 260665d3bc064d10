"""What a row is known by once its sheet is gone: what the ledger may keep of it.

An identity follows from what a row says, never from where it stands, so an edited sheet sends again only what changed.
It is made with the installation's key: without it nobody can look up whether a person is in the ledger.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass

from pipelines.domains.residents.feeds.contract import Cells, Feed

KEY_BYTES = 32
"""The least length of an installation's key."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A row's identity, in hexadecimal digits.

    Attributes:
        key: of the request that a repeat would find again; empty if the row has no such key.
        content: of all that is sent of the row.
        note: of the note that goes with the request as it is; empty if there is none.
    """

    key: str
    content: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.key}-{self.content}"


def identify(feed: Feed, cells: Cells, key: str, secret: bytes, note: str = "") -> Identity:
    """A row's identity.

    Args:
        feed: of the sheet.
        cells: of the row. A blank one counts as none, so that a new column changes no identity until it is used.
        key: what the API recognises a repeat by; blank if the row has none.
        secret: the installation's key.
        note: that goes with the request, if one does.

    Raises:
        ValueError: the installation's key is too short.
    """
    if len(secret) < KEY_BYTES:
        raise ValueError(f"an installation's key has at least {KEY_BYTES} bytes")
    content = [[column, cells[column]] for column in feed.mapped_columns if cells[column]]
    return Identity(
        _digest(secret, ["key", feed.name, key])[:32] if key else "",
        _digest(secret, ["content", feed.name, content]),
        _digest(secret, ["note", feed.name, note])[:32] if note else "",
    )


def _digest(secret: bytes, words: list[object]) -> str:
    # JSON keeps the words apart, and is the same bytes for the same words.
    return hmac.digest(secret, json.dumps(words).encode(), "sha256").hex()
