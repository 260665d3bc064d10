"""Whom the Here to Help API takes for the same person or the same request, and what it overwrites then. Pure.

Its faults are rules too: blank identifiers of requests equal each other, and blank texts erase what was known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Fields = dict[str, Any]

_PATCHED = (
    "FirstName",
    "LastName",
    "DobDay",
    "DobMonth",
    "DobYear",
    "EmailAddress",
    "NhsNumber",
    "GpSurgeryDetails",
    "NameAddressPharmacist",
    "IsPharmacistAbleToDeliver",
    "NumberOfChildrenUnder18",
    "ConsentToShare",
    "RecordStatus",
)
_ADDRESS = ("AddressFirstLine", "AddressSecondLine", "AddressThirdLine", "Postcode", "Uprn", "Ward")
_PHONES = ("ContactMobileNumber", "ContactTelephoneNumber")


@dataclass(frozen=True, slots=True)
class Keys:
    """By what a resident is found, each in the form in which it is compared; ``None`` where it is blank.

    Attributes:
        nhs: finds alone; all others only together with ``name``.
        name: both names, if neither is blank.
        ctas: is not the resident's own: one of the help requests has it.
    """

    nhs: str | None
    name: str | None
    uprn: str | None
    dob: str | None
    ctas: str | None
    email: str | None
    mobile: str | None
    telephone: str | None


def keys_of(fields: Fields) -> Keys:
    """The keys of what a request says about its resident, or of a resident that is stored."""

    def text(name: str) -> str | None:
        return (fields.get(name) or "").strip() or None

    def without_case(name: str) -> str | None:
        return (text(name) or "").upper() or None

    names, dob = [without_case("FirstName"), without_case("LastName")], None
    if all(text(name) for name in ("DobDay", "DobMonth", "DobYear")):
        month, day = fields["DobMonth"].lstrip("0").upper(), fields["DobDay"].lstrip("0")
        dob = f"{fields['DobYear']}/{month}/{day}"
    return Keys(
        nhs=(fields.get("NhsNumber") or "").replace(" ", "") or None,
        name="\n".join(filter(None, names)) if all(names) else None,
        uprn=text("Uprn"),
        dob=dob,
        ctas=without_case("NhsCtasId"),
        email=without_case("EmailAddress"),
        mobile=text("ContactMobileNumber"),
        telephone=text("ContactTelephoneNumber"),
    )


def patch(old: Fields, new: Fields) -> Fields:
    """A resident after another request for the same person: all that is not null overwrites, also with nothing.

    An address is replaced as a whole, by nulls too, if its first line and its postcode are given.
    """
    patched = old | {name: new[name] for name in _PATCHED if new.get(name) is not None}
    if new.get("AddressFirstLine") is not None and new.get("Postcode") is not None:
        patched |= {name: new.get(name) for name in _ADDRESS}
    return patched | {name: _join_phones(old.get(name), new.get(name)) for name in _PHONES}


def _join_phones(old: str | None, new: str | None) -> str | None:
    if not old:
        return old if new is None else new
    if not new or new in old:
        return old
    return f"{old} / {new}"


@dataclass(frozen=True, slots=True)
class Marks:
    """By what a help request is found; ``None`` where the caller sent nothing, not where it sent a blank.

    Attributes:
        ctas: together with ``need``, the help needed in capitals.
        nsss: a pattern, as are the next two: ``%`` and ``_`` stand for other characters.
        generic: only among the requests of the same resident.
    """

    ctas: str | None
    need: str | None
    nsss: str | None
    spl: str | None
    generic: str | None


def marks_of(fields: Fields) -> Marks:
    """The marks of a request."""
    metadata = fields.get("Metadata")
    ids = metadata if isinstance(metadata, dict) else {}
    need = fields.get("HelpNeeded")
    return Marks(
        ctas=fields.get("NhsCtasId"),
        need=None if need is None else need.upper(),
        nsss=_as_text(ids.get("nsss_id")),
        spl=_as_text(ids.get("spl_id")),
        generic=_as_text(ids.get("generic_ingestion_id")),
    )


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else as_jsonb(value)


def as_jsonb(value: object) -> str:
    """JSON as PostgreSQL prints what it keeps as jsonb: a blank after colons and commas, shorter keys first."""

    def ordered(part: object) -> object:
        if isinstance(part, dict):
            keys = sorted(part, key=lambda key: (len(key.encode()), key.encode()))
            return {key: ordered(part[key]) for key in keys}
        return [ordered(each) for each in part] if isinstance(part, list) else part

    return json.dumps(ordered(value), ensure_ascii=False)


def as_glob(pattern: str) -> str:
    """SQLite's GLOB, which minds case, for PostgreSQL's LIKE.

    Raises:
        ValueError: the pattern ends in the character that escapes the next one, which PostgreSQL refuses.
    """
    glob, characters = "", iter(pattern)
    for character in characters:
        if character == "%":
            glob += "*"
        elif character == "_":
            glob += "?"
        else:
            literal = next(characters, None) if character == "\\" else character
            if literal is None:
                raise ValueError("LIKE pattern must not end with escape character")
            glob += f"[{literal}]" if literal in "*?[" else literal
    return glob


def is_plain(pattern: str) -> bool:
    """Whether a pattern fits nothing but itself."""
    return not {"%", "_", "\\"} & set(pattern)
