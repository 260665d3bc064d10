"""Landed files that a queue tells of: not at all, doubled, in any order, of two feeds at once, after they are gone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.objects import Objects, open_objects
from pipelines.adapters.uploads import Polling, Uploads, open_uploads
from pipelines.core.periods import hour_key
from pipelines.core.rhythms import Cadence, Mark
from pipelines.core.work import Item, State
from pipelines.definitions import build
from pipelines.domains.mobile import intake
from pipelines.domains.mobile.feeds import EVENTS, PACKAGES, Feed
from pipelines.domains.mobile.intake import Intake
from pipelines.domains.mobile.sensors import mobile_packages_uploaded
from pipelines.environment import Environment
from pipelines_tests.domains.mobile.stages import START
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.postgres import password
from pipelines_tests.servers.queues import DeadLettered, notification

NOW = datetime.now(UTC).replace(microsecond=0)


def key(feed: Feed, name: str) -> str:
    return f"{feed.queue}/{NOW:%Y/%m/%d/%H}/{name}"


PACKAGE, EVENT = key(PACKAGES, "a.json"), key(EVENTS, "a.json")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running_moto(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture(autouse=True)
def account(server: Account) -> Iterator[Account]:
    with server.in_use():
        yield server


@pytest.fixture
def objects(account: Account, tmp_path: Path) -> Objects:
    """A folder of the test's own in the bucket."""
    return open_objects(f"s3://{account.bucket}/{tmp_path.name}")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        yield ledger


@pytest.fixture
def queue(account: Account) -> DeadLettered:
    return DeadLettered.make(attempts=20)


class Marks:
    """Marks in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Mark] = {}

    def mark(self, name: str) -> Mark | None:
        return self.kept.get(name)

    def set_mark(self, name: str, mark: Mark) -> None:
        self.kept[name] = mark


def told(queue: DeadLettered, objects: Objects, marks: Marks | None = None, hidden: float = 60) -> Uploads:
    """By the queue alone; with ``marks`` also by the listings that are due."""
    cadence = Cadence() if marks else Cadence(0, 0, all_every=timedelta(days=9999))
    return open_uploads(
        queue.url,
        objects,
        marks or _ListedJustNow(),
        cadence=cadence,
        quiet=timedelta(0),
        polling=Polling(30, timedelta(seconds=hidden), wait=0),
    )


class _ListedJustNow:
    def mark(self, name: str) -> Mark:
        return Mark(NOW)

    def set_mark(self, name: str, mark: Mark) -> None:
        raise AssertionError(f"{name} is not due")


def take_in(uploads: Uploads, ledger: Ledger, feed: Feed = PACKAGES, now: datetime = NOW) -> dict[str, Intake]:
    return intake.take_in(feed, uploads, ledger, START, now, 60)


def tell(queue: DeadLettered, objects: Objects, *names: str) -> None:
    bucket, _, root = objects.url.removeprefix("s3://").partition("/")
    queue.send(notification(bucket, f"{root}/{name}") for name in names)


def items(ledger: Ledger, feed: Feed) -> list[Item]:
    return list(ledger.items(feed.queue))


def test_either_sensor_takes_in_what_the_queue_tells_of_both_feeds(
    objects: Objects, ledger: Ledger, queue: DeadLettered
) -> None:
    """They share a queue: what one of them leaves out would be lost to the other."""
    for name in (PACKAGE, EVENT):
        objects.put(name, b"{}")
    tell(queue, objects, PACKAGE, EVENT)
    taken = take_in(told(queue, objects), ledger)
    new = {hour_key(NOW): 1}
    assert {feed: one.new for feed, one in taken.items()} == {PACKAGES.queue: new, EVENTS.queue: new}
    assert [item.name for feed in (PACKAGES, EVENTS) for item in items(ledger, feed)] == [PACKAGE, EVENT]
    assert {one.queue for one in ledger.backlog(NOW)} == {PACKAGES.queue, EVENTS.queue}
    assert queue.held() == 0
    assert take_in(told(queue, objects), ledger, EVENTS)[EVENTS.queue].seen == 0


def test_messages_that_come_ten_times_and_in_any_order_make_each_file_work_once(
    objects: Objects, ledger: Ledger, queue: DeadLettered
) -> None:
    """Among them some of files that are gone, and of an older version of one that is there."""
    names = [key(PACKAGES, f"{number}.json") for number in range(6)]
    for name in names:
        objects.put(name, b"{}")
    objects.put(names[0], b"{ }")
    for name in names[4:]:
        objects.delete(name)
    messages = names * 10
    random.Random(1).shuffle(messages)
    tell(queue, objects, *messages)
    new = sum(one.new.total() for one in (take_in(told(queue, objects), ledger)[PACKAGES.queue] for _ in range(3)))
    assert new == 4
    assert [(item.name, item.state) for item in items(ledger, PACKAGES)] == [
        (name, State.PENDING) for name in names[:4]
    ]
    assert items(ledger, PACKAGES)[0].size == 3
    assert queue.held() == 0


def test_a_tick_that_dies_before_it_deletes_its_messages_loses_and_doubles_nothing(
    objects: Objects, ledger: Ledger, queue: DeadLettered
) -> None:
    """Ten times in a row: the message is received again as soon as it is not hidden any more."""
    objects.put(PACKAGE, b"{}")
    tell(queue, objects, PACKAGE)

    class Died(BaseException):
        pass

    class Dying:
        def __init__(self) -> None:
            self.uploads = told(queue, objects, hidden=0)

        def batches(self, *args, **kwargs):  # type: ignore[no-untyped-def]  # as it is called
            for batch in self.uploads.batches(*args, **kwargs):
                yield batch.__class__(batch.uploads, self.die)

        def die(self) -> None:
            raise Died

    dying = Dying()
    for _ in range(10):
        with pytest.raises(Died):
            take_in(dying, ledger)  # type: ignore[arg-type]  # no more is asked of it
        assert [item.state for item in items(ledger, PACKAGES)] == [State.PENDING]
        assert queue.held() == 1
    taken = take_in(told(queue, objects), ledger)[PACKAGES.queue]
    assert (taken.seen, taken.new.total()) == (1, 0)
    assert queue.held() == 0
    assert len(items(ledger, PACKAGES)) == 1


def test_a_file_is_found_although_its_message_expired(objects: Objects, ledger: Ledger, queue: DeadLettered) -> None:
    """The listing goes on as the slower rhythm: within the hour."""
    marks = Marks()
    uploads = told(queue, objects, marks)
    take_in(uploads, ledger)
    objects.put(PACKAGE, b"{}")
    tell(queue, objects, PACKAGE)
    queue.expire()
    assert take_in(uploads, ledger, now=NOW + timedelta(minutes=30))[PACKAGES.queue].seen == 0
    assert take_in(uploads, ledger, now=NOW + timedelta(minutes=60))[PACKAGES.queue].new == {hour_key(NOW): 1}


def test_a_file_that_was_deleted_after_it_was_settled_is_not_work_again(
    objects: Objects, ledger: Ledger, queue: DeadLettered
) -> None:
    """The retention of raw files deletes it; a message about it may come as long as the queue keeps one."""
    objects.put(PACKAGE, b"{}")
    tell(queue, objects, PACKAGE, PACKAGE)
    take_in(told(queue, objects), ledger)
    objects.delete(PACKAGE)
    before = items(ledger, PACKAGES)
    tell(queue, objects, PACKAGE)
    take_in(told(queue, objects), ledger)
    assert items(ledger, PACKAGES) == before
    assert queue.held() == 0


@pytest.mark.parametrize("form", ["sqlite", "postgresql"])
def test_a_key_that_no_ledger_can_hold_keeps_no_other_from_being_taken_in(
    objects: Objects, queue: DeadLettered, form: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """PostgreSQL has no texts with a NUL; the file that it names can't be read either, and must not go unnoticed."""
    objects.put(PACKAGE, b"{}")
    tell(queue, objects, key(PACKAGES, "canary\0.json"), PACKAGE)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if form == "postgresql":
        url = request.getfixturevalue("postgres").fresh("nul")
    with closing(open_ledger(url, password())) as ledger:
        taken = take_in(told(queue, objects), ledger)[PACKAGES.queue]
        assert (taken.new, taken.unreadable) == ({hour_key(NOW): 1}, 1)
        assert [item.name for item in items(ledger, PACKAGES)] == [PACKAGE]
    assert queue.held() == 1


def test_two_ticks_at_once_share_the_queue(objects: Objects, ledger: Ledger, queue: DeadLettered) -> None:
    """As those of two sensors: what one has received, the other does not get."""
    names = [key(PACKAGES, f"{number:02}.json") for number in range(30)]
    for name in names:
        objects.put(name, b"{}")
    tell(queue, objects, *names)
    first = told(queue, objects).batches(PACKAGES.queue, NOW)
    second = told(queue, objects).batches(PACKAGES.queue, NOW)
    held = [next(first)]
    assert list(second) == []
    assert sorted(upload.key for batch in held for upload in batch.uploads) == names


def test_a_sensor_reports_what_it_took_in_of_each_feed_and_what_it_could_not_read(
    account: Account, objects: Objects, queue: DeadLettered, tmp_path: Path
) -> None:
    for name in (PACKAGE, EVENT):
        objects.put(name, b"{}")
    tell(queue, objects, PACKAGE, EVENT)
    queue.send(["canary"])
    tell(queue, objects, "video/events/canary.json", "quarantine/canary.json")
    environment = Environment(
        home=tmp_path,
        landing=objects.url,
        lake=f"{objects.url}-lake",
        uploads=queue.url,
        aae="https://aae.example/in",
        here_to_help="https://residents.example/api",
    )
    defs = build(environment)
    needed = mobile_packages_uploaded.required_resource_keys
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance,
            definitions=defs,
            resources={name: one for name, one in (defs.resources or {}).items() if name in needed},
        ) as context,
    ):
        tick = mobile_packages_uploaded.evaluate_tick(context)
    told_of = {
        (one.asset_key.to_user_string(), one.partition): {name: value.value for name, value in one.metadata.items()}
        for one in tick.asset_events
    }
    hour = hour_key(NOW)
    assert {place: found["files"] for place, found in told_of.items()} == {
        (f"mobile/landed_{feed}", partition): 1 for feed in ("packages", "events") for partition in (hour, None)
    }
    assert told_of["mobile/landed_packages", None]["messages_unreadable"] == 1
    assert told_of["mobile/landed_packages", None]["objects_of_no_feed"] == 2
    assert "canary" not in str(told_of)
    assert tick.skip_message == "no privacy mapping is accepted yet"
