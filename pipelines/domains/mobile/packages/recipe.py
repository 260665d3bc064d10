"""What is made of a landed file of packages: one parquet file, verified, and the records that it could not take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO

from pipelines.core.lines import BrokenStream, gunzip, split_lines
from pipelines.core.periods import HOUR, hour_start
from pipelines.core.work import Item
from pipelines.domains.mobile.carried import MOVED
from pipelines.domains.mobile.feeds import PACKAGES, Feed
from pipelines.domains.mobile.landed import Content
from pipelines.domains.mobile.line_numbers import LineNumbers
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.anonymity import Groups
from pipelines.domains.mobile.packages.filter import PackageFilter
from pipelines.domains.mobile.packages.verification import open_writer, verify
from pipelines.domains.mobile.quarantine import write_reject


@dataclass(frozen=True, slots=True)
class PackageRecipe:
    """Lines of packages into rows; a record longer than ``record_bytes`` is rejected."""

    record_bytes: int
    feed: Feed = PACKAGES
    at_once: int = 1

    def make(
        self, item: Item, mapping: PrivacyMapping, chunks: Iterator[bytes], output: IO[bytes], rejected: IO[bytes]
    ) -> Content:
        """See ``Recipe``; of a file that is damaged or ends early what could be read is taken."""
        packages = PackageFilter(mapping, judged_at=hour_start(item.partition) + HOUR)
        lines = split_lines(gunzip(chunks) if item.name.endswith(".gz") else chunks, self.record_bytes)
        if moved := LineNumbers.read(item.detail.get(MOVED, ())):
            lines = (line for line in lines if line.number not in moved)
        broken, groups = False, Groups()
        provenance = {
            "mapping_sha256": mapping.sha256,
            "mapping_version": mapping.version,
            "code_version": self.feed.code_version,
        }
        with open_writer(output, provenance) as writer:
            try:
                for batch in packages.batches(lines):
                    writer.write_batch(batch.table)
                    groups.add(batch.table)
                    rejected.writelines(write_reject(reject) for reject in batch.rejects)
            except BrokenStream:
                broken = True
        tally = packages.tally
        verify(output, mapping.targets, tally.written)
        return Content(
            tally.read,
            tally.written,
            {str(reason): count for reason, count in tally.rejected.items()},
            broken,
            {"zero_filled": sum(tally.zero_filled.values()), "unknown": tally.unknown, **asdict(groups.measure())},
        )
