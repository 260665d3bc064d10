"""Which rows may be of one person, by the rules with which the API finds residents and their help requests.

Rows with a key in common must not be sent at once: the API would look for both before it has stored one. Not here: how
rows are put one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PersonKey = tuple[str, ...]
"""What two rows of one person share: a rule's name and the values that it compares. Personal: never to be kept."""


def person_keys(payload: Mapping[str, Any], key: str = "") -> frozenset[PersonKey]:
    """The keys of a row.

    Args:
        payload: the help request, without its blanks.
        key: what the API recognises a repeat by, whoever the resident is; blank if it needs the resident.
    """
    return frozenset(_find_keys(payload, key))


def _find_keys(payload: Mapping[str, Any], key: str) -> Iterator[PersonKey]:
    if key:
        yield "key", key.casefold()
    if number := "".join(payload.get("NhsNumber", "").split()):
        yield "nhs", number
    names = [_fold(payload, name) for name in ("FirstName", "LastName")]
    if not all(names):
        return
    for rule, name in (("uprn", "Uprn"), ("ctas", "NhsCtasId"), ("email", "EmailAddress")):
        if value := _fold(payload, name):
            yield rule, *names, value
    born = [_fold(payload, name) for name in ("DobYear", "DobMonth", "DobDay")]
    if all(born):
        yield "born", *names, *(part.lstrip("0") for part in born)
    # Either of a row's numbers is compared with either of the resident's.
    for name in ("ContactMobileNumber", "ContactTelephoneNumber"):
        if value := _fold(payload, name):
            yield "phone", *names, value


def _fold(payload: Mapping[str, Any], name: str) -> str:
    text: str = payload.get(name, "")
    return text.strip().casefold()
