"""Why the API refused something, in words that hold nothing of what was sent. Pure.

Its own texts can't be kept: they repeat stack traces, and those may repeat names and numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import orjson

_EXCEPTION = re.compile(r"\b([A-Z][A-Za-z]{2,60}(?:Exception|Error))\b")
_PATH = re.compile(r"\$\.(\w+)")


def read_reason(body: bytes | None, sent: Collection[str]) -> str | None:
    """The kind of a refusal: the fields that were of a wrong type, or the name of the exception behind it.

    Args:
        body: Of the answer.
        sent: Names of the fields of the request: no other name is repeated.

    Returns:
        A text of one short line; None if the answer is of another kind.
    """
    text = (body or b"").decode(errors="replace")
    names = {path.group(1) for path in map(_PATH.match, _read_paths(text)) if path}
    refused = [name for name in sent if name in names]
    if refused:
        return f"not of the right type: {', '.join(refused)}"
    exception = _EXCEPTION.search(text)
    return exception and exception.group(1)


def _read_paths(text: str) -> list[str]:
    try:
        problem = orjson.loads(text)
    except ValueError:
        return []
    errors = problem.get("errors") if isinstance(problem, dict) else None
    return list(errors) if isinstance(errors, dict) else []
