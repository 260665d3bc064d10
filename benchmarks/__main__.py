"""Runs the benchmarks and prints their figures as tables: `python -m benchmarks --help`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

from benchmarks import ledger, privacy_filter
from benchmarks.measures import Measure, Way, measure, run_apart

console = Console(highlight=False)

BOUNDS: Mapping[str, float] = {"naive": 0.1, "least": 3.5}
"""The processor time of ours may be so many times that of another way."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured, and how often."""

    packages: int
    landings: Sequence[int]
    rounds: int
    items: int


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


BENCHMARKS: Mapping[str, Callable[[Size, Path], None]] = {"privacy_filter": measure_filter, "ledger": measure_ledger}


@click.command()
@click.option("--only", type=click.Choice(list(BENCHMARKS)), multiple=True, help="This benchmark; can be repeated.")
@click.option("--packages", default=62_500, show_default=True, help="Packages of the file that the ways share.")
@click.option("--landing", default=[62_500, 1_000_000], show_default=True, multiple=True, help="Packages to land.")
@click.option("--items", default=5_000, show_default=True, help="Items that come through the ledger.")
@click.option("--rounds", default=5, show_default=True, help="How often each way is measured, in turn.")
def main(only: Sequence[str], packages: int, landing: Sequence[int], rounds: int, items: int) -> None:
    """Measure, each way in a process of its own, on data made for the purpose (that is not measured)."""
    for name, run in BENCHMARKS.items():
        if not only or name in only:
            console.rule(name)
            with tempfile.TemporaryDirectory() as folder:
                run(Size(packages, landing, rounds, items), Path(folder))


if __name__ == "__main__":
    main()
