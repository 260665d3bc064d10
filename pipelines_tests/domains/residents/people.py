"""Rows of each feed as sheets hold them, of people who do not exist, and how to read them in one go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pipelines.domains.residents.faults import Rejected, Skipped
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Context, Feed
from pipelines.domains.residents.rows import Mapped, map_cells
from pipelines.domains.residents.sheet import Line

TODAY = date(2021, 11, 20)
CONTEXT = Context(TODAY, frozenset({"excluded1"}))
SECRET = bytes(range(32))

_TRACED = {
    "Account ID": "dd034b2100",
    "NHS Number": "1111122222",
    "Forename": "Test",
    "Surname": "McTesty",
    "Gender": "F",
    "Date of Birth": "12/11/1998",
    "House Number": "84",
    "Postcode": "e95hx",
    "First Symptomatic At": "08/12/2020",
    "Date Tested": "20/11/2021",
    "Date Updated": "1/21/21 3:53",
    "Date Time Extracted": "1/21/21 3:53",
    "UTLA": "Hackney",
}
_SHIELDED = {
    "ID": "123123",
    "nhs_number": "1234567890",
    "first_name": "Fred",
    "last_name": "Flintstone",
    "date_of_birth": "22/02/1963",
    "address_line1": "45 Cave Stone Road",
    "address_town_city": "Bedrock",
    "address_postcode": "BR2 9FF",
    "contact_number_calls": "07344211233",
    "contact_number_texts": "02344211233",
    "contact_email": "fred@rocks.st",
    "do_you_want_supermarket_deliveries": "No",
    "do_you_need_someone_to_contact_you_about_local_support": "yes",
    "do_you_have_someone_to_go_shopping_for_you": "No",
    "submission_datetime": "2021-02-05T03:10:31Z",
}
_LISTED = {
    "Traced_NHSNUMBER": "2649260211",
    "PatientFirstName": "Homer",
    "PatientOtherName": "Jay",
    "PatientSurname": "Simpson",
    "DateOfBirth": "19560512",
    "PatientAddress_Line1": "742 Evergreen Terrace",
    "PatientAddress_Line3": "Springfield",
    "PatientAddress_PostCode": "TS1 2SP",
    "PatientEmailAddress": "homer@email.com",
    "mobile": "0723083534",
    "landline": "0278460422",
    "Flag_PDSInformallyDeceased": "0",
    "oslaua": "E09000012",
    "category": "Added by COVID-19 Population Risk Assessment",
    "InceptionDate": "44242",
    "uprn": "10008326160",
}
_ISOLATING = {
    "ID": "5270010",
    "NHS Number": "4010232137",
    "Forename": "Ada",
    "Surname": "Sample",
    "Date of Birth": "1/2/1990",
    "House Number": "7",
    "Address Line 1": "Mare Street",
    "Town": "London",
    "Postcode": "e8 1aa",
    "UPRN": "00123",
    "Email": "ada@sample.test",
    "Phone": "07700900001",
    "Phone2": "02079460001",
    "LA Support Required": "0",
    "LA Support Letter Received": "1",
    "Date Tested": "20/11/2021",
    "Status Report": "Completed",
}
_KNOWN = {
    "First name": "Grace",
    "Surname": "Example",
    "d.o.b": "1/2/1980",
    "Help Request Type": "EUSS",
    "Address Line 1": "1 Made Up Road",
    "City": "London",
    "Postcode": "n1 1aa",
    "Email": "grace@example.test",
    "Phone number": "02079460002",
    "Phone number 2": "07700900002",
    "UPRN": "100023",
    "Case Note 1": "1",
}
_PEOPLE = dict(zip(FEEDS, (_TRACED, _SHIELDED, _LISTED, _ISOLATING, _KNOWN), strict=True))

CONTACT_TRACING, NSSS, SPL, SELF_ISOLATION, GENERIC = FEEDS.values()


def cells(feed: Feed, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """A sound row of a feed, with changes."""
    row = dict.fromkeys(feed.needed, "") | _PEOPLE[feed.name] | dict(changes or {})
    assert row.keys() == set(feed.needed)
    return row


def mapped(feed: Feed, changes: Mapping[str, str] | None = None) -> Mapped:
    """What is sent of a sound row with changes."""
    result = map_cells(feed, cells(feed, changes), CONTEXT)
    assert isinstance(result, Mapped), result
    return result


def unsent(feed: Feed, changes: Mapping[str, str] | None = None) -> Skipped | Rejected:
    """Why a row with changes is not sent."""
    result = map_cells(feed, cells(feed, changes), CONTEXT)
    assert isinstance(result, Skipped | Rejected), result
    return result


def lines(feed: Feed, *rows: Mapping[str, str], above: int = 0) -> list[Line]:
    """A sheet with such rows, each a sound one with changes, below so many other lines and the header."""
    filled = [Line(tuple(cells(feed, row)[column] for column in feed.needed)) for row in rows]
    return [Line(("A title", "", "of the extract"))] * above + [Line(feed.needed), *filled]
