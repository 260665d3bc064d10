"""S3 from SeaweedFS's wheel: durable, refuses wrong secrets. It lists folders by name, each with all that is in it.

That is not quite the order of keys: S3 has ``a-b`` before ``a/b``, SeaweedFS after it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
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
        words = [*places, *_OPTIONS, *(f"-{name}={port}" for name, port in ports.items())]
        return [installed("weed"), "server", *words], lambda: _answers(account.endpoint) and _knows(account)

    with running(command, folder / "seaweedfs.log"):
        yield account


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
