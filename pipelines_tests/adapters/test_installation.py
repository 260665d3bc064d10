"""The installation's key: made once, for the owner alone, and no other one is taken afterwards."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.adapters.installation import InstallationKey, OtherKey, hold_to, read_key
from pipelines.adapters.ledger import Ledger
from pipelines_tests.adapters.ledgers import NOW


def test_a_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "installation.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: read_key(None, path).secret, range(8)))
    assert len(keys) == 1
    assert len(keys.pop()) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["installation.key"]


def test_a_key_that_is_given_is_taken_and_none_is_made(tmp_path: Path) -> None:
    path = tmp_path / "installation.key"
    assert read_key(SecretStr("k" * 32), path).secret == b"k" * 32
    assert not path.exists()
    with pytest.raises(ValueError, match="at least 32") as raised:
        read_key(SecretStr("canary"), path)
    assert "canary" not in str(raised.value)


def test_a_key_shows_nothing_of_itself() -> None:
    assert "canary" not in repr(InstallationKey(b"canary" * 6))


def test_another_key_is_refused_since_all_would_be_sent_again(ledger: Ledger) -> None:
    ours = InstallationKey(b"k" * 32)
    for _ in range(2):
        hold_to(ours, ledger, NOW)
    with pytest.raises(OtherKey):
        hold_to(InstallationKey(b"l" * 32), ledger, NOW)
    hold_to(ours, ledger, NOW)
