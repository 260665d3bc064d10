"""Where the sandbox's stand-ins are: written when they start, read by whoever is to use them."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import SecretStr

from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.https import Credentials
from pipelines.sandbox import here_to_help
from pipelines.sandbox.aae import Aae, running
from pipelines.sandbox.certificates import Certificates, make_certificates
from pipelines.sandbox.here_to_help import HereToHelp


class SandboxRunning(RuntimeError):  # noqa: N818 (it says what is the case)
    """Another process runs the sandbox of this folder."""


_LOCK = "running.lock"
_ADDRESS = "aae.url"
_KEY = "aae.key"
_API_ADDRESS = "here-to-help.url"
_API_KEY = "here-to-help.key"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The stand-ins that run."""

    aae: Aae
    here_to_help: HereToHelp


@contextmanager
def sandbox_running(folder: Path, now: datetime, port: int = 0) -> Iterator[Aae]:
    """As ``all_running``, for callers that need one of them."""
    with all_running(folder, now, port) as sandbox:
        yield sandbox.aae


@contextmanager
def all_running(folder: Path, now: datetime, port: int = 0, *, anew: bool = False) -> Iterator[Sandbox]:
    """Run every stand-in, with its address and its keys under ``folder``, readable by the owner alone.

    Args:
        folder: theirs alone.
        now: the time, for certificates.
        port: of AAE's stand-in; any that is free if it is 0.
        anew: whether they forget all that they received before.

    Raises:
        SandboxRunning: it runs already, here or in another process: a second one would take over its address.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SandboxRunning(f"the sandbox in {folder} runs already") from None
    try:
        if anew:
            empty(folder, keep=folder / _LOCK)
        with _run(folder, now, port) as sandbox:
            yield sandbox
    finally:
        for address in (_ADDRESS, _API_ADDRESS):
            (folder / address).unlink(missing_ok=True)
        lock.release()


def empty(folder: Path, *, keep: Path) -> None:
    """Remove what is in a folder, but for one thing."""
    for path in folder.iterdir():
        if path == keep:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _run(folder: Path, now: datetime, port: int) -> Iterator[Sandbox]:
    certificates = make_certificates(folder / "certificates", now)
    key, api_key = _keep_key(folder / _KEY), _keep_key(folder / _API_KEY)
    with (
        running(folder / "aae", certificates, key, port) as aae,
        here_to_help.running(folder / "here-to-help", api_key) as api,
    ):
        _write(folder / _ADDRESS, aae.url)
        _write(folder / _API_ADDRESS, api.url)
        yield Sandbox(aae, api)


def _keep_key(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_hex(16))
    return path.read_text()


def sandbox_here_to_help(destination: str, folder: Path) -> tuple[str, SecretStr]:
    """The address and the key of the stand-in that ``sandbox://here-to-help`` names.

    Raises:
        ValueError: no such stand-in exists, or the sandbox never ran here.
    """
    if destination.rstrip("/") != "sandbox://here-to-help":
        raise ValueError("the sandbox has one such API: sandbox://here-to-help")
    try:
        return (folder / _API_ADDRESS).read_text(), SecretStr((folder / _API_KEY).read_text())
    except FileNotFoundError:
        raise ValueError("the sandbox does not run: start it with 'pipelines sandbox'") from None


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
