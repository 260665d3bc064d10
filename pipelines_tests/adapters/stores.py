"""Empty stores of objects of every form, on the servers that they need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from pipelines_tests.servers.aws import Account

FORMS = ("file", "memory", "seaweedfs", "moto")
ON_A_SERVER = ("seaweedfs", "moto")

_numbers = count(1)


@contextmanager
def empty(form: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a store of this form with nothing in it, to be used inside."""
    if form not in ON_A_SERVER:
        yield "memory://" if form == "memory" else (folder / "the store").as_uri()
        return
    account: Account = request.getfixturevalue(form)
    with account.in_use():
        yield f"s3://{account.bucket}/store-{next(_numbers)}"
