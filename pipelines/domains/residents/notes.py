"""Case notes: how one is written, and whether it is among those that the API tells of.

The API keeps any text as a note. It tells of them as one text: all of them as they are, between commas and brackets,
which is JSON only if each of them is. Our own are JSON, but for those that went with their request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

_BETWEEN = ", "
_decode = json.JSONDecoder(strict=False).raw_decode  # a line break in a text is not what makes a note unreadable


def write_note(author: str, moment: datetime, text: str) -> str:
    """A note as staff's programs read it.

    Args:
        author: its name.
        moment: of writing (aware); written in UTC, without its zone but with the blank before it.
        text: any.
    """
    written = format_datetime(moment.astimezone(UTC), usegmt=True).removesuffix("GMT")
    return json.dumps({"author": author, "noteDate": written, "note": text}, ensure_ascii=False)


def has_note(told: str, text: str, *, may_be_ours: bool = True) -> bool:
    """Whether a note with exactly this text is among those told, whoever wrote it and when.

    It may stand in a note that is JSON, as its `note`, or be a note as it is. Of the latter nobody can say where one
    ends that has a comma itself, so a text that another one begins or ends with, there, counts as told if it may be
    ours.

    Args:
        told: all notes, as the API tells of them.
        text: not blank.
        may_be_ours: whether we may have added such a note.
    """
    body = told[1:-1] if told.startswith("[") and told.endswith("]") else told
    spans = list[tuple[int, int]]()
    for start, end, notes in _find_json(body):
        if text in notes:
            return True
        if notes:
            spans.append((start, end))
    if may_be_ours:
        return any(
            not any(start < edge < end for start, end in spans for edge in place) for place in _find_between(body, text)
        )
    begins = {0, *(end + len(_BETWEEN) for _, end in spans)}
    ends = {len(body), *(start - len(_BETWEEN) for start, _ in spans)}
    return any(start in begins and end in ends for start, end in _find_between(body, text))


def _find_json(body: str) -> Iterator[tuple[int, int, list[Any]]]:
    """The notes that are JSON objects or lists: where each begins and ends, and what it says as a note."""
    place = 0
    while 0 <= place < len(body):
        value, end = _read_json(body, place)
        if end:
            yield place, end, [one["note"] for one in _find_objects(value) if "note" in one]
            place = end + len(_BETWEEN)
        else:
            place = body.find(_BETWEEN, place)
            place += len(_BETWEEN) if place >= 0 else 0


def _find_between(body: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a text begins and ends that may be a note as it is: between commas, or at an end of all notes."""
    start = body.find(text)
    while start >= 0:
        end = start + len(text)
        begins = start == 0 or body.startswith(_BETWEEN, start - len(_BETWEEN))
        if begins and (end == len(body) or body.startswith(_BETWEEN, end)):
            yield start, end
        start = body.find(text, start + 1)


def _read_json(body: str, place: int) -> tuple[Any, int]:
    """The object or list at a place and where it ends, 0 if there is none that is a whole note."""
    if body[place] not in "{[":
        return None, 0
    try:
        value, end = _decode(body, place)
    except (ValueError, RecursionError):
        return None, 0
    return (value, end) if end == len(body) or body.startswith(_BETWEEN, end) else (None, 0)


def _find_objects(value: Any) -> Iterator[dict[str, Any]]:
    """The object itself, or those in a list at any depth."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
        elif isinstance(one, list):
            waiting.extend(one)
