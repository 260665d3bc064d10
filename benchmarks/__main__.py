"""Runs the benchmarks and prints their figures as tables: `python -m benchmarks --help`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from benchmarks import delivery, latency, ledger, privacy_filter, residents, s3, sheets, tick
from benchmarks.measures import Measure, Way, measure, run_apart
from benchmarks.other_side import other_side
from pipelines.adapters.ledger.leases import utc_now
from pipelines.sandbox.certificates import make_certificates

console = Console(highlight=False)

BOUNDS: Mapping[str, float] = {"naive": 0.1, "least": 3.5}
"""The processor time of the filter may be so many times that of another way."""

DELIVERY_BOUND = 40.0
"""So many times as many objects in a second as a serial client."""

TICK_BOUND = 1.5
"""A tick over a thousand times as much that is done may take so many times as long; the rest is noise."""

"""So many times as fast as openpyxl, in processor time; and the bytes of memory that a row of a sheet may take."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured, and how often."""

    packages: int
    landings: Sequence[int]
    rounds: int
    objects: int
    settled: Sequence[int]
    sheets: Sequence[int]
    files: int
    items: int
    keys: int
    rows: int
    many_rows: int
    sheet_rows: int


def measure_filter(size: Size, folder: Path) -> None:
    """Compare the privacy filter with the two other ways on each form of packages; then weigh its memory."""
    warm = folder / "warm.jsonl"
    run_apart(privacy_filter.make_file, "sparse", 200, warm)
    ways: Mapping[str, Way] = {
        "ours": privacy_filter.prepare_ours,
        "naive": privacy_filter.prepare_naive,
        "least": privacy_filter.prepare_least,
    }
    table = Table("packages", "way", "µs of CPU each", "each CPU second", "ours to it", "bound")
    for form in privacy_filter.FORMS:
        source = folder / f"{form}.jsonl"
        run_apart(privacy_filter.make_file, form, size.packages, source)
        rounds = [{name: measure(way, source, warm) for name, way in ways.items()} for _ in range(size.rounds)]
        for name in ways:
            _add_row(table, form, name, rounds)
    console.print(table)

    peaks = Table("packages landed", "each CPU second", "peak memory in MiB")
    for count in size.landings:
        source = folder / f"landing-{count}"
        run_apart(privacy_filter.make_landing, count, source)
        taken = measure(privacy_filter.prepare_ours, source, warm)
        peaks.add_row(f"{taken.packages:,}", f"{taken.packages / taken.cpu:,.0f}", f"{taken.peak / 2**20:,.0f}")
    console.print(peaks)


def _add_row(table: Table, form: str, name: str, rounds: Sequence[Mapping[str, Measure]]) -> None:
    each = median(taken[name].microseconds for taken in rounds)
    # Neighbours on the machine slow a whole round rather than one way of it, so ratios are taken within each round.
    ratio = median(taken["ours"].microseconds / taken[name].microseconds for taken in rounds)
    most = BOUNDS.get(name)
    bound = "" if most is None else f"at most {most:g}" + ("" if ratio <= most else ": missed")
    table.add_row(form, name, f"{each:,.1f}", f"{1e6 / each:,.0f}", f"{ratio:.2f}", bound)


def measure_ledger(size: Size, folder: Path) -> None:
    """Compare how many items a second come through the ledger, on each of its databases."""
    table = Table("database", "way", "items a second", "to one by one")
    with ledger.databases(folder) as databases:
        for form, url in databases.items():
            rounds = [
                {
                    name: ledger.measure(url, way, size.items // (10 if way.at_once == 1 else 1), number * 10 + place)
                    for place, (name, way) in enumerate(ledger.WAYS.items())
                }
                for number in range(size.rounds)
            ]
            for name in ledger.WAYS:
                each = median(taken[name] for taken in rounds)
                ratio = median(taken[name] / taken["one by one"] for taken in rounds)
                table.add_row(form, name, f"{each:,.0f}", f"{ratio:.1f}")
    console.print(table)


def measure_delivery(size: Size, folder: Path) -> None:
    """Compare ours with a serial client, which sends a twentieth of the objects: its pace does not change."""
    ratios, figures = list[float](), list[tuple[float, float, float]]()
    certificates = make_certificates(folder / "certificates", utc_now())
    with other_side(certificates, delivery.LIMITS) as endpoint:
        for number in range(size.rounds):
            stage = folder / str(number)
            delivery.release(stage, size.objects, endpoint.destination)
            serial = delivery.send_serially(stage, endpoint, certificates, max(1, size.objects // 20))
            ours = delivery.deliver(stage, endpoint)
            if ours.objects != size.objects:
                raise click.ClickException(f"{ours.objects} of {size.objects} objects were delivered")
            pace, serial_pace = ours.objects / ours.seconds, serial.objects / serial.seconds
            ratios.append(pace / serial_pace)
            figures.append((pace, 1000 * ours.cpu / ours.objects, serial_pace))
    table = Table("objects", "ours, a second", "ms of CPU each", "serial, a second", "ours to serial", "bound")
    pace, cpu, serial_pace = (median(column) for column in zip(*figures, strict=True))
    ratio = median(ratios)
    bound = f"at least {DELIVERY_BOUND:g}" + ("" if ratio >= DELIVERY_BOUND else ": missed")
    table.add_row(f"{size.objects:,}", f"{pace:,.0f}", f"{cpu:.2f}", f"{serial_pace:,.1f}", f"{ratio:,.1f}", bound)
    console.print(table)


def measure_tick(size: Size, folder: Path) -> None:
    """Weigh a tick over ledgers that hold little and much that is done, in turn."""
    _weigh_ticks("settled files", tick.fill, tick.tick, size.settled, size.rounds, folder / "files")
    _weigh_ticks("settled sheets", tick.fill_sheets, tick.tick_sheets, size.sheets, size.rounds, folder / "sheets")


def _weigh_ticks(
    what: str,
    fill: Callable[[Path, int], None],
    weigh: Callable[[Path, int, int], tick.Ticks],
    sizes: Sequence[int],
    times: int,
    folder: Path,
) -> None:
    for settled in sizes:
        (folder / str(settled)).mkdir(parents=True)
        run_apart(fill, folder / str(settled), settled)
    rounds = [[run_apart(weigh, folder / str(settled), settled, TICKS) for settled in sizes] for _ in range(times)]
    table = Table(what, "ms of CPU a tick", "to the first", "bound")
    for place, settled in enumerate(sizes):
        cpu = median(each[place].cpu for each in rounds)
        ratio = median(each[place].cpu / each[0].cpu for each in rounds)
        bound = f"at most {TICK_BOUND:g}" + ("" if ratio <= TICK_BOUND else ": missed") if place else ""
        table.add_row(f"{settled:,}", f"{1000 * cpu:.1f}", f"{ratio:.2f}", bound)
    console.print(table)


def measure_latency(size: Size, folder: Path) -> None:
    """Drop files into a running platform, and see when they are at the stand-in for AAE."""
    table = Table("feed", "files", "median, s", "95 % within, s", "longest, s")
    for queue, taken in latency.delays(folder, size.files).items():
        ranked = sorted(taken)
        within = ranked[min(len(ranked) - 1, math.ceil(0.95 * len(ranked)) - 1)]
        table.add_row(queue, str(len(ranked)), f"{median(ranked):.1f}", f"{within:.1f}", f"{ranked[-1]:.1f}")
    console.print(table)


def measure_s3(size: Size, folder: Path) -> None:
    """Weigh a tick beside few and many keys in a bucket; then deliver from there, and from a folder."""
    sizes = (min(FEW_KEYS, size.keys), size.keys)
    with s3.server(folder / "seaweedfs"):
        for keys in dict.fromkeys(sizes):
            s3.fill(folder / "seaweedfs", keys)
            s3.begin(folder / str(keys))
        rounds = [
            [run_apart(tick.tick, folder / str(keys), keys, TICKS, s3.landing(keys)) for keys in sizes]
            for _ in range(size.rounds)
        ]
        table = Table("keys in the bucket", "ms a tick", "ms of CPU a tick", "to the first", "bound")
        for place, keys in enumerate(sizes):
            seconds, cpu = (median(getattr(each[place], what) for each in rounds) for what in ("seconds", "cpu"))
            ratio = median(each[place].seconds / each[0].seconds for each in rounds)
            bound = f"at most {TICK_BOUND:g}" + ("" if ratio <= TICK_BOUND else ": missed") if place else ""
            table.add_row(f"{keys:,}", f"{1000 * seconds:.1f}", f"{1000 * cpu:.1f}", f"{ratio:.2f}", bound)
        console.print(table)
        listed = run_apart(s3.list_all, size.keys)
        if listed.keys != size.keys:
            raise click.ClickException(f"{listed.keys} of {size.keys} keys are in the bucket")
        ratio = listed.seconds / median(each[-1].seconds for each in rounds)
        console.print(f"to list all {listed.keys:,} keys takes {listed.seconds:,.1f} s, {ratio:,.0f} times a tick")
        _measure_delivery_from_s3(size, folder)


def _measure_delivery_from_s3(size: Size, folder: Path) -> None:
    lakes = {"folder": (folder / "lake").as_uri(), "bucket": s3.LAKE}
    paces: dict[str, list[float]] = {lake: [] for lake in lakes}
    certificates = make_certificates(folder / "certificates", utc_now())
    with other_side(certificates, delivery.LIMITS) as endpoint:
        for lake, url in lakes.items():
            delivery.release(folder / f"released-{lake}", size.objects, endpoint.destination, url)
        for number in range(size.rounds):
            for lake, url in lakes.items():
                stage = folder / f"{lake}-{number}"
                sent = s3.deliver_again(folder / f"released-{lake}", stage, endpoint, url)
                if sent.objects != size.objects:
                    raise click.ClickException(f"{sent.objects} of {size.objects} objects were delivered")
                paces[lake].append(sent.objects / sent.seconds)
    table = Table("lake", "objects", "delivered a second", "to those of a folder")
    for lake, taken in paces.items():
        ratio = median(one / other for one, other in zip(taken, paces["folder"], strict=True))
        table.add_row(lake, f"{size.objects:,}", f"{median(taken):,.0f}", f"{ratio:.2f}")
    console.print(table)


def measure_residents(size: Size, folder: Path) -> None:
    """Send sheets of residents as fast as may be, and at the usual pace; weigh small and large ones."""
    for table in residents.tables(folder, size.rows, size.many_rows, size.rounds):
        console.print(table)


def measure_sheets(size: Size, folder: Path) -> None:
    """Read large sheets as openpyxl does, and weigh their rows."""
    console.print(sheets.table(folder, size.sheet_rows, size.rounds))


TICKS = 50

FEW_KEYS = 1_000

BENCHMARKS: Mapping[str, Callable[[Size, Path], None]] = {
    "privacy_filter": measure_filter,
    "delivery": measure_delivery,
    "residents": measure_residents,
    "tick": measure_tick,
    "ledger": measure_ledger,
    "latency": measure_latency,
    "s3": measure_s3,
    "sheets": measure_sheets,
}


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), multiple=True, help="This benchmark; can be repeated.")
@click.option("--packages", default=62_500, show_default=True, help="Packages of the file that the ways share.")
@click.option(
    "--landing", "landings", default=[62_500, 1_000_000], show_default=True, multiple=True, help="Packages to land."
)
@click.option("--objects", default=10_000, show_default=True, help="Objects to deliver.")
@click.option("--settled", default=[1_000, 1_000_000], show_default=True, multiple=True, help="Files that are done.")
@click.option("--sheets", default=[1_000, 100_000], show_default=True, multiple=True, help="Sheets that are done.")
@click.option("--files", default=30, show_default=True, help="Files of each feed to drop; about 9 seconds for both.")
@click.option("--items", default=5_000, show_default=True, help="Items that come through the ledger.")
@click.option("--keys", default=1_000_000, show_default=True, help="Keys in the bucket; a million takes some minutes.")
@click.option("--rows", default=3_000, show_default=True, help="Rows of a sheet of residents.")
@click.option(
    "--many-rows", default=100_000, show_default=True, help="Rows of a large one, of which memory is weighed."
)
@click.option("--sheet-rows", default=100_000, show_default=True, help="Rows of the sheets to read.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is measured, in turn.")
def main(only: Sequence[str], **amounts: Any) -> None:
    """Measure, each way in a process of its own, on data made for the purpose (that is not measured)."""
    size = Size(**amounts)
    for name, run in BENCHMARKS.items():
        if not only or name in only:
            console.rule(name)
            with tempfile.TemporaryDirectory() as folder:
                run(size, Path(folder))


if __name__ == "__main__":
    main()
