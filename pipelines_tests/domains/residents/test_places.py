"""Sheets of a drive that keeps ids, as Google's: an id stays with a sheet, and a native one has no checksum."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from pipelines.adapters.drive import Drive, Sheet
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.core.work import State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.intake import take_in
from pipelines_tests.domains.residents.council import Council

NOW = datetime(2021, 11, 20, 12, tzinfo=UTC)
FEED = FEEDS["nsss"]


@dataclass
class _Drive:
    """Sheets by id, with the checksums of those that are made of bytes."""

    there: list[Sheet] = field(default_factory=list)
    sums: dict[tuple[str, str], str] = field(default_factory=dict)
    keeps_ids: bool = True

    def sheets(self, *_: object) -> list[Sheet]:
        return self.there

    def sha256(self, sheet: Sheet) -> str | None:
        return self.sums.get((sheet.id, sheet.version))

    def put(self, one: str, version: str, name: str, content: str | None = None) -> None:
        self.there = [sheet for sheet in self.there if sheet.id != one]
        self.there.append(Sheet(FEED.name, one, version, name, None, NOW, NOW))
        if content is not None:
            self.sums[one, version] = content


def _states(drive: _Drive, ledger: Ledger) -> list[tuple[str, str, State]]:
    take_in([FEED], cast(Drive, drive), ledger, "sandbox://here-to-help", bytes(32), NOW)
    items = sorted(ledger.items(f"residents/{FEED.name}"), key=lambda item: item.id)
    return [(item.name, item.version, item.state) for item in items]


def test_a_native_sheet_is_known_by_id_and_version(council: Council) -> None:
    drive = _Drive()
    drive.put("id1", "7", "extract")
    drive.put("id2", "9", "extract")
    known = [("id1", "7", State.PENDING), ("id2", "9", State.PENDING)]
    assert _states(drive, council.ledger) == known
    drive.put("id1", "7", "renamed")
    assert _states(drive, council.ledger) == known
    drive.put("id1", "8", "renamed")
    assert _states(drive, council.ledger) == [
        ("id1", "7", State.SUPERSEDED),
        ("id2", "9", State.PENDING),
        ("id1", "8", State.PENDING),
    ]


def test_an_uploaded_file_is_known_by_its_content_too(council: Council) -> None:
    drive = _Drive()
    drive.put("id1", "7", "a.xlsx", "content")
    assert _states(drive, council.ledger) == [("id1", "content", State.PENDING)]
    drive.put("id1", "8", "renamed.xlsx", "content")
    assert _states(drive, council.ledger) == [("id1", "content", State.PENDING)]
    drive.put("id2", "1", "copy.xlsx", "content")
    for _ in range(2):
        assert _states(drive, council.ledger) == [("id1", "content", State.PENDING), ("id2", "content", State.ASIDE)]


def test_ledgers_of_two_folders_know_one_sheet_by_different_ids(council: Council) -> None:
    """A path is no id: what is made of it depends on the key, and on which write of the file was seen first."""
    council.put("a.csv", b"one")
    council.look()
    first = council.sheet().name
    fresh = open_ledger(f"sqlite:///{council.folder / 'fresh.db'}")
    taken = take_in([council.feed], council.drive, fresh, council.url, bytes(range(1, 33)), NOW)
    (item,) = fresh.items(council.queue)
    fresh.close()
    assert taken[council.feed.name].seen == 1
    assert item.name != first
