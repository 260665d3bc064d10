"""What messages about stored objects say, whoever wrote and wrapped them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.core.notifications import Created, Fault, Notice, read_notice

BUCKET = "uploads"
KEY = "mobile/events/2026/03/01/12/a b+c=é.json"
ENCODED = "mobile/events/2026/03/01/12/a+b%2Bc%3D%C3%A9.json"
FOUND = Notice((Created(BUCKET, KEY),))


def record(key: str = ENCODED, name: str = "ObjectCreated:Put", bucket: str = BUCKET) -> dict[str, Any]:
    """As S3 writes it, shortened."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "eu-west-2",
        "eventTime": "2026-03-01T12:00:00.000Z",
        "eventName": name,
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "uploads",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": key, "size": 2, "eTag": "99914b932bd37a50b983c5e7c90ae93b", "sequencer": "0065"},
        },
    }


def s3(*records: Any) -> str:
    return json.dumps({"Records": list(records)})


def event_bridge(key: str = KEY, kind: str = "Object Created") -> str:
    return json.dumps(
        {
            "version": "0",
            "id": "17793124-05d4-b198-2fde-7ededc63b103",
            "detail-type": kind,
            "source": "aws.s3",
            "account": "123456789012",
            "time": "2026-03-01T12:00:00Z",
            "region": "eu-west-2",
            "resources": [f"arn:aws:s3:::{BUCKET}"],
            "detail": {
                "version": "0",
                "bucket": {"name": BUCKET},
                "object": {"key": key, "size": 2, "etag": "99914b932bd37a50b983c5e7c90ae93b", "sequencer": "0065"},
                "reason": "PutObject",
            },
        }
    )


def sns(message: str) -> str:
    return json.dumps(
        {
            "Type": "Notification",
            "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
            "TopicArn": "arn:aws:sns:eu-west-2:123456789012:uploads",
            "Subject": "Amazon S3 Notification",
            "Message": message,
            "Timestamp": "2026-03-01T12:00:00.000Z",
        }
    )


def in_base64(message: str) -> str:
    return base64.b64encode(message.encode()).decode()


def in_lines_of_base64(message: str) -> str:
    return base64.encodebytes(message.encode()).decode()


def quoted(message: str) -> str:
    return json.dumps(message)


TEST_EVENT = json.dumps(
    {"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-01T12:00:00.000Z", "Bucket": BUCKET}
)

Wrapping = Callable[[str], str]
WRAPPINGS: list[Wrapping] = [sns, in_base64, in_lines_of_base64, quoted]


def plain(message: str) -> str:
    return message


@pytest.mark.parametrize("message", [s3(record()), event_bridge()], ids=["s3", "event_bridge"])
@pytest.mark.parametrize("outer", [plain, *WRAPPINGS])
@pytest.mark.parametrize("inner", [plain, *WRAPPINGS])
def test_a_written_object_is_found_in_whatever_wrapping(message: str, outer: Wrapping, inner: Wrapping) -> None:
    """S3 encodes keys, a space as a plus sign; EventBridge does not."""
    assert read_notice(outer(inner(message))) == FOUND


@pytest.mark.parametrize("name", ["Put", "Post", "Copy", "CompleteMultipartUpload"])
@pytest.mark.parametrize("prefix", ["", "s3:"])
def test_each_way_of_writing_counts(name: str, prefix: str) -> None:
    """Others that speak as S3 write the name of an event with the prefix that it has in a configuration."""
    assert read_notice(s3(record(name=f"{prefix}ObjectCreated:{name}"))) == FOUND


def test_several_records_come_in_one_body() -> None:
    assert read_notice(s3(record("a"), record("b", bucket="other"), record("c"))) == Notice(
        (Created(BUCKET, "a"), Created("other", "b"), Created(BUCKET, "c"))
    )


def test_an_object_that_is_told_of_twice_counts_once() -> None:
    """As the two events of one multipart upload."""
    assert read_notice(s3(record(), record(name="ObjectCreated:CompleteMultipartUpload"))) == FOUND


@pytest.mark.parametrize(
    "message",
    [
        TEST_EVENT,
        sns(TEST_EVENT),
        s3(),
        s3(record(name="ObjectRemoved:Delete"), record(name="ObjectTagging:Put")),
        event_bridge(kind="Object Deleted"),
    ],
    ids=["test", "test by SNS", "no records", "not written", "not written, by EventBridge"],
)
def test_other_news_says_nothing_and_is_no_fault(message: str) -> None:
    assert read_notice(message) == Notice()


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ("", Fault.NO_JSON),
        ("{", Fault.NO_JSON),
        ("aGVsbG8=", Fault.NO_JSON),  # "hello"
        ("\ud800", Fault.NO_JSON),
        ("[" * 100_000, Fault.NO_JSON),
        (sns("hello"), Fault.NO_JSON),
        ("null", Fault.UNKNOWN),
        ("1234", Fault.UNKNOWN),
        ("{}", Fault.UNKNOWN),
        (json.dumps([record()]), Fault.UNKNOWN),
        (json.dumps({"Records": {}}), Fault.UNKNOWN),
        (json.dumps({"Type": "SubscriptionConfirmation", "Message": "You have chosen"}), Fault.UNKNOWN),
        (s3(1), Fault.UNKNOWN),
        (s3({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": {}}}), Fault.UNKNOWN),
        (s3(record(key="")), Fault.UNKNOWN),
        (s3(record(key="%FF")), Fault.KEY),
        (json.dumps({"source": "aws.s3", "detail-type": "Object Created"}), Fault.UNKNOWN),
        (sns(sns(sns(sns(sns(s3(record())))))), Fault.UNKNOWN),
    ],
)
def test_what_cannot_be_understood_is_a_fault(message: str, fault: Fault) -> None:
    assert read_notice(message) == Notice((), (fault,))


def test_a_broken_record_takes_nothing_from_those_beside_it() -> None:
    assert read_notice(s3(record("a"), 1, record("b"))) == Notice(
        (Created(BUCKET, "a"), Created(BUCKET, "b")), (Fault.UNKNOWN,)
    )


texts = st.text(st.characters(exclude_categories=["Cs"]))
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts | st.sampled_from(sorted(record())), inner),
    max_leaves=20,
)


@st.composite
def almost(draw: st.DrawFn) -> str:
    """A notification of which one part, somewhere in it, is anything."""
    body = json.loads(draw(st.sampled_from([s3(record(), record()), event_bridge(), sns(s3(record())), TEST_EVENT])))
    at: Any = body
    while True:
        name = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if isinstance(at[name], dict | list) and at[name] and draw(st.booleans()):
            at = at[name]
            continue
        at[name] = draw(documents)
        return json.dumps(body)


@given(st.text() | documents.map(json.dumps) | almost(), st.lists(st.sampled_from(WRAPPINGS), max_size=6))
def test_whatever_comes_is_read_or_at_fault(message: str, wrappings: list[Wrapping]) -> None:
    for wrap in wrappings:
        if "\ud800" <= max(message, default="") <= "\udfff":  # can't be encoded, so nobody has
            break
        message = wrap(message)
    notice = read_notice(message)
    assert all(one.key and isinstance(one.bucket, str) for one in notice.created)
    assert read_notice(message) == notice


@given(
    st.lists(texts.filter(bool), min_size=1, unique=True),
    st.lists(st.sampled_from(WRAPPINGS), max_size=4),
    st.booleans(),
)
def test_every_key_comes_out_as_it_was(keys: list[str], wrappings: list[Wrapping], slashes: bool) -> None:
    message = s3(*(record(quote_plus(key, safe="/" if slashes else "")) for key in keys))
    for wrap in wrappings:
        message = wrap(message)
    assert read_notice(message) == Notice(tuple(Created(BUCKET, key) for key in keys))


@given(texts.filter(bool))
def test_event_bridges_keys_are_taken_as_they_are(key: str) -> None:
    assert read_notice(event_bridge(key)) == Notice((Created(BUCKET, key),))
