"""Self isolation: people in isolation who asked for support; who says to be vulnerable gets a shielding case too."""

from __future__ import annotations

from pipelines.domains.residents.dates import USUAL_FORMS, DayColumn
from pipelines.domains.residents.faults import Skip
from pipelines.domains.residents.feeds.books import processed
from pipelines.domains.residents.feeds.contract import ExtraCase, Feed, Id
from pipelines.domains.residents.feeds.filters import AnyIs, TestedWithin
from pipelines.domains.residents.feeds.sources import (
    always,
    cell,
    constant,
    house_and_line,
    labelled,
    made,
    one,
    upper,
)

_NOTED = ("Day 4 Outcome", "Day 7 Outcome", "Day 10 Outcome", "Day 13 Outcome", "Comments")

SELF_ISOLATION = Feed(
    name="self_isolation",
    columns=(
        *("ID", "NHS Number", "Forename", "Surname", "Date of Birth", "House Number", "Address Line 1"),
        *("Address Line 2", "Town", "Postcode", "UPRN", "Email", "Phone", "Phone2", "LA Support Required"),
        *("LA Support Letter Received", *_NOTED, "Date Tested"),
    ),
    also_needed=("Status Report",),
    born=DayColumn("Date of Birth", USUAL_FORMS),
    filters=(
        AnyIs(("Status Report",), frozenset({"completed"}), Skip.NOT_COMPLETED, any_case=True),
        AnyIs(("LA Support Required", "LA Support Letter Received"), frozenset({"1"}), Skip.NO_SUPPORT),
        TestedWithin(DayColumn("Date Tested", USUAL_FORMS), 7),
    ),
    fields={
        "Uprn": cell("UPRN"),
        "Postcode": upper("Postcode"),
        "AddressFirstLine": made(house_and_line, "House Number", "Address Line 1"),
        "AddressSecondLine": cell("Address Line 2"),
        "AddressThirdLine": cell("Town"),
        "FirstName": cell("Forename"),
        "LastName": cell("Surname"),
        "ContactTelephoneNumber": cell("Phone2"),  # the other way round than in contact tracing
        "ContactMobileNumber": cell("Phone"),
        "EmailAddress": cell("Email"),
        "CallbackRequired": always(True),
        "NhsNumber": cell("NHS Number"),
        "NhsCtasId": cell("ID"),
    },
    help_needed=constant("Welfare Call"),
    metadata={
        "LA_support_required": cell("LA Support Required"),
        "LA_support_letter_received": cell("LA Support Letter Received"),
    },
    key="NhsCtasId",
    author="Data Ingestion: Self Isolation",
    notes=tuple(labelled(column, column) for column in _NOTED),
    extra_case=ExtraCase(
        one("LA Support Letter Received"),
        "Shielding",
        {"CallbackRequired": False, "HelpNeeded": "Shielding"},
        "--- self-reported CEV resident identified through self-isolation support process ---",
    ),
    books=processed(Id.CASE),
)
