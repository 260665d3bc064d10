"""What the API's answers say. Only what is used of them is read, and nothing of them is repeated in an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

_DIGITS = re.compile(rb"\s*([0-9]{1,18})\s*")
_EXCEPTION = re.compile(r"\b(?:System|Microsoft|Npgsql)(?:\.[A-Za-z]+)*\.([A-Za-z]+Exception)\b")
_SQLSTATE = re.compile(r"PostgresException(?: \(0x[0-9A-Fa-f]{8}\))?: ([0-9A-Z]{5}):")
_FIELD = re.compile(r"\$?\.?([A-Za-z]+)")


class BadReply(ValueError):  # noqa: N818 (it says what is the case)
    """The answer is not of the form that the API gives: what it was about may have happened all the same."""


@dataclass(frozen=True, slots=True)
class HelpRequest:
    """A help request as it is stored.

    Attributes:
        id: of the request.
        resident: the resident's id.
        notes: as the API tells of them, to be read by `notes`.
        metadata: empty if there is none that can be read.
        postcode: the resident's.
    """

    id: int
    resident: int
    notes: str = field(default="[]", repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    postcode: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Case:
    """One of a resident's help requests; ``fields`` is all that the API tells of it."""

    id: int
    help_needed: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)


class _Created(msgspec.Struct):
    id: int = msgspec.field(name="Id")


class _Request(msgspec.Struct):
    id: int = msgspec.field(name="Id")
    resident: int = msgspec.field(name="ResidentId")
    notes: str | None = msgspec.field(name="CaseNotes", default=None)
    metadata: Any = msgspec.field(name="Metadata", default=None)
    postcode: str | None = msgspec.field(name="Postcode", default=None)


class _Case(msgspec.Struct):
    id: int = msgspec.field(name="Id")
    help_needed: str | None = msgspec.field(name="HelpNeeded", default=None)


class _Problem(msgspec.Struct):
    errors: dict[str, Any]


Reply = TypeVar("Reply")


def read_created(body: bytes) -> int:
    """The id of the help request that was made or found.

    Raises:
        BadReply: there is none.
    """
    return _read(body, _Created).id


def read_request(body: bytes) -> HelpRequest:
    """A help request.

    Raises:
        BadReply: it is none.
    """
    reply = _read(body, _Request)
    return HelpRequest(
        reply.id, reply.resident, reply.notes or "[]", _read_metadata(reply.metadata), reply.postcode or ""
    )


def read_cases(body: bytes) -> tuple[Case, ...]:
    """A resident's help requests.

    Raises:
        BadReply: it is no list of them.
    """
    return tuple(Case(case.id, case.help_needed or "") for case in _read(body, list[_Case]))


def read_case_id(body: bytes) -> int:
    """The id of the case that was made: all that the answer is.

    Raises:
        BadReply: it is anything else.
    """
    found = _DIGITS.fullmatch(body)
    if found is None:
        raise BadReply("the answer is no id")
    return int(found[1])


def read_refusal(body: bytes, known_fields: frozenset[str]) -> str:
    """Why a request was refused, in the API's words as far as they can hold nobody's data: kinds of errors and fields.

    Args:
        body: of the answer; it may repeat what was sent.
        known_fields: names that may be repeated.
    """
    text = body.decode(errors="replace")
    words = dict.fromkeys([*_EXCEPTION.findall(text), *(f"SQLSTATE {code}" for code in _SQLSTATE.findall(text))])
    try:
        fields = msgspec.json.decode(body, type=_Problem).errors
    except (msgspec.DecodeError, UnicodeDecodeError):
        fields = {}
    names = {found[1] for found in map(_FIELD.match, fields) if found} & known_fields
    return ", ".join([*words, *sorted(names)])


def _read_metadata(metadata: Any) -> Mapping[str, Any]:
    """The API tells of the metadata as a text that holds JSON."""
    if isinstance(metadata, str):
        try:
            metadata = msgspec.json.decode(metadata)
        except msgspec.DecodeError:
            return {}
    return metadata if isinstance(metadata, dict) else {}


def _read(body: bytes, kind: type[Reply]) -> Reply:
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    raise BadReply("the answer is not of the form that it should have")
