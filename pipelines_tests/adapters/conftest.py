"""A ledger of each form, for the suites that every form has to pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines_tests.adapters.ledgers import FORMS


@pytest.fixture(params=sorted(FORMS))
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(FORMS[request.param](tmp_path))
    yield ledger
    ledger.close()
