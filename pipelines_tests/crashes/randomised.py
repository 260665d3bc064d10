"""One run of the simulated hour, by its seed: ``python -m pipelines_tests.crashes.randomised --seed 7``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from random import Random

from pipelines_tests.crashes.traffic import simulate


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6))
    parser.add_argument("--minutes", type=float, default=60, help="of simulated time")
    parser.add_argument("--folder", type=Path, help="keep everything here, to look at it")
    told = parser.parse_args()
    began = time.monotonic()
    print(f"seed {told.seed}, {told.minutes:g} minutes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        wrong, counts = simulate(told.seed, told.minutes, told.folder or Path(folder))
    print(f"seed {told.seed}: {dict(counts)} in {time.monotonic() - began:.0f} s")
    print("\n".join(wrong) if wrong else "everything is settled, nothing lost, nothing twice, nothing leaked")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
