"""What the Here to Help API does for each call, step by step, with the gaps in which others come between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from pipelines.sandbox.here_to_help.fields import lay_out, lay_out_for_resident
from pipelines.sandbox.here_to_help.reading import holds_nul, print_moment
from pipelines.sandbox.here_to_help.rules import Fields, keys_of, marks_of, patch
from pipelines.sandbox.here_to_help.store import Store

Gap = Callable[[], Awaitable[None]]
"""What happens between looking up and writing: nothing, a turn for others, or whatever a test wants there."""


async def file_help_request(store: Store, fields: Fields, gap: Gap) -> int:
    """Finds or creates the resident, then the help request, then adds the note: the id of the help request.

    Whatever goes wrong leaves the steps before it done.

    Raises:
        ValueError: the API would not survive it.
    """
    _refuse_nul(fields)
    found = store.find_resident(keys_of(fields))
    await gap()
    if found:
        resident_id = found.id
        store.update_resident(resident_id, patch(found.fields, fields))
    else:
        resident_id = store.insert_resident(fields)
    request_id = store.find_request(marks_of(fields), resident_id)
    await gap()
    if request_id is None:
        request_id = store.insert_request(resident_id, _with_defaults(fields))
    if fields.get("CaseNotes") is not None:
        store.insert_note(resident_id, request_id, fields["CaseNotes"])
    return request_id


def file_case(store: Store, resident_id: int, fields: Fields) -> int:
    """Adds one more help request to a resident and gives its id; metadata and notes are ignored.

    Raises:
        ValueError: the API would not survive it.
        sqlite3.IntegrityError: there is no such resident.
    """
    _refuse_nul(fields)
    return store.insert_request(resident_id, _with_defaults(fields | {"Metadata": None}))


def file_note(store: Store, resident_id: int, request_id: int, text: str | None) -> dict[str, Any]:
    """Adds a case note and gives the answer's body. Nobody asks whether the request is the resident's.

    Raises:
        ValueError: the API would not survive it.
        sqlite3.IntegrityError: there is no such resident or no such help request.
    """
    _refuse_nul(text)
    note_id = store.insert_note(resident_id, request_id, text)
    request = store.request(request_id)
    return {
        "Id": note_id,
        "ResidentId": resident_id,
        "HelpRequestId": request_id,
        "CaseNote": text,
        "HelpNeeded": request and request.fields.get("HelpNeeded"),
    }


def show_request(store: Store, request_id: int) -> dict[str, Any] | None:
    """A help request with its resident's fields."""
    found = store.request(request_id)
    return None if found is None else lay_out(found.id, found.resident_id, found.fields)


def list_requests(store: Store, resident_id: int, include_type: str | None) -> list[dict[str, Any]]:
    """A resident's help requests; those of EUSS are shown only to callers who name it."""
    return [
        lay_out_for_resident(each.id, each.resident_id, each.fields)
        for each in store.requests_of(resident_id)
        if include_type == "EUSS" or each.fields.get("HelpNeeded") != "EUSS"
    ]


def _with_defaults(fields: Fields) -> Fields:
    recorded = fields.get("DateTimeRecorded") or print_moment(datetime.now(UTC))
    callback = fields.get("CallbackRequired")
    return fields | {"DateTimeRecorded": recorded, "CallbackRequired": True if callback is None else callback}


def _refuse_nul(value: object) -> None:
    if holds_nul(value):
        raise ValueError("invalid byte sequence for encoding UTF8: 0x00")
