"""Generic: people known from elsewhere, with the type of help and its subtype in the sheet."""

from __future__ import annotations

from pipelines.domains.residents.dates import USUAL_FORMS, DayColumn
from pipelines.domains.residents.faults import Reject
from pipelines.domains.residents.feeds.books import processed
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.filters import Known
from pipelines.domains.residents.feeds.sources import address, always, cell, constant, labelled, made, upper

_TYPES = {"EUSS": "EUSS", "LINK WORK": "Link Work"}
_SUBTYPES = {"": "", "REPAIRS": "Repairs"}
_AUTHOR = "Data Ingestion: Generic Ingestion"
_NOTED = ("Case Note 1", "Case Note 2", "Case Note 3", "Case Note 4")


def _read_type(text: str) -> str:
    return _TYPES[text.upper()]


def _read_subtype(text: str) -> str:
    return _SUBTYPES[text.upper()]


def _make_id(kind: str, subtype: str) -> str:
    return (_read_type(kind) + _read_subtype(subtype)).replace(" ", "")


GENERIC = Feed(
    name="generic",
    columns=(
        *("First name", "Surname", "d.o.b", "Help Request Type", "Address Line 1", "Address Line 2", "City"),
        *("Postcode", "Email", "Phone number", "Phone number 2", "UPRN", "Subtype", *_NOTED),
    ),
    born=DayColumn("d.o.b", USUAL_FORMS),
    filters=(
        Known("Help Request Type", frozenset(_TYPES), Reject.UNKNOWN_TYPE),
        Known("Subtype", frozenset(_SUBTYPES), Reject.UNKNOWN_SUBTYPE),
    ),
    fields={
        "Postcode": upper("Postcode"),
        "Uprn": cell("UPRN"),
        "AddressFirstLine": cell("Address Line 1"),
        "AddressSecondLine": cell("Address Line 2"),
        "AddressThirdLine": cell("City"),
        "FirstName": cell("First name"),
        "LastName": cell("Surname"),
        "ContactTelephoneNumber": cell("Phone number"),
        "ContactMobileNumber": cell("Phone number 2"),
        "EmailAddress": made(address, "Email"),
        "CallbackRequired": always(True),
        "HelpNeededSubtype": made(_read_subtype, "Subtype"),
    },
    help_needed=made(_read_type, "Help Request Type"),
    metadata={"Author": constant(_AUTHOR), "generic_ingestion_id": made(_make_id, "Help Request Type", "Subtype")},
    key="generic_ingestion_id",
    key_is_per_resident=True,
    author=_AUTHOR,
    notes=tuple(labelled("Note from Data Ingestion", column) for column in _NOTED),
    books=processed(),
)
