"""Sample sheets of residents who do not exist, for each feed, as staff would drop them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from xlsxwriter import Workbook

Row = Mapping[str, str]

_FIRST = ("Amal", "Bola", "Chidi", "Dana", "Esme", "Femi", "Gwen", "Hana", "Idris", "Jonah", "Kezia", "Leila")
_LAST = ("McTesty", "O'Sample", "Da Example", "van Probe", "Specimen", "Muster", "Placeholder", "Dummy", "Nobody")
_STREETS = ("Made Up Road", "Invented Lane", "Nowhere Street", "Fictional Row")
_AGED = 60
"""Seconds since which a sample is held to be unchanged."""


def drop_samples(drive: Path, day: date, rows: int = 40, seed: int = 7) -> dict[str, int]:
    """Drop a sheet of each feed below a folder, if it is not there yet.

    Args:
        drive: the drive's folder.
        day: today; tests were taken in the days before.
        rows: of each sheet.
        seed: of the people in it.

    Returns:
        How many rows below the header each feed's sheet has.
    """
    dropped = {}
    for feed, make in _MAKERS.items():
        path = drive / feed / "inbound" / f"sample {feed.replace('_', ' ')}.xlsx"
        if path.exists():
            continue
        chance = random.Random(f"{seed} {feed}")  # noqa: S311 (people who do not exist guard nothing)
        made = [make(chance, number, day) for number in range(rows)]
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(path, [list(made[0]), *(list(row.values()) for row in made)])
        dropped[feed] = rows
    return dropped


def _write(path: Path, lines: Sequence[Sequence[str]]) -> None:
    fresh = path.with_suffix(".part")
    with Workbook(str(fresh)) as workbook:
        sheet = workbook.add_worksheet()
        for number, line in enumerate(lines):
            for place, text in enumerate(line):
                sheet.write_string(number, place, text)
    since = time.time() - _AGED
    os.utime(fresh, (since, since))
    fresh.replace(path)


def _nhs_number(chance: random.Random) -> str:
    """Of the range that is kept for tests, with a digit that checks it."""
    while True:
        digits = "999" + "".join(str(chance.randrange(10)) for _ in range(6))
        check = (
            11 - sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=True)) % 11
        ) % 11
        if check < 10:
            return f"{digits}{check}"


def _born(chance: random.Random) -> date:
    return date(1940, 1, 1) + timedelta(days=chance.randrange(22_000))


def _person(chance: random.Random) -> tuple[str, str, date, str]:
    return chance.choice(_FIRST), chance.choice(_LAST), _born(chance), _nhs_number(chance)


def _traced(chance: random.Random, number: int, day: date) -> Row:
    first, last, born, nhs = _person(chance)
    tested = day - timedelta(days=chance.randrange(16))
    return {
        "Category": "",
        "ID": f"{5_000_000 + number}",
        "Account ID": f"dd{number:08x}",
        "NHS Number": nhs,
        "Forename": first,
        "Surname": last,
        "Gender": chance.choice("FM"),
        "Date of Birth": "31/02/1980" if number == 7 else f"{born:%d/%m/%Y}",
        "House Number": str(chance.randrange(1, 99)),
        "Postcode": "E8 1EA",
        "Email": f"{first.lower()}{number}@example.test" if chance.random() < 0.5 else "",
        "Phone": f"0207946{number:04}" if chance.random() < 0.7 else "",
        "Phone2": f"07700900{number % 1000:03}" if chance.random() < 0.5 else "",
        "UTLA": "City of London" if number % 10 == 4 else "Camden" if number % 10 == 9 else "Hackney",
        "First Symptomatic At": f"{tested - timedelta(days=2):%d/%m/%Y}",
        "Date Tested": f"{tested:%d/%m/%Y}",
        "Comments": f"Called, prefers mornings ({number})" if number % 3 == 0 else "",
        "Date Updated": f"{day:%d/%m/%Y}",
        "Date Time Extracted": f"{day:%d/%m/%Y} 03:53",
    }


def _shielded(chance: random.Random, number: int, day: date) -> Row:
    first, last, born, nhs = _person(chance)
    return {
        "ID": f"a00c886c-6994-45ce-92f0-{number:012x}",
        "nhs_number": nhs,
        "first_name": first,
        "last_name": last,
        "date_of_birth": f"{born:%d/%m/%Y}",
        "address_line1": f"{number + 1} {chance.choice(_STREETS)}",
        "address_line2": "",
        "address_town_city": "London",
        "address_postcode": "N16 5AA",
        "address_uprn": f"{100_000_000 + number}",
        "contact_number_calls": f"0207946{number:04}",
        "contact_number_texts": "",
        "contact_email": f"{first.lower()}{number}@example.test",
        "do_you_want_supermarket_deliveries": chance.choice(("Yes", "No")),
        "do_you_need_someone_to_contact_you_about_local_support": chance.choice(("yes", "no")),
        "do_you_have_someone_to_go_shopping_for_you": chance.choice(("Yes", "No")),
        "submission_datetime": f"{day}T03:10:31Z",
    }


def _listed(chance: random.Random, number: int, day: date) -> Row:
    first, last, born, nhs = _person(chance)
    return {
        "Traced_NHSNUMBER": nhs,
        "PatientFirstName": first,
        "PatientOtherName": "",
        "PatientSurname": last,
        "DateOfBirth": f"{born:%Y%m%d}",
        "PatientAddress_Line1": f"{number + 1} {chance.choice(_STREETS)}",
        "PatientAddress_Line2": "",
        "PatientAddress_Line3": "London",
        "PatientAddress_Line4": "",
        "PatientAddress_Line5": "",
        "PatientAddress_PostCode": "E5 8QJ",
        "PatientEmailAddress": "",
        "mobile": f"07700900{number % 1000:03}",
        "landline": "",
        "DateOfDeath": f"{day - timedelta(days=30):%d-%m-%Y}" if number == 11 else "",
        "Flag_PDSInformallyDeceased": "1" if number == 11 else "0",
        "oslaua": "E09000012",
        "oscty": "E99999999",
        "Data_Source": "sample",
        "category": "Deceased" if number == 11 else "No change to current status",
        "InceptionDate": "44242",
        "SPL_Version": "1",
        "uprn": f"{200_000_000 + number}",
    }


def _isolating(chance: random.Random, number: int, day: date) -> Row:
    first, last, born, nhs = _person(chance)
    return {
        "ID": f"{6_000_000 + number}",
        "NHS Number": nhs,
        "Forename": first,
        "Surname": last,
        "Date of Birth": f"{born:%d/%m/%Y}",
        "House Number": str(number + 1),
        "Address Line 1": chance.choice(_STREETS),
        "Address Line 2": "",
        "Town": "London",
        "Postcode": "E9 5HX",
        "UPRN": f"{300_000_000 + number}",
        "Email": "",
        "Phone": f"07700900{number % 1000:03}",
        "Phone2": "",
        "LA Support Required": chance.choice("01"),
        "LA Support Letter Received": "1" if number % 4 == 0 else "0",
        "Day 4 Outcome": "Call completed" if number % 2 else "",
        "Day 7 Outcome": "",
        "Day 10 Outcome": "",
        "Day 13 Outcome": "",
        "Comments": 'says "all well"' if number % 5 == 0 else "",
        "Date Tested": f"{day - timedelta(days=number % 8):%d/%m/%Y}",
        "Status Report": "Completed" if number % 6 else "Failed",
    }


def _known(chance: random.Random, number: int, day: date) -> Row:
    del day
    first, last, born, _ = _person(chance)
    return {
        "First name": first,
        "Surname": last,
        "d.o.b": f"{born:%d/%m/%Y}",
        "Help Request Type": "Unheard of" if number == 3 else ("EUSS", "Link Work")[number % 2],
        "Address Line 1": f"{number + 1} {chance.choice(_STREETS)}",
        "Address Line 2": "",
        "City": "London",
        "Postcode": "N1 1AA",
        "Email": f"{first.lower()}{number}@example.test",
        "Phone number": f"0207946{number:04}",
        "Phone number 2": "",
        "UPRN": f"{400_000_000 + number}",
        "Subtype": "Repairs" if number % 4 == 1 else "",
        "Case Note 1": '=HYPERLINK("https://example.test")' if number == 5 else f"Referred {number}",
        "Case Note 2": "",
        "Case Note 3": "",
        "Case Note 4": "",
    }


_MAKERS: Mapping[str, Callable[[random.Random, int, date], Row]] = {
    "contact_tracing": _traced,
    "nsss": _shielded,
    "spl": _listed,
    "self_isolation": _isolating,
    "generic": _known,
}
