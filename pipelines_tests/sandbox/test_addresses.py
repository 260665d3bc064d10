"""The sandbox's address and keys: found by whoever is to use them, by nobody else, and only where it ran."""

from __future__ import annotations

import asyncio
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.core.delivery import Answer
from pipelines.sandbox.addresses import SandboxRunning, all_running, sandbox_endpoint, sandbox_running

LIMITS = Limits(4, 2, 2)


def put(endpoint: Endpoint, name: str) -> Answer:
    async def send() -> Answer:
        async with endpoint.open() as https:
            return await https.put(name, b"bytes", content_type="application/octet-stream")

    return asyncio.run(send())


def test_what_its_address_names_is_the_stand_in_that_runs(tmp_path: Path) -> None:
    with sandbox_running(tmp_path / "sandbox", datetime.now(UTC)) as aae:
        endpoint = sandbox_endpoint("sandbox://aae", tmp_path / "sandbox", LIMITS)
        assert put(endpoint, "a.parquet") == Answer(status=201)
        assert [one.name for one in aae.received()] == ["a.parquet"]


def test_it_keeps_its_name_and_its_keys_though_it_moves(tmp_path: Path) -> None:
    """Receipts name where an object went: that must not depend on the port of the day."""
    folder = tmp_path / "sandbox"
    with sandbox_running(folder, datetime.now(UTC)):
        before = sandbox_endpoint("sandbox://aae", folder, LIMITS)
    with sandbox_running(folder, datetime.now(UTC)):
        after = sandbox_endpoint("sandbox://aae", folder, LIMITS)
        assert put(after, "a.parquet").status == 201
    assert before.destination == after.destination == "sandbox://aae"
    assert before.credentials == after.credentials


def test_all_of_it_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    folder.mkdir(mode=0o755)
    with sandbox_running(folder, datetime.now(UTC)):
        secrets = [folder / "aae.key", folder / "aae.url", *(folder / "certificates").iterdir()]
        assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_sandbox_that_never_ran_says_how_to_start_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="start it with 'pipelines sandbox'"):
        sandbox_endpoint("sandbox://aae", tmp_path, LIMITS)


@pytest.mark.parametrize("destination", ["sandbox://other", "https://aae.example", "sandbox://"])
def test_the_sandbox_has_one_endpoint(tmp_path: Path, destination: str) -> None:
    with pytest.raises(ValueError, match="one endpoint"):
        sandbox_endpoint(destination, tmp_path, LIMITS)


def test_a_key_shows_in_no_text_of_an_endpoint(tmp_path: Path) -> None:
    with sandbox_running(tmp_path, datetime.now(UTC)):
        endpoint = sandbox_endpoint("sandbox://aae", tmp_path, LIMITS)
    assert (tmp_path / "aae.key").read_text() not in repr(endpoint)
    assert "PRIVATE" not in repr(endpoint)


def test_a_second_sandbox_in_one_folder_is_refused_and_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    with sandbox_running(tmp_path, datetime.now(UTC)) as aae:
        with pytest.raises(SandboxRunning), sandbox_running(tmp_path, datetime.now(UTC)):
            pass
        assert (tmp_path / "aae.url").read_text() == aae.url
    assert not (tmp_path / "aae.url").exists()


def test_one_that_begins_anew_forgets_what_was_received_but_not_before_the_last_one_has_ended(tmp_path: Path) -> None:
    with sandbox_running(tmp_path, datetime.now(UTC)) as aae:
        put(sandbox_endpoint("sandbox://aae", tmp_path, LIMITS), "a.parquet")
        with pytest.raises(SandboxRunning), all_running(tmp_path, datetime.now(UTC), anew=True):
            pass
        assert [one.name for one in aae.received()] == ["a.parquet"]
    with all_running(tmp_path, datetime.now(UTC), anew=True) as sandbox:
        assert sandbox.aae.received() == []
        assert put(sandbox_endpoint("sandbox://aae", tmp_path, LIMITS), "a.parquet").status == 201
