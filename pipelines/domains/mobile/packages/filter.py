"""The privacy filter: lines of raw packages in, batches of checked and mapped rows out.

Here: what becomes of a package and of each of its values. Not here: what makes a package acceptable, the mapping
itself, reading and writing files. A raw district leaves this module only inside a reject.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.lines import BrokenStream, Line, LongLine
from pipelines.domains.mobile.faults import Fault, Reason
from pipelines.domains.mobile.instants import Instant, read_instant
from pipelines.domains.mobile.packages.columns import Place
from pipelines.domains.mobile.packages.faults import find_fault, parse_package
from pipelines.domains.mobile.packages.records import Record, convert_package, read_record
from pipelines.domains.mobile.packages.rows import Rows
from pipelines.domains.mobile.quarantine import Reject

FUTURE_TOLERANCE = timedelta(days=365)

PAYMENTS_ENDED = datetime(2022, 4, 6, 23, tzinfo=UTC)
"""The first instant of 7 April 2022 in London: from then on the payment metrics are not kept."""

PAYMENT_METRICS = frozenset(
    {
        "receivedActiveIpcToken",
        "haveActiveIpcTokenBackgroundTick",
        "selectedIsolationPaymentsButton",
        "launchedIsolationPaymentsApplication",
    }
)


class Lookup(Protocol):
    """The privacy mapping, as far as it is needed here."""

    def lookup(self, district: str, authority: str | None) -> tuple[str, str | None]:
        """The district and authority that may stand for these."""


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Accepted records as rows, in the order of their lines, and the rejects from among them."""

    table: pa.RecordBatch
    rejects: tuple[Reject, ...]


@dataclasses.dataclass(slots=True)
class Tally:
    """What was done so far: `read` is `written` and all of `rejected` together.

    `zero_filled` counts, by column, the rows whose absent number became 0; `unknown` the rows that the mapping
    doesn't know.
    """

    read: int = 0
    written: int = 0
    rejected: Counter[str] = dataclasses.field(default_factory=Counter)
    zero_filled: Counter[str] = dataclasses.field(default_factory=Counter)
    unknown: int = 0


class PackageFilter:
    """Turns lines into batches of privacy-safe rows, with flat memory; `tally` grows as batches are taken.

    Args:
        mapping: The privacy mapping.
        judged_at: The instant, with its zone, by which the future and the payment metrics are judged: the end of the
            hour in which the packages arrived, so that a re-run judges alike.
        batch_rows: Most lines that make a batch.
        batch_bytes: A batch ends, too, once its lines had this many bytes.
    """

    def __init__(
        self, mapping: Lookup, judged_at: datetime, batch_rows: int = 4_096, batch_bytes: int = 16 << 20
    ) -> None:
        if judged_at.tzinfo is None:
            raise ValueError("judged_at needs a time zone")
        self.tally = Tally()
        self._mapping = mapping
        latest = judged_at + FUTURE_TOLERANCE
        limit = Instant(latest.replace(microsecond=0), latest.microsecond * 1_000)
        self._print_instant = lru_cache(8_192)(partial(_print_instant, latest=limit))
        self._dropped = PAYMENT_METRICS if judged_at >= PAYMENTS_ENDED else frozenset()
        self._batch_rows = batch_rows
        self._batch_bytes = batch_bytes

    def batches(self, lines: Iterable[Line | LongLine]) -> Iterator[Batch]:
        """Filter lines, lazily.

        Yields:
            Batches in the order of the lines; one may hold rejects only.

        Raises:
            BrokenStream: As the lines raised it, after the batch of what came before.
        """
        broken: BrokenStream | None = None
        rows, rejects, count, size = Rows(), list[Reject](), 0, 0
        try:
            for line in lines:
                if isinstance(line, Line):
                    raw, length, fault = line.data, len(line.data), self._take(line.data, rows)
                else:
                    raw, length, fault = line.head, line.length, _TOO_LONG
                if fault:
                    rejects.append(Reject(line.number, fault.field, fault.reason, raw, length))
                count += 1
                size += len(raw)
                if count >= self._batch_rows or size >= self._batch_bytes:
                    yield self._finish(rows, rejects, count)
                    rows, rejects, count, size = Rows(), [], 0, 0
        except BrokenStream as error:
            broken = error
        if count:
            yield self._finish(rows, rejects, count)
        if broken:
            raise broken

    def _take(self, data: bytes, rows: Rows) -> Fault | None:
        """Add a record to the rows, or say why not."""
        record = read_record(data)
        if record is not None and self._add(record, rows):
            return None
        package = parse_package(data)
        if isinstance(package, Fault):
            return package
        record = convert_package(package)
        if record is not None and self._add(record, rows):
            return None
        return find_fault(package) or Fault(Place.WINDOW, Reason.IN_FUTURE)

    def _add(self, record: Record, rows: Rows) -> bool:
        """Add a record to the rows, unless its window is wrong or too late."""
        window, metadata = record.analytics_window, record.metadata
        start, end = self._print_instant(window.start_date), self._print_instant(window.end_date)
        if start is None or end is None:
            return False
        district, authority = self._mapping.lookup(metadata.postal_district, metadata.local_authority)
        facts = (
            start,
            end,
            district,
            authority,
            metadata.device_model,
            metadata.latest_application_version,
            metadata.operating_system_version,
            record.includes_multiple_application_versions,
        )
        rows.add(facts, record)
        return True

    def _finish(self, rows: Rows, rejects: list[Reject], count: int) -> Batch:
        table = rows.to_batch(self._dropped, self.tally.zero_filled)
        self.tally.read += count
        self.tally.written += table.num_rows
        self.tally.rejected.update(reject.reason for reject in rejects)
        self.tally.unknown += pc.equal(table["postaldistrict"], pa.scalar("UNKNOWN")).true_count
        return Batch(table, tuple(rejects))


def _print_instant(text: str, latest: Instant) -> str | None:
    """The printed form of an instant, None if it is none or too late."""
    instant = read_instant(text)
    return None if instant is None or instant > latest else instant.text


_TOO_LONG = Fault("", Reason.TOO_LONG)
