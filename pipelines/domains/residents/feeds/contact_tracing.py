"""Contact tracing: people who tested positive, from the tracing service's extract, for Hackney and the City."""

from __future__ import annotations

from pipelines.domains.residents.dates import USUAL_FORMS, DayColumn
from pipelines.domains.residents.faults import Skip
from pipelines.domains.residents.feeds.contract import Book, Cells, Feed, Tab
from pipelines.domains.residents.feeds.filters import AnyIs, NotExcluded, TestedWithin
from pipelines.domains.residents.feeds.sources import always, cell, constant, upper

_HACKNEY = frozenset({"Hackney"})
_CITY = frozenset({"CityofLondon", "City of London"})
_COLUMNS = (
    *("Account ID", "NHS Number", "Forename", "Surname", "Gender", "Date of Birth", "House Number", "Postcode"),
    *("Email", "Phone", "Phone2", "First Symptomatic At", "Date Tested", "Comments", "Date Updated"),
    "Date Time Extracted",
)


def _is_of_hackney(cells: Cells, passed: bool) -> bool:
    return passed and cells["UTLA"] in _HACKNEY


def _is_of_the_city(cells: Cells, passed: bool) -> bool:
    return passed and cells["UTLA"] in _CITY


def _has_no_phone(cells: Cells, passed: bool) -> bool:
    return _is_of_hackney(cells, passed) and not cells["Phone"] and not cells["Phone2"]


_EMAILS = Tab(
    "email_list",
    ("Date Time Extracted", "Forename", "Surname", "Email"),
    lambda cells, passed: _has_no_phone(cells, passed) and bool(cells["Email"]),
    verdict=False,
)
_ADDRESSES = Tab(
    "address_list",
    ("Date Time Extracted", "Forename", "Surname", "House Number", "Postcode"),
    lambda cells, passed: _has_no_phone(cells, passed) and bool(cells["House Number"] and cells["Postcode"]),
    verdict=False,
)
# Who uploads the cases further must not find in them whom the filters left out; nor need anyone see who that was.
_LEFT_OUT = Tab("not_sent", ("Account ID",), lambda _, passed: not passed, numbers=True)

CONTACT_TRACING = Feed(
    name="contact_tracing",
    columns=_COLUMNS,
    also_needed=("UTLA",),
    marks=("Account ID", "Forename", "Surname"),
    header_rows=10,
    born=DayColumn("Date of Birth", USUAL_FORMS),
    filters=(
        TestedWithin(DayColumn("Date Tested", USUAL_FORMS), 14),
        NotExcluded("Account ID"),
        AnyIs(("UTLA",), _HACKNEY | _CITY, Skip.ELSEWHERE),
    ),
    fields={
        "Postcode": upper("Postcode"),
        "AddressFirstLine": cell("House Number"),
        "HelpWithSomethingElse": always(True),
        "FirstName": cell("Forename"),
        "LastName": cell("Surname"),
        "ContactTelephoneNumber": cell("Phone"),
        "ContactMobileNumber": cell("Phone2"),
        "EmailAddress": cell("Email"),
        "CallbackRequired": always(True),
        "NhsNumber": cell("NHS Number"),
        "NhsCtasId": cell("Account ID"),
    },
    help_needed=constant("Contact Tracing"),
    metadata={"first_symptomatic_at": cell("First Symptomatic At"), "date_tested": cell("Date Tested")},
    key="NhsCtasId",
    notes=(cell("Comments"),),
    note_in_request=True,
    books=(
        Book(
            "Hackney_CT_FOR_UPLOAD",
            (_EMAILS, _ADDRESSES, Tab("hackney_cases", _COLUMNS, _is_of_hackney), _LEFT_OUT),
        ),
        Book("city_CT_FOR_UPLOAD", (Tab("city_cases", None, _is_of_the_city),)),
    ),
)
