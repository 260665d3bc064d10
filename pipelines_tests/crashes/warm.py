"""What the children are forked from: every module loaded, and one small round of work done, so that they start warm."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path

from pipelines import settle
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES
from pipelines_tests.crashes import children, scenarios, traffic
from pipelines_tests.crashes.landings import BAD, GOOD
from pipelines_tests.crashes.world import Place, World

__all__ = ["children", "scenarios", "settle", "traffic"]


def _work_a_little() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World.open(Place(Path(folder), "", Path(folder)))
        world.uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD])
        world.uploader.land(EVENTS, "a.json", [GOOD])
        for feed in (PACKAGES, EVENTS):
            world.take_in(feed)
            world.filter(feed)
        world.make_tables()
        world.close()


_work_a_little()
gc.collect()
gc.freeze()  # else each child would look through all of it, and by that copy it
