"""The simulated hour as a test. Another seed: ``CRASHES_SEED=7``; a failure names the one to try again with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines_tests.crashes.traffic import simulate

SEED, MINUTES = "CRASHES_SEED", "CRASHES_MINUTES"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_an_hour_of_deaths_and_outages_nothing_is_lost_twice_or_leaked(tmp_path: Path) -> None:
    seed = int(os.environ.get(SEED) or 1)  # the same one each time: what fails must have been changed, not drawn
    print(f"{SEED}={seed}")
    wrong, counts = simulate(seed, float(os.environ.get(MINUTES) or 60), tmp_path)
    assert wrong == [], f"again with {SEED}={seed}; {dict(counts)}"
    assert counts["killed"] > 100
    assert counts["outages"] > 10


@pytest.mark.timeout(300)
def test_after_two_minutes_of_them_with_one_seed_too(tmp_path: Path) -> None:
    wrong, counts = simulate(1, 2, tmp_path)
    assert wrong == [], f"again with {SEED}=1 {MINUTES}=2; {dict(counts)}"
    assert counts["killed"] > 0
