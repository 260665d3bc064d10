"""The privacy filter of a file, from its bytes to its verified parquet, beside the naive way and the least there is.

Here: what is measured, and on which data. Not here: rounds, medians and ratios.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pyarrow.parquet as pq

from pipelines.core.lines import gunzip, split_lines
from pipelines.domains.mobile.files import read_mapping
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages import PackageFilter
from pipelines.domains.mobile.verification import open_writer, verify
from pipelines.sandbox.uploads import Record, land, packages, uploads

HOUR = datetime(2025, 6, 5, 4, tzinfo=UTC)
CHUNK = 1 << 20
NAIVE_SAMPLE = 4_000
"""Packages that the naive way is measured on: it has no fixed costs that matter, and takes minutes for a million."""


def make_data(folder: Path, count: int) -> None:
    """Write the packages of an hour: as they are, and dense (no metric is zero); the good lines of each; our output."""
    pairs = [(entry.district, entry.authority) for entry in _read_mapping().entries]
    for name, change in _FORMS.items():
        rng = Random(count)  # noqa: S311 - made-up sample data, no secret
        good = 0
        with (folder / f"{name}.jsonl").open("wb") as lines, (folder / f"{name}-good.jsonl").open("wb") as sample:
            for record in packages(1, count, pairs, HOUR):
                line = change(record, rng) + b"\n"
                lines.write(line)
                if record.bad is None and good < NAIVE_SAMPLE:
                    sample.write(line)
                    good += 1
        filter_file(folder, name)


def make_landing(folder: Path, count: int) -> None:
    """Land a day of packages, packed and plain, as they arrive: in many files."""
    pairs = [(entry.district, entry.authority) for entry in _read_mapping().entries]
    land(uploads(1, HOUR.replace(hour=0), 24, count, pairs), folder)


def filter_file(folder: Path, name: str) -> int:
    """Ours: strict parsing, every check, the mapping, parquet, verification. Gives the packages read."""
    return _filter(folder / f"{name}.jsonl", folder / f"{name}.parquet")


def filter_landing(folder: Path) -> int:
    """Ours, over a whole landing folder, file after file."""
    return sum(_filter(file, folder / "output.parquet") for file in sorted(folder.rglob("batch-*.json*")))


def filter_naively(folder: Path, name: str) -> int:
    """The naive way, on good lines only: pandas flattens, maps row by row and writes."""
    import pandas as pd  # noqa: PLC0415 - the other ways don't pay for it

    mapping = _read_mapping()
    lines = (folder / f"{name}-good.jsonl").read_bytes().splitlines()
    frame = pd.json_normalize([json.loads(line) for line in lines])
    frame.columns = pd.Index([column.rpartition(".")[2].lower() for column in frame.columns])
    places = ["postaldistrict", "localauthority"]

    def find_cell(row: Any) -> pd.Series[Any]:
        district, authority = row[places]
        return pd.Series(mapping.lookup(district, None if pd.isna(authority) else authority), places)

    frame[places] = frame.apply(find_cell, axis=1)
    frame.to_parquet(folder / f"{name}-naive.parquet", index=False)
    return len(lines)


def parse_and_write(folder: Path, name: str) -> int:
    """The least there is: each line is parsed, nothing in it looked at; a table that is there already is written."""
    import simdjson  # noqa: PLC0415 - the other ways don't pay for it

    parse = simdjson.Parser().parse
    lines = (folder / f"{name}.jsonl").read_bytes().splitlines()
    for line in lines:
        try:
            parse(line)
        except (ValueError, RuntimeError):
            continue
    pq.write_table(pq.read_table(folder / f"{name}.parquet"), folder / f"{name}-least.parquet")
    return len(lines)


def _filter(source: Path, target: Path) -> int:
    mapping = _read_mapping()
    chosen = PackageFilter(mapping, HOUR + timedelta(hours=1))
    with target.open("w+b") as output, source.open("rb") as file:
        chunks: Iterator[bytes] = iter(lambda: file.read(CHUNK), b"")
        lines = split_lines(gunzip(chunks) if source.suffix == ".gz" else chunks)
        with open_writer(output, {}) as writer:
            for batch in chosen.batches(lines):
                writer.write_batch(batch.table)
        verify(output, mapping.targets, chosen.tally.written)
    return chosen.tally.read


def _read_mapping() -> PrivacyMapping:
    return PrivacyMapping.parse(read_mapping("").raw)


def _fill_metrics(record: Record, rng: Random) -> bytes:
    if record.bad is not None:
        return record.raw
    package = orjson.loads(record.raw)
    package["metrics"] = {key: 1 + int(5_000 * rng.random()) for key in package["metrics"]}
    return orjson.dumps(package)


_FORMS: Mapping[str, Callable[[Record, Random], bytes]] = {
    "sparse": lambda record, _: record.raw,
    "dense": _fill_metrics,
}
