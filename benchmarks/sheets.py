"""Large sheets of residents: read by ours and by openpyxl, to the same rows of texts.

Here: the sheets, the ways, and how they compare. Not here: what becomes of the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from statistics import median

from openpyxl import load_workbook
from rich.table import Table
from xlsxwriter import Workbook

from benchmarks.measures import run_apart
from pipelines.adapters.drive.cells import read_row
from pipelines.adapters.drive.contract import Row
from pipelines.adapters.drive.reading import sheet_rows

LEAST, MOST_BYTES = 15, 1024

FORMS: Mapping[str, bool] = {"shared": True, "inline": False}
"""Where texts are: in a table that all cells share, as Excel writes them, or each in its cell."""

_DAY = date(2021, 2, 5)
_NAMES = ("Amal", "Bola", "Chidi", "Dana", "Esme", "Femi", "McTesty", "O'Sample", "van Probe", "Muster & Co")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a sheet took: its rows, seconds of our processor, and the most bytes that the process ever had."""

    rows: int
    cpu: float
    peak: int


def make_sheet(form: str, count: int, target: Path) -> None:
    """Write an extract of contact tracing, with its 63 columns, a third of them blank."""
    rng = Random(count)  # noqa: S311 - made-up people, no secret
    with Workbook(target, {"constant_memory": not FORMS[form]}) as workbook:
        sheet = workbook.add_worksheet()
        for number in range(count):
            case = _case(rng, number)
            if not number:
                sheet.write_row(0, 0, case)
            for place, value in enumerate(case.values()):
                if isinstance(value, str) and value:
                    sheet.write_string(number + 1, place, value)
                elif not isinstance(value, str):
                    sheet.write_number(number + 1, place, value)


def parse(way: str, source: Path, warm: Path) -> Parsed:
    """Read a sheet, after a small one that brings in what is needed."""
    read = WAYS[way]
    content = source.read_bytes()
    for _ in read(warm.read_bytes()):
        pass
    begun = time.process_time()
    rows = sum(1 for _ in read(content))
    return Parsed(rows, time.process_time() - begun, _peak())


def table(folder: Path, count: int, rounds: int) -> Table:
    """Compare ours with openpyxl, which reads a tenth of the rows: its pace does not change; weigh a row of ours."""
    shown = Table("texts", "way", "rows", "µs of CPU a row", "to ours", "bound", "bytes a row", "bound")
    for form in FORMS:
        warm, few, many = (folder / f"{form}-{name}.xlsx" for name in ("warm", "few", "many"))
        for path, rows in ((warm, 10), (few, count // 10), (many, count)):
            make_sheet(form, rows, path)
        paces: dict[str, list[float]] = {way: [] for way in WAYS}
        weights = []
        for _ in range(rounds):
            ours, ours_few = (run_apart(parse, "ours", path, warm) for path in (many, few))
            if ours.rows != count + 1:
                raise ValueError(f"{ours.rows - 1} of {count} rows were read")
            theirs = {way: run_apart(parse, way, few, warm) for way in WAYS if way != "ours"}
            for way, parsed in {"ours": ours, **theirs}.items():
                paces[way].append(1e6 * parsed.cpu / parsed.rows)
            weights.append((ours.peak - ours_few.peak) / (ours.rows - ours_few.rows))
        weight = median(weights)
        heavy = f"at most {MOST_BYTES}" + ("" if weight <= MOST_BYTES else ": missed")
        shown.add_row(form, "ours", f"{count:,}", f"{median(paces['ours']):.1f}", "", "", f"{weight:,.0f}", heavy)
        for way in theirs:
            ratio = median(their / our for their, our in zip(paces[way], paces["ours"], strict=True))
            bound = f"at least {LEAST:g}" + ("" if ratio >= LEAST else ": missed") if way == "openpyxl" else ""
            shown.add_row(form, way, f"{count // 10:,}", f"{median(paces[way]):,.1f}", f"{ratio:.1f}", bound, "", "")
    return shown


def _with_openpyxl(content: bytes, *, read_only: bool = False) -> Iterator[Row]:
    (sheet, *_) = load_workbook(BytesIO(content), read_only=read_only, data_only=True).worksheets
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        yield read_row(number, values)


WAYS: Mapping[str, Callable[[bytes], Iterator[Row]]] = {
    "ours": sheet_rows,
    "openpyxl": _with_openpyxl,
    "openpyxl, read only": partial(_with_openpyxl, read_only=True),
}


def _peak() -> int:
    """Of this process: what ``getrusage`` says can be that of the one that began it."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10


def _case(rng: Random, number: int) -> dict[str, str | int]:
    first, last = rng.choice(_NAMES), rng.choice(_NAMES)
    tested, born = _DAY - timedelta(days=rng.randrange(16)), _DAY - timedelta(days=rng.randrange(30_000))
    today, completed = f"{_DAY:%d/%m/%Y}", rng.random() < 0.6
    return {
        "Category": "Case",
        "ID": 5_000_000 + number,
        "Account ID": f"dd{number:08x}",
        "CDR Specimen Request sk": f"{700_000_000 + number}",
        "Exposer ID": "",
        "Exposure Group": "",
        "Matched Person ID": "",
        "Matched Exposer ID": "",
        "Date Created": today,
        "NHS Number": f"999{rng.randrange(10_000_000):07}",
        "Forename": first,
        "Surname": last,
        "Gender": rng.choice("FM"),
        "Date of Birth": f"{born:%d/%m/%Y}",
        "Ethnicity": rng.choice(("Bangladeshi", "Black African", "Not stated", "White British")),
        "House Number": f"{rng.randrange(1, 99)}",
        "Postcode": f"E8 {rng.randrange(1, 10)}EA",
        "Postcode Area ID": "E8",
        "Email": f"{first.lower()}{number}@example.test" if rng.random() < 0.5 else "",
        "Phone": f"0207946{number % 10_000:04}" if rng.random() < 0.7 else "",
        "Phone2": f"07700900{number % 1000:03}" if rng.random() < 0.5 else "",
        "UTLA": "Hackney",
        "UTLA Index": 12,
        "UTLA from Index": "Hackney",
        "LTLA": "Hackney",
        "LTLA Index": 12,
        "LTLA from Index": "Hackney",
        "PHE Centre": "London",
        "PHE Centre Index": 3,
        "First Symptomatic At": f"{tested - timedelta(days=2):%d/%m/%Y}",
        "Date Tested": f"{tested:%d/%m/%Y}",
        "Number of Contacts": rng.randrange(6),
        "Number of Occupations": rng.randrange(2),
        "Occupation": rng.choice(("Driver", "Retired", "Student", "Teacher")),
        **dict.fromkeys(("Occupation Type", "Job Title", "Job Postcode", "Job Description", "Activity Details"), ""),
        "Care Home": "No",
        "Residence Type": rng.choice(("Flat", "House")),
        "HPT Code": "NENCL",
        "Status": "Completed" if completed else "Failed",
        "Status Report": "Completed" if completed else "Failed",
        "Initial Tier": "Tier 3",
        "Final Tier": "Tier 2",
        "Call Centre Outcome": "Call completed" if completed else "No answer",
        "LA Support Required": rng.choice("01"),
        "LA Support Received": "0",
        "LA Support Letter Received": "",
        "LA Support Filter": "No",
        "Comments": f"Called, prefers mornings ({number}) & texts" if number % 3 == 0 else "",
        "Day 4 Outcome": "Call completed" if number % 2 else "",
        **dict.fromkeys(("Day 7 Outcome", "Day 10 Outcome", "Day 13 Outcome"), ""),
        "Isolation Follow Up": "Yes",
        "Isolation Start Date": f"{tested:%d/%m/%Y}",
        "Combined Date Completed": "",
        "Delay Creation Completion Days": rng.randrange(5),
        "Date Failed Uncontactable": "" if completed else today,
        "Date Updated": today,
        "Date Time Extracted": f"{_DAY:%d/%m/%Y} 03:53",
    }
