"""Why the API refused something, in words that hold nothing of what was sent. Pure.

Its own texts can't be kept: they repeat stack traces, and those may repeat names and numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable

import orjson

REMOVED = "…"
"""What stands in the place of a personal value."""

_EXCEPTION = re.compile(r"\b([A-Z][A-Za-z]{2,60}(?:Exception|Error))\b")
_PATH = re.compile(r"\$\.(\w+)")
_SEPARATORS = r"[\s().+/-]*"
_FIGURES = re.compile(r"\d(?:[\s().+/-]*\d){3,}")


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


def redact(text: str, values: Iterable[object]) -> str:
    """Takes a row's values out of a text: whole, each word of them, and their figures however they are grouped.

    Case does not count, nor do zeros in front. Figures of four digits or more go whether they are the row's or not.

    Args:
        text: Of a reason, or of a message of the API.
        values: The cells of the row; what is not a text or a number is nobody's.

    Returns:
        The text with `REMOVED` in place of each.
    """
    words: set[str] = set()
    for value in values:
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            words |= _parts(str(value))
    for word in sorted(words, key=lambda each: (-len(each), each)):
        text = re.sub(_pattern(word), REMOVED, text, flags=re.IGNORECASE)
    return _FIGURES.sub(REMOVED, text)


def _parts(value: str) -> set[str]:
    whole = value.strip()
    figures = re.sub(r"\D", "", whole)
    plain = {part for part in (whole, figures, *re.findall(r"\w+", whole)) if part}
    return plain | {json.dumps(part)[1:-1] for part in plain}  # as it stands in JSON that is quoted


def _pattern(word: str) -> str:
    if word.isascii() and word.isdigit():
        figures = _SEPARATORS.join(word.lstrip("0") or "0")
        return rf"(?<!\d)0*{figures}(?!\d)"
    # A word of three letters or fewer is removed only where it stands alone: "Al" is in "null" and in "value".
    around = (r"(?<!\w)", r"(?!\w)") if len(word) <= 3 else ("", "")
    return f"{around[0]}{re.escape(word)}{around[1]}"
