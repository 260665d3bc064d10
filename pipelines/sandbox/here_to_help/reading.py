"""How the Here to Help API reads the JSON of a request: strictly by type, names in any case, unknown ones ignored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from pipelines.sandbox.here_to_help.fields import REQUEST, TRUTHS, spelt

Problems = dict[str, list[str]]


class BadJson(ValueError):  # noqa: N818 (it says what is the case)
    """The body is not what the endpoint declares; ``problems`` has a text for each path into it."""

    def __init__(self, path: str, kind: str) -> None:
        super().__init__(path)
        self.problems: Problems = {path: [f"The JSON value could not be converted to {kind}. Path: {path}"]}


def read_json(body: bytes) -> object:
    """The body, or ``None`` where there is no JSON in it."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def read_request(raw: object) -> dict[str, Any]:
    """The fields of a help request.

    Raises:
        BadJson: a value is of another type than its field.
    """
    if not isinstance(raw, dict):
        raise BadJson("$", "HelpRequest")
    fields = {}
    for name, value in raw.items():
        own = spelt(name)
        if own in REQUEST:
            fields[own] = _read_value(own, value)
    return fields


def read_note(raw: object) -> str | None:
    """The text of a case note.

    Raises:
        BadJson: it is not a text.
    """
    if not isinstance(raw, dict):
        raise BadJson("$", "CaseNote")
    text = next((value for name, value in raw.items() if name.lower() == "casenote"), None)
    if text is not None and not isinstance(text, str):
        raise BadJson("$.CaseNote", "System.String")
    return text


def read_number(text: str) -> int:
    """An id in a path.

    Raises:
        BadJson: it is no 32-bit number.
    """
    if not text.isascii() or not text.isdecimal() or int(text) >= 1 << 31:
        raise BadJson("id", "System.Int32")
    return int(text)


def holds_nul(value: object) -> bool:
    """Whether a text in it has the one character that PostgreSQL does not keep."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(holds_nul(key) or holds_nul(each) for key, each in value.items())
    return isinstance(value, list) and any(holds_nul(each) for each in value)


def _read_value(name: str, value: object) -> object:
    if value is None or name == "Metadata":
        return value
    if name in TRUTHS:
        if not isinstance(value, bool):
            raise BadJson(f"$.{name}", "System.Nullable`1[System.Boolean]")
        return value
    if not isinstance(value, str):
        raise BadJson(f"$.{name}", "System.String")
    return _read_moment(value) if name == "DateTimeRecorded" else value


def _read_moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadJson("$.DateTimeRecorded", "System.Nullable`1[System.DateTime]") from None
    return print_moment(moment)


def print_moment(moment: datetime) -> str:
    """A moment as the API prints it: without a zone, its fraction without zeros at the end."""
    naive = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    whole, _, fraction = naive.isoformat().partition(".")
    return f"{whole}.{fraction}".rstrip("0") if fraction else whole
