"""Which rows may be of one person, by the rules with which the API finds residents and help requests; which are not.

Rows with a key in common must not be sent at once: the API would look for both before it has stored one. Here: its
rules, as far as we have to know them. Not here: how rows are put one after another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_PHONES = ("ContactMobileNumber", "ContactTelephoneNumber")

PersonKey = tuple[str, ...]
"""What two rows of one person share: a rule's name and the values that it compares. Personal: never to be kept."""


def person_keys(payload: Mapping[str, Any], key: str = "") -> frozenset[PersonKey]:
    """The keys of a row.

    Args:
        payload: the help request, without its blanks.
        key: what the API recognises a repeat by, whoever the resident is; blank if it needs the resident.
    """
    return frozenset(_find_keys(payload, key))


def is_found_again(payload: Mapping[str, Any]) -> bool:
    """Whether the API, having taken a help request in, finds the same resident when it comes again.

    What it stored of a person it compares; but it puts a new phone number behind an old one, and from then on finds
    neither. So who is told by two numbers alone may become a second resident.
    """
    if any(name in payload for name in ("NhsNumber", "DobYear", "NhsCtasId", "EmailAddress")):
        return True
    if all(name in payload for name in ("Uprn", "AddressFirstLine", "Postcode")):
        return True
    return len({payload[name] for name in _PHONES if name in payload}) < 2


def are_strangers(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two help requests tell of different people: neither their NHS numbers agree, nor names, nor birth.

    A number decides, if both have one. Else who married has the same birth, and one whose birth was mended the same
    names. What one of them does not tell is not compared; if nothing can be, they may be of one person.
    """
    numbers = ["".join(_fold(each, "NhsNumber").split()) for each in (one, other)]
    if all(numbers):
        return numbers[0] != numbers[1]
    told = [(_names(one), _names(other)), (_born(one), _born(other))]
    compared = [mine == theirs for mine, theirs in told if all(mine) and all(theirs)]
    return bool(compared) and not any(compared)


def _find_keys(payload: Mapping[str, Any], key: str) -> Iterator[PersonKey]:
    if key:
        yield "key", key.casefold()
    if number := "".join(payload.get("NhsNumber", "").split()):
        yield "nhs", number
    names = _names(payload)
    if not all(names):
        return
    for rule, name in (("uprn", "Uprn"), ("ctas", "NhsCtasId"), ("email", "EmailAddress")):
        if value := _fold(payload, name):
            yield rule, *names, value
    if all(born := _born(payload)):
        yield "born", *names, *born
    # Either of a row's numbers is compared with either of the resident's.
    for name in _PHONES:
        if value := _fold(payload, name):
            yield "phone", *names, value


def _names(payload: Mapping[str, Any]) -> list[str]:
    return [_fold(payload, name) for name in ("FirstName", "LastName")]


def _born(payload: Mapping[str, Any]) -> list[str]:
    return [_fold(payload, name).lstrip("0") for name in ("DobYear", "DobMonth", "DobDay")]


def _fold(payload: Mapping[str, Any], name: str) -> str:
    text = payload.get(name)
    return text.strip().casefold() if isinstance(text, str) else ""
