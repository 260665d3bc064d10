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
DEPLOYED = "deployed"
"""One more: what the template for AWS makes, with the rights of the platform alone."""

_numbers = count(1)


@contextmanager
def empty(form: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a store of this form with nothing in it, to be used inside."""
    if form not in (*ON_A_SERVER, DEPLOYED):
        yield "memory://" if form == "memory" else (folder / "the store").as_uri()
        return
    account: Account = request.getfixturevalue(form)
    with account.in_use():
        folder_of_lake = "lake/" if form == DEPLOYED else ""  # nowhere else may it write
        yield f"s3://{account.bucket}/{folder_of_lake}store-{next(_numbers)}"
