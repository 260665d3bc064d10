"""What messages about stored objects say: S3's own notifications, EventBridge's, and either wrapped by SNS.

Here: the body of a message into the objects that it tells of. Not here: where messages come from, whether those objects
are there, and whether they are ours. Nothing of a body is repeated in what is said about it: keys may hold anything.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote_plus

import orjson

_WRAPPINGS = 4
"""How many wrappings are taken off one message: base64 around SNS around a text around what it is about is three."""


class Fault(StrEnum):
    """Why a message, or one record of it, can't be understood."""

    NO_JSON = "neither JSON nor base64 of it"
    UNKNOWN = "no notification of a kind that is known"
    KEY = "a key that is not encoded as S3 encodes it"
    CONTROL = "a key with control characters, which neither a store nor a ledger of ours can hold"
    ELSEWHERE = "about another bucket"


@dataclass(frozen=True, slots=True)
class Created:
    """An object that was written, under its key as the store knows it."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What a message says: objects that were written, each once, and what of it can't be understood."""

    created: tuple[Created, ...] = ()
    faults: tuple[Fault, ...] = ()


def read_notice(body: str) -> Notice:
    """What a message says, whatever it holds.

    A test event, and news of anything but writing, say nothing; neither is a fault.
    """
    told = list(_told(body, _WRAPPINGS))
    created = dict.fromkeys(one for one in told if isinstance(one, Created))
    return Notice(tuple(created), tuple(one for one in told if isinstance(one, Fault)))


def _told(text: str, wrappings: int) -> Iterator[Created | Fault]:
    try:
        document = orjson.loads(text)
    except ValueError:
        inner = _decoded(text)
        yield from [Fault.NO_JSON] if inner is None or not wrappings else _told(inner, wrappings - 1)
        return
    match document:
        case str(inner) | {"Type": "Notification", "Message": str(inner)} if wrappings:
            yield from _told(inner, wrappings - 1)
        case {"Event": "s3:TestEvent"}:
            pass
        case {"Records": [*records]}:
            for record in records:
                yield from _of_s3(record)
        case {"source": "aws.s3"}:
            yield from _of_event_bridge(document)
        case _:
            yield Fault.UNKNOWN


def _decoded(text: str) -> str | None:
    """The text that another one is the base64 of, in one line or several."""
    try:
        return b64decode("".join(text.split()), validate=True).decode()
    except ValueError:
        return None


def _of_s3(record: object) -> Iterator[Created | Fault]:
    match record:
        case {"eventName": str(name), "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}} if key:
            if name.removeprefix("s3:").startswith("ObjectCreated:"):  # as S3 writes it, and as others do
                try:
                    yield Created(bucket, unquote_plus(key, errors="strict"))
                except ValueError:
                    yield Fault.KEY
        case _:
            yield Fault.UNKNOWN


def _of_event_bridge(event: object) -> Iterator[Created | Fault]:
    """Its keys are not encoded."""
    match event:
        case {"detail-type": kind, "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}} if key:
            if kind == "Object Created":
                yield Created(bucket, key)
        case _:
            yield Fault.UNKNOWN
