"""SQS, S3 and the other services of AWS, from moto's wheel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from pipelines_tests.servers.aws import REGION, Account
from pipelines_tests.servers.programs import HOST, free_ports, running

BUCKET = "uploads"


@contextmanager
def running_moto(folder: Path) -> Iterator[Account]:
    """A server with one bucket, without anything afterwards; it accepts any key."""
    endpoint = ""

    def command() -> tuple[Sequence[str], Callable[[], bool]]:
        nonlocal endpoint
        (port,) = free_ports(1)
        endpoint = f"http://{HOST}:{port}"
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)], lambda: _answers(endpoint)

    with running(command, folder / "moto.log"):
        account = Account(endpoint, "AKIATESTS", "a-secret-of-moto", BUCKET)
        with account.in_use():
            make_bucket(BUCKET)
        yield account


def make_bucket(name: str) -> None:
    """In the account in use."""
    import boto3  # noqa: PLC0415 (only tests with servers need it)

    client = boto3.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(f"{endpoint}/moto-api/data.json", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
