"""What the children are forked from: every module loaded, and one small round of work done, so that they start warm."""

from __future__ import annotations

import gc
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines import settle
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES
from pipelines_tests.crashes import children, scenarios, traffic
from pipelines_tests.crashes.landings import BAD, GOOD
from pipelines_tests.crashes.world import Place, World

__all__ = ["children", "scenarios", "settle", "traffic"]


def _keep_what_is_compiled() -> None:
    """From now on statements are compiled once for all ledgers, whose engines would each do so: a fifth of the work."""
    create, first = sa.create_engine, sa.create_engine("sqlite://")
    first.connect().close()

    def create_engine(url: str, **options: Any) -> sa.Engine:
        engine = create(url, **options)
        if engine.dialect.name == first.dialect.name:
            engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache
        return engine

    sa.create_engine = create_engine  # type: ignore[assignment]  # the one that it stands for is overloaded


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


_keep_what_is_compiled()
_work_a_little()
gc.collect()
gc.freeze()  # else each child would look through all of it, and by that copy it
