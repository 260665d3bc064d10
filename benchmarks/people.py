"""Sheets of people who do not exist, all of them to be sent; a person a row, no two alike."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path

from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Context
from pipelines.domains.residents.rows import Mapped, map_cells


def drop(folder: Path, feed: str, rows: int, day: date) -> None:
    """Put a sheet into a feed's inbound folder of a drive, as csv."""
    inbound = folder / feed / "inbound"
    inbound.mkdir(parents=True)
    with (inbound / "sheet.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, FEEDS[feed].needed, restval="")
        writer.writeheader()
        writer.writerows(_MAKERS[feed](number, day) for number in range(rows))


def mapped(feed: str, rows: int, day: date) -> Iterator[Mapped]:
    """The first rows of that sheet, as they are sent.

    Raises:
        ValueError: one is not sent.
    """
    for number in range(rows):
        cells = dict.fromkeys(FEEDS[feed].needed, "") | _MAKERS[feed](number, day)
        row = map_cells(FEEDS[feed], cells, Context(day, frozenset()))
        if not isinstance(row, Mapped):
            raise ValueError("a row of a benchmark is not sent")  # noqa: TRY004 (no wrong type was given)
        yield row


def _traced(number: int, day: date) -> dict[str, str]:
    return {
        "Account ID": f"dd{number:08x}",
        "NHS Number": f"999{number:07}",
        "Forename": "Test",
        "Surname": f"Mc{number:x}",
        "Date of Birth": "12/11/1998",
        "House Number": str(number % 100 + 1),
        "Postcode": "E8 1EA",
        "Email": f"test{number}@example.test",
        "Phone": f"0207{number:07}",
        "UTLA": "Hackney",
        "First Symptomatic At": f"{day - timedelta(days=2):%d/%m/%Y}",
        "Date Tested": f"{day:%d/%m/%Y}",
        "Comments": "" if number % 3 else f"Called, prefers mornings ({number})",
        "Date Updated": f"{day:%d/%m/%Y}",
        "Date Time Extracted": f"{day:%d/%m/%Y} 03:53",
    }


def _shielded(number: int, day: date) -> dict[str, str]:
    return {
        "ID": f"a00c886c-6994-45ce-92f0-{number:012x}",
        "nhs_number": f"999{number:07}",
        "first_name": "Test",
        "last_name": f"Mc{number:x}",
        "date_of_birth": "22/02/1963",
        "address_line1": f"{number} Made Up Road",
        "address_town_city": "London",
        "address_postcode": "N16 5AA",
        "address_uprn": f"{100_000_000 + number}",
        "contact_number_calls": f"0207{number:07}",
        "contact_email": f"test{number}@example.test",
        "do_you_want_supermarket_deliveries": "No",
        "do_you_need_someone_to_contact_you_about_local_support": "yes",
        "do_you_have_someone_to_go_shopping_for_you": "No",
        "submission_datetime": f"{day}T03:10:31Z",
    }


_MAKERS: Mapping[str, Callable[[int, date], dict[str, str]]] = {"contact_tracing": _traced, "nsss": _shielded}
