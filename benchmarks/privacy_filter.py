"""The privacy filter, from a file's bytes to its verified parquet, beside the naive way and the least there is.

Here: the data and the ways. Not here: how often they are run, and how they are compared.
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

from benchmarks.measures import Work
from pipelines.adapters.objects import open_objects
from pipelines.core.lines import gunzip, split_lines
from pipelines.domains.mobile.files import read_mapping
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.filter import PackageFilter
from pipelines.domains.mobile.packages.verification import open_writer, verify
from pipelines.sandbox.uploads import Record, land, packages, uploads

HOUR = datetime(2025, 6, 5, 4, tzinfo=UTC)
_CHUNK = 1 << 20
_PLACE = ["postaldistrict", "localauthority"]


def make_file(form: str, count: int, target: Path) -> None:
    """Write an hour's packages, 1 % of them bad; beside them the good lines for the naive way, and our output.

    Args:
        form: One of `FORMS`.
        count: The packages.
        target: The file of lines; the others have its name, with another suffix.
    """
    rng = Random(count)  # noqa: S311 - made-up sample data, no secret
    with target.open("wb") as lines, target.with_suffix(".good").open("wb") as good:
        for record in packages(1, count, _list_pairs(), HOUR):
            line = FORMS[form](record, rng) + b"\n"
            lines.write(line)
            if record.bad is None:
                good.write(line)
    prepare_ours(target)()


def make_landing(count: int, target: Path) -> None:
    """Land a day of packages as they arrive: in many files, packed and plain."""
    land(
        uploads(1, HOUR.replace(hour=0), 24, count, _list_pairs(), files_per_hour=8),
        open_objects(target.absolute().as_uri()),
    )


def prepare_ours(source: Path) -> Work:
    """Ours: strict reading, every check, the mapping, the parquet and its verification; a folder file by file."""
    mapping = _read_mapping()
    files = sorted(source.rglob("batch-*")) if source.is_dir() else [source]
    output = source.with_suffix(".parquet")
    return lambda: sum(_filter_file(file, output, mapping) for file in files)


def prepare_naive(source: Path) -> Work:
    """The naive way, on good lines only: pandas flattens the packages, maps them row by row and writes them."""
    import pandas as pd  # noqa: PLC0415 - the other ways don't pay for it

    mapping = _read_mapping()

    def find_cell(row: pd.Series[Any]) -> tuple[str, str | None]:
        authority = row["localauthority"]
        return mapping.lookup(row["postaldistrict"], None if pd.isna(authority) else authority)

    def work() -> int:
        lines = source.with_suffix(".good").read_bytes().splitlines()
        frame = pd.json_normalize([json.loads(line) for line in lines])
        frame.columns = pd.Index([column.rpartition(".")[2].lower() for column in frame.columns])
        frame[_PLACE] = frame.apply(find_cell, axis=1, result_type="expand")
        frame.to_parquet(source.with_suffix(".naive"), index=False)
        return len(lines)

    return work


def prepare_least(source: Path) -> Work:
    """The least there is: each line is parsed and nothing looked at; the table to write is there already."""
    import simdjson  # noqa: PLC0415 - the other ways don't pay for it

    parse = simdjson.Parser().parse
    table = pq.read_table(source.with_suffix(".parquet"))

    def work() -> int:
        read = 0
        with source.open("rb") as lines:
            for line in lines:
                read += 1
                try:
                    parse(line)
                except (ValueError, RuntimeError):  # the bad ones
                    continue
        pq.write_table(table, source.with_suffix(".least"))
        return read

    return work


def _filter_file(source: Path, target: Path, mapping: PrivacyMapping) -> int:
    chosen = PackageFilter(mapping, HOUR + timedelta(hours=1))
    with source.open("rb") as file, target.open("w+b") as output:
        chunks: Iterator[bytes] = iter(lambda: file.read(_CHUNK), b"")
        lines = split_lines(gunzip(chunks) if source.suffix == ".gz" else chunks)
        with open_writer(output, {"mapping_sha256": mapping.sha256}) as writer:
            for batch in chosen.batches(lines):
                writer.write_batch(batch.table)
        verify(output, mapping.targets, chosen.tally.written)
    return chosen.tally.read


def _read_mapping() -> PrivacyMapping:
    return PrivacyMapping.parse(read_mapping("").raw)


def _list_pairs() -> list[tuple[str, str | None]]:
    return [(entry.district, entry.authority) for entry in _read_mapping().entries]


def _fill_metrics(record: Record, rng: Random) -> bytes:
    if record.bad is not None:
        return record.raw
    package = orjson.loads(record.raw)
    package["metrics"] = {key: 1 + int(5_000 * rng.random()) for key in package["metrics"]}
    return orjson.dumps(package)


FORMS: Mapping[str, Callable[[Record, Random], bytes]] = {
    "sparse": lambda record, _: record.raw,
    "dense": _fill_metrics,
}
"""What the packages are like: nearly all metrics zero, as phones send them, or none."""
