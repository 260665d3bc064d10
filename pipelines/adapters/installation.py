"""The installation's key: what digests of personal values are made with. Kept apart from ledger and lake.

With another one no row would be known again, and everything in the drive would be sent anew: so the ledger keeps by
which key its rows are known, as a digest, and none but that is taken.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from pipelines.adapters.ledger import Ledger
from pipelines.core.rhythms import Mark

_BYTES = 32
_MARK = "installation key"


class OtherKey(Exception):  # noqa: N818 (it says what is the case)
    """The key is not the one by which the ledger knows rows."""


@dataclass(frozen=True, slots=True)
class InstallationKey:
    """The key's bytes."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < _BYTES:
            raise ValueError(f"an installation's key has at least {_BYTES} characters")


def find_key(given: SecretStr | None, path: Path) -> InstallationKey | None:
    """The key that is given, or the one of a file; None if that is not there."""
    if given is not None:
        return InstallationKey(given.get_secret_value().encode())
    return _read(path) if path.exists() else None


def read_key(given: SecretStr | None, path: Path) -> InstallationKey:
    """The same, with the file made if it is not there, readable by the owner alone."""
    if (key := find_key(given, path)) is not None:
        return key
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(f".{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(fresh, path)  # unless another process was faster
    except FileExistsError:
        pass
    finally:
        fresh.unlink()
    return _read(path)


def _read(path: Path) -> InstallationKey:
    return InstallationKey(path.read_text().strip().encode())


def is_unclaimed(key: InstallationKey | None, ledger: Ledger) -> bool:
    """Whether the ledger was not begun with any key yet; if it was, then with this one.

    Raises:
        OtherKey: it was begun with another one, or this one is none.
    """
    mark = ledger.mark(_MARK)
    if mark is None:
        return True
    if key is None:
        raise OtherKey("the installation's key that the ledger was begun with is not here: all would be sent again")
    if mark.position != _digest(key):
        raise OtherKey("the installation's key is not the one that the ledger was begun with: all would be sent again")
    return False


def told_key(ledger: Ledger) -> str | None:
    """A digest of the key that the ledger was begun with, for whoever is to know its rows again."""
    mark = ledger.mark(_MARK)
    return None if mark is None else mark.position


def hold_to_told(told: str, ledger: Ledger, now: datetime) -> None:
    """The rows of a ledger that was lost are known by the key of this digest, whichever is here now."""
    ledger.set_mark(_MARK, Mark(now, told))


def hold_to(key: InstallationKey, ledger: Ledger, now: datetime) -> None:
    """Let nothing begin with another key than the ledger's; the first one is the ledger's from then on.

    Raises:
        OtherKey: it is another one.
    """
    if is_unclaimed(key, ledger):
        ledger.set_mark(_MARK, Mark(now, _digest(key)))


def _digest(key: InstallationKey) -> str:
    return hashlib.sha256(b"installation key" + key.secret).hexdigest()
