"""Queues on SQS for tests, each with a dead-letter queue, all in the account in use."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def client(service: str) -> Any:
    """For the account in use."""
    return _client(service, frozenset((name, value) for name, value in os.environ.items() if name.startswith("AWS_")))


@cache
def _client(service: str, _: frozenset[tuple[str, str]]) -> Any:
    """Made once for each account: that takes a while. Boto's own session would keep the keys that it met first."""
    import boto3  # noqa: PLC0415 (only tests with servers need it)

    return boto3.session.Session().client(service)  # type: ignore[call-overload]  # which one is the caller's business


def notification(bucket: str, *keys: str, name: str = "ObjectCreated:Put") -> str:
    """What S3 writes, as far as anyone reads it."""
    records = [
        {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}
        for key in map(quote_plus, keys)
    ]
    return json.dumps({"Records": records})


@dataclass(frozen=True, slots=True)
class DeadLettered:
    """A queue, and where what can't be read ends after ``attempts`` receptions."""

    name: str
    attempts: int = 3

    @classmethod
    def make(cls, attempts: int = 3, **attributes: str) -> DeadLettered:
        """A new queue; other attributes are those of SQS."""
        queue = cls(f"uploads-{uuid.uuid4().hex}", attempts)
        sqs = client("sqs")
        sqs.create_queue(QueueName=queue.dead_name)
        redrive = {"deadLetterTargetArn": queue.arn(queue.dead_name), "maxReceiveCount": attempts}
        sqs.create_queue(QueueName=queue.name, Attributes={"RedrivePolicy": json.dumps(redrive), **attributes})
        return queue

    @property
    def dead_name(self) -> str:
        return f"{self.name}-dead"

    @property
    def url(self) -> str:
        return f"sqs://{self.name}"

    def arn(self, name: str = "") -> str:
        sqs, attribute = client("sqs"), "QueueArn"
        found = sqs.get_queue_attributes(QueueUrl=self._at(name or self.name), AttributeNames=[attribute])
        return str(found["Attributes"][attribute])

    def send(self, bodies: Iterable[str]) -> None:
        sqs: SQSClient = client("sqs")
        at = self._at(self.name)
        waiting = iter(bodies)
        while some := list(islice(waiting, 10)):
            entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(some)]
            sqs.send_message_batch(QueueUrl=at, Entries=entries)  # type: ignore[arg-type]  # they are what it takes

    def expire(self) -> None:
        """All that waits is gone, as after its retention."""
        client("sqs").purge_queue(QueueUrl=self._at(self.name))

    def bodies(self) -> list[str]:
        """What waits, left where it is, hidden from nobody."""
        return self._bodies(self.name)

    def dead(self) -> list[str]:
        """What was given up."""
        return self._bodies(self.dead_name)

    def held(self) -> int:
        """How many messages there are, in hand or not."""
        found: Mapping[str, str] = client("sqs").get_queue_attributes(
            QueueUrl=self._at(self.name),
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(map(int, found.values()))

    def _bodies(self, name: str) -> list[str]:
        found = client("sqs").receive_message(QueueUrl=self._at(name), MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [one["Body"] for one in found.get("Messages", ())]

    def _at(self, name: str) -> str:
        return str(client("sqs").get_queue_url(QueueName=name)["QueueUrl"])
