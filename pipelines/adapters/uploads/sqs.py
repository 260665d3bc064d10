"""A queue on SQS: messages received and deleted."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.adapters.aws import client
from pipelines.adapters.uploads.contract import UploadsUnavailable

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

AT_MOST = 10
"""Messages in one call: no queue gives or takes more."""

_URL = re.compile(r"sqs://(?:(?P<account>[0-9]{12})/)?(?P<queue>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)")


@dataclass(frozen=True, slots=True)
class Message:
    """A message in hand, by the receipt of this one reception."""

    receipt: str
    body: str


class SqsQueue:
    """A queue, named by ``sqs://queue`` or, if it belongs to another account, by ``sqs://account/queue``."""

    def __init__(self, url: str, hidden: timedelta = timedelta(0), wait: int = 0) -> None:
        found = _URL.fullmatch(url)
        if found is None:
            raise ValueError("uploads: a queue's URL is sqs://queue or sqs://account/queue")
        self._queue, self._account = found["queue"], found["account"]
        self._hidden = hidden
        self._wait = wait

    def receive(self) -> list[Message]:
        """Some messages, which nobody else gets for a while; none if there are none."""
        with _failures():
            answer = self._client.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=AT_MOST,
                WaitTimeSeconds=self._wait,
                VisibilityTimeout=round(self._hidden.total_seconds()),
            )
        return [Message(one["ReceiptHandle"], one["Body"]) for one in answer.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> None:
        """Take messages off the queue; one that is not in hand any more comes again, as any message may."""
        refused: Counter[str] = Counter()
        for first in range(0, len(messages), AT_MOST):
            some = messages[first : first + AT_MOST]
            with _failures():
                answer = self._client.delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(number), "ReceiptHandle": one.receipt} for number, one in enumerate(some)],
                )
            refused.update(one["Code"] for one in answer.get("Failed", ()))
        if refused:
            logger.warning("%d messages could not be deleted and will come again: %s", refused.total(), dict(refused))

    def standing(self) -> str:
        """How the queue stands, in words.

        Raises:
            ValueError: what can't be read has nowhere to go.
        """
        with _failures():
            found = self._client.get_queue_attributes(QueueUrl=self._url, AttributeNames=["All"])["Attributes"]
        if "RedrivePolicy" not in found:
            raise ValueError("reached, but without a dead-letter queue what can't be read comes again until it expires")
        waiting = int(found["ApproximateNumberOfMessages"])
        held = int(found["ApproximateNumberOfMessagesNotVisible"])
        return f"reached: {waiting:,} messages wait, {held:,} are in hand"

    @cached_property
    def _client(self) -> SQSClient:
        made: SQSClient = client("sqs", self._wait)
        return made

    @cached_property
    def _url(self) -> str:
        owner = {"QueueOwnerAWSAccountId": self._account} if self._account else {}
        return self._client.get_queue_url(QueueName=self._queue, **owner)["QueueUrl"]


@contextmanager
def _failures() -> Iterator[None]:
    """What SQS said is not handed on: it may repeat what was signed."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 (whoever lists needs none of it)

    try:
        yield
    except ClientError as error:
        raise UploadsUnavailable(f"the queue refused: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise UploadsUnavailable(f"the queue was not reached: {type(error).__name__}") from None
