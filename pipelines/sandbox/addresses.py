"""Where the sandbox's stand-ins are: written when they start, read by whoever is to use them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import SecretStr

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.https import Credentials
from pipelines.sandbox.aae import Aae, running
from pipelines.sandbox.certificates import Certificates, make_certificates


class SandboxRunning(RuntimeError):  # noqa: N818 (it says what is the case)
    """Another process runs the sandbox of this folder."""


_ADDRESS = "aae.url"
_KEY = "aae.key"


@contextmanager
def sandbox_running(folder: Path, now: datetime, port: int = 0) -> Iterator[Aae]:
    """Run every stand-in, with its address and its keys under ``folder``, readable by the owner alone.

    Raises:
        SandboxRunning: it runs already, here or in another process: a second one would take over its address.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    lock = FileLock(folder / "running.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SandboxRunning(f"the sandbox in {folder} runs already") from None
    try:
        with _all_running(folder, now, port) as aae:
            yield aae
    finally:
        (folder / _ADDRESS).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _all_running(folder: Path, now: datetime, port: int) -> Iterator[Aae]:
    key_file = folder / _KEY
    if not key_file.exists():
        _write(key_file, secrets.token_hex(16))
    certificates = make_certificates(folder / "certificates", now)
    with running(folder / "aae", certificates, key_file.read_text(), port) as aae:
        _write(folder / _ADDRESS, aae.url)
        yield aae


def sandbox_endpoint(destination: str, folder: Path, limits: Limits) -> Endpoint:
    """The stand-in that ``sandbox://aae`` names.

    Raises:
        ValueError: no such stand-in exists, or the sandbox never ran here.
    """
    if destination.rstrip("/") != "sandbox://aae":
        raise ValueError("the sandbox has one endpoint: sandbox://aae")
    try:
        url, key = (folder / _ADDRESS).read_text(), (folder / _KEY).read_text()
    except FileNotFoundError:
        raise ValueError("the sandbox does not run: start it with 'pipelines sandbox'") from None
    certificates = Certificates(folder / "certificates")
    credentials = Credentials(
        SecretStr(key), certificates.client.read_bytes(), authority=certificates.authority.read_bytes()
    )
    return Endpoint(destination, url, credentials, limits)


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
