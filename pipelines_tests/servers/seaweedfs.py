"""S3 from SeaweedFS's wheel: durable, refuses wrong secrets. It lists folders by name, each with all that is in it.

That is not quite the order of keys: S3 has ``a-b`` before ``a/b``, SeaweedFS after it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from botocore.exceptions import ClientError

from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.programs import HOST, free_ports, installed, running

BUCKET = "uploads"
KEYS = {"pipelines": "a-secret-of-seaweedfs", "pipelines-next": "another-secret-of-seaweedfs"}
"""Two access keys of one identity, as while keys are being changed."""

_PORTS = "ports.json"

_OPTIONS = [
    "-filer",
    "-s3",
    "-s3.autoCreateBucket=false",  # a bucket that is gone stays gone
    "-s3.allowDeleteBucketNotEmpty=true",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-volume.max=100",
    "-volume.preStopSeconds=0",
    "-master.volumeSizeLimitMB=128",
    "-master.telemetry=false",
    "-master.electionTimeout=500ms",
    "-master.heartbeatInterval=100ms",
]


@contextmanager
def running_seaweedfs(folder: Path) -> Iterator[Account]:
    """A server with one bucket; its data stays in the folder."""
    account = Account("", *next(iter(KEYS.items())), BUCKET)
    identities = folder / "identities.json"
    identities.write_text(json.dumps({"identities": [_identity()]}))
    (folder / "data").mkdir(exist_ok=True)

    def command() -> tuple[Sequence[str], Callable[[], bool]]:
        nonlocal account
        names = [f"{part}.port{kind}" for part in ("master", "volume", "filer", "s3") for kind in ("", ".grpc")]
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        account = account.at(f"http://{HOST}:{ports['s3.port']}")
        places = [f"-ip={HOST}", f"-ip.bind={HOST}", f"-dir={folder / 'data'}", f"-s3.config={identities}"]
        (folder / _PORTS).write_text(json.dumps(ports))
        words = [*places, *_OPTIONS, *(f"-{name}={port}" for name, port in ports.items())]
        return [installed("weed"), "server", *words], lambda: _answers(account.endpoint) and _knows(account)

    with running(command, folder / "seaweedfs.log"):
        yield account


def load(folder: Path, entries: Iterable[bytes]) -> None:
    """Creates entries, each as ``entry`` writes it, in the server of a folder: several times as fast as by S3."""
    file = folder / "entries.meta"
    with file.open("wb") as saved:
        saved.writelines(entries)
        # At a folder it waits for the files before it; at the end it would not, and the last ones would be lost.
        saved.write(_saved("/", _bytes(1, b"loaded") + _number(2, 1) + _bytes(4, _number(3, 0o20000000770))))
    ports = json.loads((folder / _PORTS).read_text())
    places = [f"-{part}={HOST}:{ports[f'{part}.port']}.{ports[f'{part}.port.grpc']}" for part in ("master", "filer")]
    told = f"fs.meta.load -v=false -concurrency=16 {file}\nexit\n"
    said = subprocess.run([installed("weed"), "shell", *places], input=told, capture_output=True, text=True, check=True)
    file.unlink()
    if "is loaded." not in said.stdout:
        raise RuntimeError(said.stdout[-1000:])


def entry(bucket: str, key: str, body: bytes, modified: int) -> bytes:
    """An object as SeaweedFS saves it with its folder, behind its length: a message of protobuf, as of ``filer.proto``.

    Args:
        bucket: where it is.
        key: under which key.
        body: what it holds; small enough to be kept beside its name.
        modified: when, in seconds since 1970.
    """
    folder, _, name = f"/buckets/{bucket}/{key}".rpartition("/")
    md5 = hashlib.md5(body, usedforsecurity=False).digest()
    attributes = _number(1, len(body)) + _number(2, modified) + _number(3, 0o660) + _bytes(14, md5)
    return _saved(folder, _bytes(1, name.encode()) + _bytes(4, attributes) + _bytes(9, body))


def _saved(folder: str, one: bytes) -> bytes:
    saved = _bytes(1, folder.encode()) + _bytes(2, one)
    return len(saved).to_bytes(4) + saved


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    low = []
    while value > 127:
        low.append(value & 127 | 128)
        value >>= 7
    return bytes([*low, value])


def _identity() -> dict[str, object]:
    keys = [{"accessKey": access, "secretKey": secret} for access, secret in KEYS.items()]
    return {"name": "pipelines", "credentials": keys, "actions": ["Admin", "Read", "List", "Tagging", "Write"]}


def _answers(endpoint: str) -> bool:
    """Whether it refuses us for lack of a key: then it is up."""
    try:
        urlopen(endpoint, timeout=5).close()
    except HTTPError as error:
        error.close()
        return error.code == 403
    except OSError:
        return False
    return True


def _knows(account: Account) -> bool:
    """Whether it knows our key, which it may learn a moment later, and so has made the bucket."""
    try:
        account.make_bucket(account.bucket)
    except ClientError as error:
        return error.response.get("Error", {}).get("Code", "").startswith("BucketAlready")
    return True
