"""What the mobile domain's tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines_tests.domains.mobile.stages import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage.open(tmp_path)
    yield stage
    stage.ledger.close()
