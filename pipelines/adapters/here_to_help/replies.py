"""What the API answers, read strictly: an answer that is not as it should be is no answer. Pure.

What was read may be shown: nothing of a person is in the repr of anything here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson

from pipelines.core.delivery import Answer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Unreadable(ValueError):  # noqa: N818 (it says what is the case)
    """The body of an answer is not what the call should give. It holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[T_co]):
    """What became of one call.

    Attributes:
        answer: The status, or why there is none; what to wait; whether it may have been received.
        body: What the API said. None unless the status is a 2xx and the body is what it should be.
        reason: For a refusal, its kind in one short line without anything of what was sent; None where that is unknown.
    """

    answer: Answer
    body: T_co | None = None
    reason: str | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether what was asked for may be done, wholly or in part, though nobody says so or says what came of it.

        Each 5xx counts: the gateway gives them too, and gives up on requests that go on behind it.
        """
        status = self.answer.status
        if status is None:
            return self.answer.maybe_received
        return status >= 500 or status == 408 or (200 <= status < 300 and self.body is None)


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """A help request as the API has it.

    Attributes:
        id: Of the help request.
        resident_id: Whose it is now, which may be another one than the caller thinks.
        help_needed: Its kind.
        case_notes: Its notes, each as it was sent, joined by ", " between brackets: JSON only if all of them are.
        fields: All that the API says of it, the resident's data included in version 3.
    """

    id: int
    resident_id: int
    help_needed: str | None
    case_notes: str = field(repr=False)
    fields: Mapping[str, Any] = field(repr=False)


def read_id(value: object) -> int:
    """An id: an integer above zero, or a text of digits.

    Raises:
        Unreadable: It is anything else.
    """
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 18:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Unreadable("an id is neither an integer nor digits")
    return value


def read_created(body: bytes) -> int:
    """The id in `{"Id": 1}`.

    Raises:
        Unreadable: There is none.
    """
    return read_id(_read_object(_read_json(body)).get("Id"))


def read_bare_id(body: bytes) -> int:
    """The id that is the whole body, as `22`.

    Raises:
        Unreadable: It is not.
    """
    return read_id(_read_json(body))


def read_stored(body: bytes) -> StoredRequest:
    """One help request.

    Raises:
        Unreadable: It is not one.
    """
    return _read_stored(_read_json(body))


def read_stored_list(body: bytes) -> tuple[StoredRequest, ...]:
    """All help requests of a resident.

    Raises:
        Unreadable: It is not a list of them.
    """
    listed = _read_json(body)
    if not isinstance(listed, list):
        raise Unreadable("not a list")
    return tuple(_read_stored(each) for each in listed)


def read_success(body: bytes) -> bool:
    """Whether the API says that it is well.

    Raises:
        Unreadable: It says anything else.
    """
    if _read_object(_read_json(body)).get("success") is not True:
        raise Unreadable("not a success")
    return True


def _read_json(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unreadable("not JSON") from None


def _read_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Unreadable("not an object")
    return value


def _read_stored(value: object) -> StoredRequest:
    fields = _read_object(value)
    help_needed, notes = fields.get("HelpNeeded"), fields.get("CaseNotes")
    if not (help_needed is None or isinstance(help_needed, str)) or not (notes is None or isinstance(notes, str)):
        raise Unreadable("HelpNeeded or CaseNotes is not a text")
    return StoredRequest(
        id=read_id(fields.get("Id")),
        resident_id=read_id(fields.get("ResidentId")),
        help_needed=help_needed,
        case_notes="[]" if notes is None else notes,
        fields=fields,
    )
