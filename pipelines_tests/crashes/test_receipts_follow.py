"""Receipts tell of the version in force, also where its bytes were sent before and nothing is sent anew."""

from __future__ import annotations

import os

from pipelines.domains.mobile.feeds import PACKAGES
from pipelines.sandbox.aae import Aae
from pipelines_tests.crashes.invariants import Verdict
from pipelines_tests.crashes.landings import BAD, GOOD
from pipelines_tests.crashes.losses import land_again, path_of
from pipelines_tests.crashes.world import Place, World


def wrong_receipts(world: World, aae: Aae) -> list[str]:
    verdict = Verdict(world, aae)
    verdict._judge_receipts()
    return verdict.wrong


def test_a_version_that_is_put_back(place: Place, world: World, aae: Aae) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD])
    path = path_of(place, "a.jsonl")
    content, at = path.read_bytes(), path.stat().st_mtime_ns
    world.settle()
    world.uploader.land(PACKAGES, "a.jsonl", [BAD])
    world.settle()
    path.write_bytes(content)
    os.utime(path, ns=(at, at))
    world.settle()
    assert wrong_receipts(world, aae) == []


def test_a_version_that_gives_the_same_output(place: Place, world: World, aae: Aae) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD])
    world.settle()
    requests = len(aae.received())
    land_again(place, "a.jsonl", b"not JSON\n")
    world.settle()
    assert len(aae.received()) == requests
    assert wrong_receipts(world, aae) == []
