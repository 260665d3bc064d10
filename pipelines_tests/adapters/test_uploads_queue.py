"""Uploads that a queue on SQS tells of; the queue, the bucket and what S3 tells are moto's."""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.adapters.objects import ObjectInfo, Objects, ObjectsUnavailable, open_objects
from pipelines.adapters.uploads import Batch, Polling, Upload, Uploads, UploadsUnavailable, open_uploads, standing
from pipelines.adapters.uploads.listed import ListedUploads
from pipelines.adapters.uploads.queued import QueuedUploads
from pipelines.adapters.uploads.sqs import Message
from pipelines.core.rhythms import Cadence, Mark
from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.programs import HOST, free_ports
from pipelines_tests.servers.queues import DeadLettered, client, notification

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
FEED, OTHER = "mobile/events", "mobile/packages"
HOUR = f"{FEED}/{NOW:%Y/%m/%d/%H}"
KEY = f"{HOUR}/a b+c=é.json"
HIDDEN = timedelta(seconds=1)
"""As short as SQS has it; no test's tick takes so long."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running_moto(tmp_path_factory.mktemp("moto")) as account:
        yield account


@pytest.fixture(autouse=True)
def account(server: Account) -> Iterator[Account]:
    with server.in_use():
        yield server


@pytest.fixture
def root() -> str:
    """The folder in the bucket where uploads land: one for each test."""
    return uuid.uuid4().hex


@pytest.fixture
def objects(account: Account, root: str) -> Objects:
    return open_objects(f"s3://{account.bucket}/{root}")


@pytest.fixture
def queue(account: Account) -> DeadLettered:
    return DeadLettered.make()


@pytest.fixture
def tell(account: Account, root: str, queue: DeadLettered) -> Callable[..., None]:
    """Says that objects were written, in one message for each."""
    return lambda *keys: queue.send(notification(account.bucket, f"{root}/{key}") for key in keys)


class ListedOften:
    """Marks by which every longer listing has just ended: what is found then, the queue told of."""

    def mark(self, name: str) -> Mark:
        return Mark(NOW)

    def set_mark(self, name: str, mark: Mark) -> None:
        raise AssertionError(f"{name} is not due")


@pytest.fixture
def uploads(queue: DeadLettered, objects: Objects) -> Uploads:
    return open_at(queue.url, objects)


def open_at(url: str, objects: Objects, seconds: float = 30) -> Uploads:
    polling = Polling(seconds, HIDDEN, wait=0)
    return open_uploads(url, objects, ListedOften(), quiet=timedelta(0), polling=polling)


def take_in(uploads: Uploads, *also: str, prefix: str = FEED) -> list[Upload]:
    found: list[Upload] = []
    for batch in uploads.batches(prefix, NOW, also):
        found += batch.uploads
        batch.done()
    return found


def keys(found: list[Upload]) -> list[str]:
    return sorted(upload.key for upload in found)


def wait() -> None:
    time.sleep(HIDDEN.total_seconds() + 0.2)


def by_queue(account: Account, queue: DeadLettered) -> None:
    configure(account, QueueConfigurations=[{"QueueArn": queue.arn(), "Events": ["s3:ObjectCreated:*"]}])


def by_topic(account: Account, queue: DeadLettered) -> None:
    sns = client("sns")
    topic = sns.create_topic(Name=queue.name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn())
    configure(account, TopicConfigurations=[{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}])


def by_event_bridge(account: Account, queue: DeadLettered) -> None:
    events = client("events")
    pattern = {"source": ["aws.s3"], "detail": {"bucket": {"name": [account.bucket]}}}
    events.put_rule(Name=queue.name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=queue.name, Targets=[{"Id": "1", "Arn": queue.arn()}])
    configure(account, EventBridgeConfiguration={})


def configure(account: Account, **configuration: object) -> None:
    client("s3").put_bucket_notification_configuration(Bucket=account.bucket, NotificationConfiguration=configuration)


@pytest.fixture
def told_by(account: Account) -> Iterator[None]:
    yield
    configure(account)


@pytest.mark.usefixtures("told_by")
@pytest.mark.parametrize("way", [by_queue, by_topic, by_event_bridge])
def test_an_upload_is_found_with_its_version_however_it_is_told(
    account: Account,
    objects: Objects,
    queue: DeadLettered,
    uploads: Uploads,
    way: Callable[[Account, DeadLettered], None],
) -> None:
    """A test event comes first, unless by EventBridge, which has news of other kinds as well."""
    way(account, queue)
    info = objects.put(KEY, b"{}")
    assert take_in(uploads) == [Upload(KEY, info.etag, 2, info.modified)]
    assert queue.held() == 0
    assert take_in(uploads) == []


@pytest.mark.usefixtures("told_by")
def test_an_upload_in_parts_is_told_of_twice_and_found_once(
    account: Account, root: str, queue: DeadLettered, uploads: Uploads
) -> None:
    by_queue(account, queue)
    s3, place = client("s3"), {"Bucket": account.bucket, "Key": f"{root}/{KEY}"}
    upload = {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]}
    part = {"PartNumber": 1, "ETag": s3.upload_part(**upload, PartNumber=1, Body=b"{}")["ETag"]}
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    assert sum("ObjectCreated" in body for body in queue.bodies()) == 2
    assert keys(take_in(uploads)) == [KEY]
    assert queue.held() == 0


def test_several_records_in_base64_come_in_one_body(
    account: Account, root: str, objects: Objects, queue: DeadLettered, uploads: Uploads
) -> None:
    names = [f"{HOUR}/{number}.json" for number in range(3)]
    for name in names:
        objects.put(name, b"{}")
    body = notification(account.bucket, *(f"{root}/{name}" for name in names))
    queue.send([base64.b64encode(body.encode()).decode()])
    assert keys(take_in(uploads)) == names


def test_a_long_queue_is_taken_in_within_one_tick(
    objects: Objects, tell: Callable[..., None], queue: DeadLettered, uploads: Uploads
) -> None:
    names = [f"{HOUR}/{number:03}.json" for number in range(25)]
    for name in names:
        objects.put(name, b"{}")
    tell(*names)
    assert keys(take_in(uploads)) == names
    assert queue.held() == 0


def test_a_queue_that_never_ends_leaves_time_for_the_listing(
    objects: Objects, tell: Callable[..., None], queue: DeadLettered
) -> None:
    tell(KEY)
    assert take_in(open_at(queue.url, objects, seconds=0)) == []
    assert queue.held() == 1


def test_what_is_not_done_comes_again_and_meanwhile_to_nobody_else(
    objects: Objects, tell: Callable[..., None], queue: DeadLettered, uploads: Uploads
) -> None:
    objects.put(KEY, b"{}")
    tell(KEY)
    batch = next(uploads.batches(FEED, NOW))
    assert keys(list(batch.uploads)) == [KEY]
    assert take_in(open_at(queue.url, objects)) == []
    wait()
    assert keys(take_in(uploads)) == [KEY]
    batch.done()  # too late, and no harm
    assert queue.held() == 0


def test_the_store_and_not_the_message_says_which_version_is_there(
    objects: Objects, tell: Callable[..., None], uploads: Uploads
) -> None:
    """Messages come late and in any order."""
    objects.put(KEY, b"{}")
    tell(KEY)
    present = objects.put(KEY, b'{"now": 1}')
    tell(KEY)
    assert take_in(uploads) == [Upload(KEY, present.etag, 10, present.modified)]


def test_an_object_that_is_gone_is_no_upload(tell: Callable[..., None], queue: DeadLettered, uploads: Uploads) -> None:
    tell(KEY)
    assert take_in(uploads) == []
    assert queue.held() == 0


def test_a_tick_takes_in_what_the_queue_tells_of_other_feeds(
    objects: Objects, tell: Callable[..., None], queue: DeadLettered, uploads: Uploads
) -> None:
    """It will not be told again: two feeds share a queue, and each sensor may get the messages of both."""
    other = KEY.replace(FEED, OTHER)
    for key in (KEY, other):
        objects.put(key, b"{}")
    tell(KEY, other)
    assert keys(take_in(uploads, FEED, OTHER)) == [KEY, other]
    assert queue.held() == 0


@pytest.mark.parametrize(
    "key",
    [
        "quarantine/mobile/events/date=2026-03-01/hour=12/a.json.jsonl",
        "mobile/events_old/2026/03/01/12/a.json",
        f"{HOUR}/.a.json",
        f"{HOUR}/a.json.part",
        f"{HOUR}/",
        f"{HOUR}//a.json",
    ],
)
def test_what_is_no_upload_needs_nothing(
    account: Account, root: str, tell: Callable[..., None], queue: DeadLettered, uploads: Uploads, key: str
) -> None:
    """Not to be read again and again: most of it is written by ourselves."""
    client("s3").put_object(Bucket=account.bucket, Key=f"{root}/{key}", Body=b"{}")
    tell(key)
    queue.send([notification(account.bucket, f"lake/{KEY}", KEY)])  # in our bucket, elsewhere
    assert take_in(uploads) == []
    assert queue.held() == 0


def test_what_is_in_no_feeds_folder_is_counted_and_not_named(
    account: Account,
    tell: Callable[..., None],
    queue: DeadLettered,
    uploads: Uploads,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A feed that is spelt wrongly, or one of another platform: it must not go unnoticed."""
    tell("mobile/evens/2026/03/01/12/canary.json", f"{HOUR}/.canary.json")
    queue.send([notification(account.bucket, "canary/a.json", "canary/b.json")])
    with caplog.at_level(logging.INFO, "pipelines"):
        (batch,) = uploads.batches(FEED, NOW)
    batch.done()
    assert (batch.uploads, batch.unreadable, batch.foreign) == ((), 0, 3)
    assert queue.held() == 0
    assert "3 objects that the queue told of are in the folder of no feed" in caplog.text
    assert "canary" not in caplog.text


def test_what_cannot_be_read_is_left_to_the_dead_letter_queue_and_reported(
    account: Account,
    root: str,
    objects: Objects,
    tell: Callable[..., None],
    queue: DeadLettered,
    uploads: Uploads,
    caplog: pytest.LogCaptureFixture,
) -> None:
    objects.put(KEY, b"{}")
    control = notification(account.bucket, f"{root}/{HOUR}/canary\0.json")
    unreadable = ["canary", "{}", notification("another-bucket", f"canary/{KEY}"), control]
    queue.send(unreadable)
    tell(KEY)
    for attempt in range(queue.attempts):
        batches: list[Batch] = []
        for batch in uploads.batches(FEED, NOW):
            batches.append(batch)
            batch.done()
        assert sum(batch.unreadable for batch in batches) == 4
        assert [upload.key for batch in batches for upload in batch.uploads] == [KEY][attempt:]
        wait()
    assert take_in(uploads) == []
    assert queue.held() == 0
    assert sorted(queue.dead()) == sorted(unreadable)
    assert "canary" not in caplog.text
    assert "4 messages are left" in caplog.text
    assert "a key with control characters" in caplog.text
    assert "about another bucket" in caplog.text


def test_a_message_of_which_a_part_cannot_be_read_gives_the_rest_and_is_left(
    account: Account, root: str, objects: Objects, queue: DeadLettered, uploads: Uploads
) -> None:
    objects.put(KEY, b"{}")
    body = json.loads(notification(account.bucket, f"{root}/{KEY}"))
    queue.send([json.dumps({"Records": [1, *body["Records"]]})])
    assert keys(take_in(uploads)) == [KEY]
    assert queue.held() == 1


def test_a_listing_finds_what_no_message_told_of(objects: Objects, queue: DeadLettered) -> None:
    """A message may be lost, or expire. What is listed at every tick without a queue is not listed here."""

    class NeverListed:
        def mark(self, name: str) -> None:
            return None

        def set_mark(self, name: str, mark: Mark) -> None:
            pass

    objects.put(KEY, b"{}")
    uploads = open_uploads(queue.url, objects, NeverListed(), quiet=timedelta(0), polling=Polling(wait=0))
    assert keys(take_in(uploads)) == [KEY, KEY]  # of the last days, and of all
    assert take_in(open_at(queue.url, objects)) == []


def test_a_folder_is_listed_at_once(objects: Objects, uploads: Uploads) -> None:
    objects.put(KEY, b"{}")
    assert [one.key for page in uploads.folder(f"{HOUR}/", NOW) for one in page] == [KEY]


@pytest.mark.parametrize("failing", ["gone", "unreachable"])
def test_while_the_queue_fails_all_is_listed_and_the_failure_told(
    account: Account, objects: Objects, failing: str
) -> None:
    objects.put(KEY, b"{}")
    (port,) = free_ports(1)
    endpoint = {"AWS_ENDPOINT_URL_SQS": f"http://{HOST}:{port}"} if failing == "unreachable" else {}
    with account.in_use(**endpoint):
        uploads = open_at("sqs://there-is-none", objects)
        found = []
        words = "not reached" if failing == "unreachable" else "refused: .*NonExistentQueue"
        with pytest.raises(UploadsUnavailable, match=words):  # noqa: PT012 (what came before it counts)
            for batch in uploads.batches(FEED, NOW):
                found += [one.key for one in batch.uploads]
                batch.done()
    assert found == [KEY]


class FailingObjects:
    """A store that can't tell of one key."""

    def __init__(self, objects: Objects, key: str) -> None:
        self.url = objects.url
        self.list = objects.list
        self._objects = objects
        self._key = key

    def head(self, key: str) -> ObjectInfo:
        if key == self._key:
            raise ObjectsUnavailable(key)
        return self._objects.head(key)


def test_a_message_stays_while_the_store_cannot_tell(
    objects: Objects, tell: Callable[..., None], queue: DeadLettered
) -> None:
    broken, sound = f"{HOUR}/broken.json", f"{HOUR}/sound.json"
    for key in (broken, sound):
        objects.put(key, b"{}")
    tell(broken, sound)
    uploads = open_at(queue.url, FailingObjects(objects, broken))  # type: ignore[arg-type]  # no more is asked of it
    told = uploads.batches(FEED, NOW)
    first = next(told)
    first.done()
    assert [one.key for one in first.uploads] == [sound]
    assert queue.held() == 1
    with pytest.raises(ObjectsUnavailable):
        list(told)
    wait()
    assert keys(take_in(open_at(queue.url, objects))) == [broken]


class ManyMessages:
    """A queue whose one message tells of more than a batch may hold."""

    def __init__(self, *bodies: str) -> None:
        self.waiting = [Message(str(number), body) for number, body in enumerate(bodies)]
        self.deleted: list[Message] = []

    def receive(self) -> list[Message]:
        taken, self.waiting = self.waiting, []
        return taken

    def delete(self, messages: list[Message]) -> None:
        self.deleted += messages


def test_a_message_is_deleted_with_the_last_batch_of_what_it_tells(tmp_path: Path) -> None:
    class AllThere:
        url = "s3://uploads"

        def head(self, key: str) -> ObjectInfo:
            return ObjectInfo(key, 1, "1", NOW)

    listed = ListedUploads(AllThere(), ListedOften(), Cadence(0, 0), timedelta(0))  # type: ignore[arg-type]  # as above
    queue = ManyMessages(notification("uploads", *(f"{HOUR}/{number}.json" for number in range(2001))))
    uploads = QueuedUploads(queue, AllThere(), listed, listed, 30)  # type: ignore[arg-type]  # as above
    sizes = []
    for batch in uploads.batches(FEED, NOW):
        assert queue.deleted == []
        sizes.append(len(batch.uploads))
        batch.done()
    assert sizes == [1000, 1000, 1]
    assert len(queue.deleted) == 1


@pytest.mark.parametrize("url", ["sqs://", "sqs://a/b/c", "sqs://12345/queue", "sqs://queue?x=1", "sqs://a queue"])
def test_a_url_that_names_no_queue_is_refused(objects: Objects, url: str) -> None:
    with pytest.raises(ValueError, match=r"sqs://queue or sqs://account/queue"):
        open_at(url, objects)


def test_a_queue_of_a_named_account_is_found(objects: Objects, tell: Callable[..., None], queue: DeadLettered) -> None:
    objects.put(KEY, b"{}")
    tell(KEY)
    assert keys(take_in(open_at(f"sqs://{queue.arn().split(':')[4]}/{queue.name}", objects))) == [KEY]


def test_a_queue_tells_only_of_a_bucket(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s3:// only"):
        open_at("sqs://queue", open_objects(tmp_path.as_uri()))


def test_opening_asks_nothing_of_anyone(objects: Objects) -> None:
    open_at("sqs://there-is-none", objects)


def test_the_queue_says_how_it_stands(tell: Callable[..., None], queue: DeadLettered) -> None:
    tell(KEY)
    assert standing(queue.url) == "reached: 1 messages wait, 0 are in hand"
    with pytest.raises(ValueError, match="without a dead-letter queue"):
        standing(f"{queue.url}-dead")
    with pytest.raises(UploadsUnavailable, match="NonExistentQueue"):
        standing("sqs://there-is-none")
    assert standing("list://") == "found by listing alone"


def test_nothing_is_said_of_messages_that_are_well(
    objects: Objects, tell: Callable[..., None], uploads: Uploads, caplog: pytest.LogCaptureFixture
) -> None:
    objects.put(KEY, b"{}")
    tell(KEY, f"{HOUR}/gone.json")
    with caplog.at_level(logging.INFO, "pipelines"):
        take_in(uploads)
    assert caplog.text == ""
