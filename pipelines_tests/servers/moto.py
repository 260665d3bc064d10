"""SQS, S3 and the other services of AWS, from moto's wheel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from pipelines_tests.servers.aws import Account
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
        account.make_bucket(BUCKET)
        yield account


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(f"{endpoint}/moto-api/data.json", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
