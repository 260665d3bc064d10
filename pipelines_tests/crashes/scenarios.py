"""What runs do from beginning to end, once without and once with a death in the middle.

Each scenario is prepared without dying, acted with a death at any of its steps, and acted again: whoever started it,
a sensor or a person, starts it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from pipelines.domains.mobile import accepted
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES
from pipelines.sandbox.aae import Behaviour, Cut
from pipelines_tests.crashes.children import ACT
from pipelines_tests.crashes.landings import BAD, FUSSY, GOOD
from pipelines_tests.crashes.residents import BEFORE, CORRECTED, EDITED, PLAYED, Residents
from pipelines_tests.crashes.world import World
from pipelines_tests.domains.mobile.stages import MAPPING


@dataclass(frozen=True)
class Scenario:
    """How a world is prepared, and what is then done in it.

    Attributes:
        prepare: without a death.
        act: with one; may be done twice.
        refuses: whether the other side refuses all while it is prepared.
        outage: how the other side behaves at first while it is acted.
        contents: how many contents more than usual a name may have at the other side in the end.
        fixed: whether what was fussed about is accepted in the end.
        deployment: of what it is played in.
        overtakes: whether, once somebody died, less is sent before it is edited than else.
    """

    prepare: Callable[[Any], None]
    act: Callable[[Any], None]
    refuses: bool = False
    outage: Sequence[Behaviour] = ()
    contents: int = 0
    fixed: bool = False
    deployment: type[World] = World
    overtakes: bool = False


def _land_events(world: World) -> None:
    uploader = world.uploader
    uploader.land(EVENTS, "1772366400001_a.json", [GOOD])
    world.settle()
    uploader.land(EVENTS, "1772366400001_a.json", [GOOD])  # rewritten after it was delivered
    for name, kind in (("b", GOOD), ("c", BAD), ("d", GOOD)):
        uploader.land(EVENTS, f"{name}.json", [kind])


def _land_packages(world: World) -> None:
    uploader = world.uploader
    uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD, GOOD])
    world.settle()
    uploader.land(PACKAGES, "a.jsonl", [GOOD, GOOD])
    uploader.land(PACKAGES, "b.jsonl", [BAD, GOOD, GOOD, GOOD])
    uploader.land(PACKAGES, "c.jsonl", [BAD])


def _land_both(world: World) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, BAD, GOOD])
    world.uploader.land(EVENTS, "b.json", [GOOD])
    world.uploader.land(EVENTS, "c.json", [BAD])


def _settle_both(world: World) -> None:
    _land_both(world)
    world.settle()


def _settle_fussy(world: World) -> None:
    world.uploader.land(PACKAGES, "a.jsonl", [GOOD, FUSSY, BAD, FUSSY])
    world.uploader.land(EVENTS, "b.json", [FUSSY])
    world.uploader.land(EVENTS, "c.json", [BAD])
    world.settle()


def _settle_slowly(world: World) -> None:
    """Each send takes so long that the leases are renewed meanwhile."""
    world.place, world.lease = replace(world.place, send_seconds=0.9), timedelta(seconds=1.4)
    world.settle()


def _replay(world: World) -> None:
    world.replay()
    world.settle()


def _pause_and_resume(world: World) -> None:
    for queue in (EVENTS.queue, PACKAGES.exports):
        world.pause(queue)
    world.tick()
    for queue in (EVENTS.queue, PACKAGES.exports):
        world.resume(queue)
    world.settle()


def _reprocess(world: World) -> None:
    world.mended = True
    world.reprocess()
    world.settle()


def _remap(world: World) -> None:
    if accepted.named(world.lake) == MAPPING.sha256:
        world.change_mapping()
    world.remap()
    world.settle()


def _delete(world: World) -> None:
    world.now += timedelta(hours=1)
    world.delete_landed(world.now)
    world.settle()


def _lose_the_ledger(world: World) -> None:
    """The receipts were written, then more was delivered, then the ledger was lost."""
    _settle_both(world)
    world.uploader.land(PACKAGES, "later.jsonl", [GOOD, BAD])
    world.uploader.land(EVENTS, "later.json", [GOOD])
    for feed in (PACKAGES, EVENTS):
        world.take_in(feed)
        world.filter(feed)
    world.jobs[PACKAGES.exports]()
    world.lose_ledger()


def _restore(world: World) -> None:
    world.restore()
    world.replay_doubtful()
    world.settle()


def _drop_sheets(world: Residents) -> None:
    world.drop(BEFORE)


def _send_and_edit(world: Residents) -> None:
    world.settle()
    world.drop(EDITED)
    world.settle()


def _edit_before_it_goes_on(world: Residents) -> None:
    """Whoever died left the sheets half sent, and they are others when the next run begins."""
    if world.owner == ACT:
        world.settle()
    world.drop(CORRECTED)
    world.settle()


def _lose_what_was_sent(world: Residents) -> None:
    """The receipts were written, then more was sent, then the ledger was lost."""
    world.drop(BEFORE)
    world.settle()
    world.drop(EDITED)
    world.look()
    for feed in PLAYED:
        world.send(feed)
    world.lose_ledger()


def _restore_and_send(world: Residents) -> None:
    world.restore()
    world.settle()


SCENARIOS: Mapping[str, Scenario] = {
    "events": Scenario(_land_events, World.settle),
    "packages": Scenario(_land_packages, World.settle),
    "outage": Scenario(_land_both, World.settle, outage=[Behaviour(401, times=1), Behaviour(cut=Cut.AFTER, times=1)]),
    "slow answers": Scenario(_land_both, _settle_slowly, outage=[Behaviour(delay=0.7)]),
    "replay": Scenario(_settle_both, _replay, refuses=True),
    "pause and resume": Scenario(_land_both, _pause_and_resume),
    "reprocess": Scenario(_settle_fussy, _reprocess, fixed=True),
    "remap": Scenario(_settle_both, _remap, contents=1),
    "retention": Scenario(_settle_both, _delete),
    "restore": Scenario(_lose_the_ledger, _restore),
    "residents": Scenario(_drop_sheets, _send_and_edit, deployment=Residents),
    "residents corrected": Scenario(_drop_sheets, _edit_before_it_goes_on, deployment=Residents, overtakes=True),
    "residents restored": Scenario(_lose_what_was_sent, _restore_and_send, deployment=Residents),
}
