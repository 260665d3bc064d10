"""Events that are bad, broken or changed under our hands, and every way in which the other side may fail them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.adapters.objects.files import FileObjects
from pipelines.core.work import Item, Reason, State
from pipelines.domains.aae import exports
from pipelines.domains.mobile.feeds import EVENTS
from pipelines.sandbox.aae import Aae, Behaviour, Cut
from pipelines.sandbox.certificates import Certificates
from pipelines.sandbox.uploads import submissions
from pipelines_tests.crashes.invariants import Verdict, leaks
from pipelines_tests.crashes.landings import GOOD
from pipelines_tests.crashes.world import World
from pipelines_tests.domains.mobile.stages import HOUR, PAIRS

# What lands

BAD = {record.bad: record.raw for record in submissions(3, 60, PAIRS, HOUR, bad_share=1)}
CONTENTS = {
    "empty": b"",
    "blank": b" \n",
    "a byte order mark alone": b"\xef\xbb\xbf",
    "huge": b'{"metadata": "' + b"ZZ9Q" * (1 << 18) + b'"}',
    "deep": b"[" * 5_000,
    **{str(kind): raw for kind, raw in BAD.items()},
}


def land_raw(world: World, name: str, content: bytes) -> Path:
    path = world.place.root / "landing" / EVENTS.queue / f"{HOUR:%Y/%m/%d/%H}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def landed(world: World, name: str) -> Item:
    return [item for item in world.ledger.items(EVENTS.queue) if item.name.endswith(f"/{name}")][-1]


def test_bad_submissions_stay_here_with_their_reasons_and_stop_no_other(world: World, aae: Aae) -> None:
    names = {f"bad-{number}.json": name for number, name in enumerate(CONTENTS)}
    for name, content in names.items():
        land_raw(world, name, CONTENTS[content])
    world.uploader.land(EVENTS, "good.json", [GOOD])
    world.settle()
    for name, content in names.items():
        item = landed(world, name)
        counts = item.detail["written"], sum(item.detail["rejected"].values())
        assert (item.state, counts) == (State.SETTLED, (0, 1)), content
        folder = world.place.root / f"landing/quarantine/{EVENTS.queue}/date=2026-03-01/hour=12"
        assert (folder / f"{name}.jsonl").exists(), content
    good = landed(world, "good.json")
    assert [one.name for one in aae.received()] == [EVENTS.export_name(good.partition, good.name)]
    assert leaks(world.place.root) + leaks(aae.folder) == []


@dataclass
class Meddling(FileObjects):
    """A store in which something happens to an object while it is read."""

    root: Path
    meddle: Callable[[Path], None]

    def __post_init__(self) -> None:
        super().__init__(self.root.as_uri(), self.root)

    def stream(self, key: str, *, etag: str | None = None) -> Iterator[bytes]:
        for number, chunk in enumerate(super().stream(key, etag=etag)):
            if number == 0 and key.startswith(EVENTS.queue):
                self.meddle(self.root / key)
            yield chunk


def rewrite(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def replace_whole(path: Path) -> None:
    fresh = path.with_name(".fresh.part")
    fresh.write_bytes(path.read_bytes())
    fresh.replace(path)


@pytest.mark.parametrize("meddle", [rewrite, replace_whole])
def test_a_submission_rewritten_while_it_is_read_leaves_once_it_is_whole(
    meddle: Callable[[Path], None], world: World, aae: Aae
) -> None:
    world.uploader.land(EVENTS, "a.json", [GOOD])
    world.take_in(EVENTS)
    replace(world, landing=Meddling(world.place.root / "landing", meddle)).filter(EVENTS)
    world.settle()
    item = landed(world, "a.json")
    assert item.state is State.SETTLED
    assert item.detail["etag"] == world.landing.head(item.name).etag
    assert Verdict(world, aae, contents=1).judge() == []


def test_a_submission_deleted_while_it_is_read_is_whole_or_nothing(world: World, aae: Aae) -> None:
    world.uploader.land(EVENTS, "a.json", [GOOD])
    world.take_in(EVENTS)
    replace(world, landing=Meddling(world.place.root / "landing", Path.unlink)).filter(EVENTS)
    world.settle()
    assert landed(world, "a.json").state is State.SETTLED  # an open file is read to its end
    assert Verdict(world, aae).judge() == []


def test_a_submission_deleted_before_it_is_read_is_dead_as_gone_and_stops_no_other(world: World, aae: Aae) -> None:
    world.uploader.land(EVENTS, "b.json", [GOOD])
    path = land_raw(world, "a.json", b"{}")
    world.take_in(EVENTS)
    path.unlink()
    world.settle()
    assert (landed(world, "a.json").state, landed(world, "a.json").reason) == (State.DEAD, Reason.GONE)
    assert Verdict(world, aae, dead=1).judge() == []


# What the other side does

PENDING, DEAD = State.PENDING, State.DEAD
ANSWERS: dict[str, tuple[Behaviour, State, Reason]] = {
    "301": (Behaviour(301, location="https://127.0.0.1:1/"), DEAD, Reason.REDIRECTED),
    "400": (Behaviour(400), DEAD, Reason.REFUSED),
    "401": (Behaviour(401), PENDING, Reason.NOT_ALLOWED),
    "403": (Behaviour(403), PENDING, Reason.NOT_ALLOWED),
    "404": (Behaviour(404), PENDING, Reason.NOT_FOUND),
    "409": (Behaviour(409), DEAD, Reason.CONFLICT),
    "413": (Behaviour(413), DEAD, Reason.REFUSED),
    "429": (Behaviour(429, retry_after="600"), PENDING, Reason.BUSY),
    "500": (Behaviour(500), PENDING, Reason.SERVER_ERROR),
    "502": (Behaviour(502), PENDING, Reason.SERVER_ERROR),
    "503": (Behaviour(503), PENDING, Reason.SERVER_ERROR),
    "cut before it is kept": (Behaviour(cut=Cut.BEFORE), PENDING, Reason.CONNECTION),
    "cut after it is kept": (Behaviour(cut=Cut.AFTER), PENDING, Reason.CONNECTION),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_event_that_is_answered_so_is_kept_for_later_or_for_a_person_and_arrives(
    answer: str, world: World, aae: Aae
) -> None:
    behaviour, state, reason = ANSWERS[answer]
    world.uploader.land(EVENTS, "a.json", [GOOD])
    aae.behave(behaviour)
    world.tick()
    (item,) = world.ledger.items(EVENTS.exports)
    assert (item.state, item.reason) == (state, reason)
    (request,) = aae.received()
    assert request.query == exports.EVENTS.query
    assert request.content_type == "application/json"
    if state is PENDING:
        wait = timedelta(seconds=600 if answer == "429" else 30)
        assert item.due_at == world.now + wait
        world.now += wait - timedelta(seconds=1)
        world.tick()
        assert len(aae.received()) == 1
    aae.behave()
    world.replay()
    world.settle()
    assert Verdict(world, aae).judge() == []
    assert [one.sha256 for one in aae.received()] == [request.sha256] * 2


@pytest.mark.parametrize("who", ["a stranger", "nobody is there"])
def test_an_event_without_a_way_to_the_other_side_waits_and_loses_no_attempt(
    who: str, world: World, aae: Aae, strangers: Certificates
) -> None:
    world.uploader.land(EVENTS, "a.json", [GOOD])
    if who == "a stranger":
        lost = replace(world, credentials=strangers)
    else:
        lost = replace(world, place=replace(world.place, url="https://127.0.0.1:9/c19appdata"))
    lost.tick()
    (item,) = world.ledger.items(EVENTS.exports)
    wanted = Reason.TLS if who == "a stranger" else Reason.CONNECTION
    assert (item.state, item.reason, item.attempts, item.uncertain) == (PENDING, wanted, 0, False)
    assert aae.received() == []
    world.settle()
    assert Verdict(world, aae).judge() == []


def test_an_event_without_an_answer_in_time_is_sent_again_as_the_same_object(world: World, aae: Aae) -> None:
    world.uploader.land(EVENTS, "a.json", [GOOD])
    aae.behave(Behaviour(delay=1.5))
    world.tick()
    (item,) = world.ledger.items(EVENTS.exports)
    assert (item.state, item.reason, item.uncertain) == (PENDING, Reason.TIMEOUT, True)
    aae.behave()
    world.settle()
    assert Verdict(world, aae).judge() == []
