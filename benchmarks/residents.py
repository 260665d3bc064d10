"""Sheets of residents sent to an API that takes its time, beside a client that makes one call after another.

Here: both ways, and how they compare. Not here: the other side, and how long it takes to read an xlsx.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr
from rich.table import Table

from benchmarks import people
from benchmarks.measures import peak_memory, run_apart
from benchmarks.other_side import Running, residents_side
from pipelines.adapters.drive import open_drive
from pipelines.adapters.here_to_help import Access
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import State
from pipelines.domains.residents import intake
from pipelines.domains.residents.dates import london_day
from pipelines.domains.residents.entries import Place, effects_queue, sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.notes import write_note
from pipelines.domains.residents.outcomes import Result
from pipelines.domains.residents.sending import Sending
from pipelines.domains.residents.sheets import RESULTS, Work, read
from pipelines.domains.residents.terms import Terms
from pipelines.environment import Environment
from pipelines.sandbox.certificates import Certificates, make_certificates

CALLS: Mapping[str, int] = {"contact_tracing": 1, "nsss": 3}
"""The feeds that are measured, and the calls of a row: the request; with others it is then read and gets a note."""

CONNECTIONS = 64

LEAST = 40.0
"""So many times as many rows in a second as a serial client."""

SHEET, SETTLES_WITHIN = 3_000, 45.0
"""A sheet of so many rows is to be settled in so many seconds with the limits that are set unless others are."""

MOST_BYTES = 1024
"""So much memory a row may take."""

_SECRET = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows that were sent, their effects in the ledger, and the seconds: by the clock, and of our processor."""

    rows: int
    effects: int
    seconds: float
    cpu: float


def tables(folder: Path, rows: int, many: int, rounds: int) -> Iterator[Table]:
    """Compare ours with a serial client, settle a sheet at the usual pace, weigh small and large sheets."""
    certificates = make_certificates(folder / "certificates", utc_now())
    with residents_side(certificates) as side:
        access = unlimited(side, certificates)
        yield _compare(folder, access, certificates, rows, rounds)
        yield _settle_as_set(folder, access, rows)
        yield _weigh(folder, access, many)


def _compare(folder: Path, access: Access, certificates: Certificates, rows: int, rounds: int) -> Table:
    """The serial client sends a twentieth of the rows: its pace does not change."""
    names = ("feed", "calls a row", "ours, a second", "ms of CPU each", "serial, a second", "ours to serial", "bound")
    table = Table(*names)
    for feed, calls in CALLS.items():
        figures = []
        for number in range(rounds):
            ours = send(folder / f"{feed}-{number}", feed, access, rows)
            serial = send_serially(feed, access, certificates, max(1, rows // 20))
            pace, serial_pace = ours.rows / ours.seconds, serial.rows / serial.seconds
            figures.append((pace, 1000 * ours.cpu / ours.rows, serial_pace, pace / serial_pace))
        pace, cpu, serial_pace, ratio = (median(column) for column in zip(*figures, strict=True))
        bound = f"at least {LEAST:g}" + ("" if ratio >= LEAST else ": missed")
        table.add_row(feed, str(calls), f"{pace:,.0f}", f"{cpu:.2f}", f"{serial_pace:,.1f}", f"{ratio:,.1f}", bound)
    return table


def _settle_as_set(folder: Path, access: Access, rows: int) -> Table:
    usual = as_set(access)
    taken = settle(folder / "as set", "contact_tracing", usual, rows)
    most = SETTLES_WITHIN * rows / SHEET
    bound = f"at most {most:g}" + ("" if taken.seconds <= most else ": missed")
    table = Table("rows of contact_tracing", "connections", "calls a second", "settled after, s", "bound")
    table.add_row(f"{rows:,}", str(usual.connections), f"{usual.calls_per_second:g}", f"{taken.seconds:.1f}", bound)
    return table


def _weigh(folder: Path, access: Access, many: int) -> Table:
    """Twice, since what a process takes without any row is much."""
    sizes = (many // 5, many)
    table = Table("rows of contact_tracing", "peak memory in MiB", "bytes a row", "bound")
    peaks = [run_apart(weigh, folder / f"weighed {rows}", access, rows) for rows in sizes]
    each = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    bound = f"at most {MOST_BYTES:,}" + ("" if each <= MOST_BYTES else ": missed")
    table.add_row(f"{sizes[0]:,}", f"{peaks[0] / 2**20:,.0f}", "", "")
    table.add_row(f"{sizes[1]:,}", f"{peaks[1] / 2**20:,.0f}", f"{each:,.0f}", bound)
    return table


def send(folder: Path, feed: str, access: Access, rows: int) -> Settled:
    """Ours, from the rows as they are judged: each effect in the ledger before its call, and settled after it.

    Raises:
        ValueError: not all of them were sent.
    """
    people.drop(folder / "drive", feed, rows, london_day(utc_now()))
    drive = open_drive((folder / "drive").as_uri(), quiet=timedelta(0))
    queue, destination = sheets_queue(FEEDS[feed]), access.destination
    with closing(open_ledger(_ledger(folder))) as ledger:
        intake.take_in([FEEDS[feed]], drive, ledger, destination, _SECRET, utc_now())
        (sheet,) = ledger.items(queue)
        batch = read(FEEDS[feed], drive, sheet, _SECRET, frozenset(), utc_now())
        place = Place(effects_queue(FEEDS[feed]), destination, sheet.partition, sheet.id, frozenset({sheet.id}))
        sending = Sending(ledger, "benchmark", place, _terms(access), "benchmark")
        begun, cpu = time.perf_counter(), time.process_time()
        sent = sending.run(batch, access.open)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        return _checked(Settled(sent.results[Result.SENT], _count_effects(ledger, feed), seconds, cpu), rows)


def settle(folder: Path, feed: str, access: Access, rows: int) -> Settled:
    """All of it: a sheet in the drive is taken in, read, judged, sent and settled.

    Raises:
        ValueError: not all rows were sent.
    """
    people.drop(folder / "drive", feed, rows, london_day(utc_now()))
    drive, terms = open_drive((folder / "drive").as_uri(), quiet=timedelta(0)), _terms(access)
    queue, destination = sheets_queue(FEEDS[feed]), access.destination
    with closing(open_ledger(_ledger(folder))) as ledger:
        work = Work(FEEDS[feed], drive, ledger, access.open, terms, _SECRET, frozenset(), "benchmark")
        begun, cpu = time.perf_counter(), time.process_time()
        intake.take_in([FEEDS[feed]], drive, ledger, destination, _SECRET, utc_now())
        shift = Shift("benchmark", terms.lease)
        made = [*work_through(ledger, queue, lambda: work.outcome, terms.policy, shift, destination=destination)]
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        sheets = [item for item in ledger.items(queue, states=[State.SETTLED]) if item.id in {one.id for one in made}]
        sent = sum(item.detail[RESULTS].get(Result.SENT, 0) for item in sheets)
        return _checked(Settled(sent, _count_effects(ledger, feed), seconds, cpu), rows)


def weigh(folder: Path, access: Access, rows: int) -> int:
    """The most bytes of memory that a process has which settles a sheet; to be called in one of its own."""
    settle(folder, "contact_tracing", access, rows)
    return peak_memory()


def send_serially(feed: str, access: Access, certificates: Certificates, rows: int) -> Settled:
    """The naive way: one connection, kept alive, and one call after another; nothing checked, nothing recorded."""
    mapped = [*people.mapped(feed, rows, london_day(utc_now()))]
    trust = ssl.create_default_context(cafile=certificates.authority)
    begun, cpu = time.perf_counter(), time.process_time()
    with closing(HTTPSConnection(urlsplit(access.url).netloc, context=trust, timeout=30)) as connection:
        call = partial(_call, connection, access.api_key.get_secret_value())
        for row in mapped:
            if FEEDS[feed].note_in_request:
                call("POST", "/v3/help-requests", {**row.payload, "CaseNotes": "".join(row.notes)})
                continue
            made = call("POST", "/v3/help-requests", row.payload)["Id"]
            resident = call("GET", f"/v3/help-requests/{made}")["ResidentId"]
            for note in row.notes:
                text = write_note(FEEDS[feed].author, utc_now(), note)
                call("POST", f"/v4/residents/{resident}/help-requests/{made}/case-notes", {"CaseNote": text})
    return Settled(rows, 0, time.perf_counter() - begun, time.process_time() - cpu)


def _call(
    connection: HTTPSConnection, key: str, method: str, path: str, payload: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    body = None if payload is None else orjson.dumps(payload)
    connection.request(method, path, body, {"x-api-key": key, "Content-Type": "application/json"})
    said: Mapping[str, Any] = orjson.loads(connection.getresponse().read())
    return said


def unlimited(side: Running, certificates: Certificates) -> Access:
    """The way to the other side, with no limit but that of connections."""
    authority = certificates.authority.read_bytes()
    return Access("sandbox://here-to-help", side.url, SecretStr(side.key), authority, CONNECTIONS, None, 10, 40)


def as_set(access: Access) -> Access:
    """The same with the limits that are set unless others are."""
    settings = Environment.model_fields
    return replace(
        access,
        connections=settings["residents_connections"].default,
        calls_per_second=settings["residents_calls_per_second"].default,
    )


def _ledger(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def _terms(access: Access) -> Terms:
    return Terms(access.connections, timedelta(seconds=90), access.total_seconds, 60, RetryPolicy())


def _checked(settled: Settled, rows: int) -> Settled:
    if settled.rows != rows:
        raise ValueError(f"{settled.rows} of {rows} rows were sent")
    return settled


def _count_effects(ledger: Ledger, feed: str) -> int:
    standings = ledger.standings(effects_queue(FEEDS[feed]))
    return sum(standing.items for standing in standings if standing.state is State.SETTLED)
