"""Where the copies of an hour are from is told without comparing each with each, and that again for each."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.adapters.objects import ObjectInfo, open_objects
from pipelines.core.periods import hour_key
from pipelines.domains.mobile import origins
from pipelines.domains.mobile.feeds import AGAIN_MARK, PACKAGES
from pipelines.domains.mobile.origins import Origins
from pipelines_tests.domains.mobile.stages import HOUR

COPIES = 20


def copies(files: int, step: int) -> list[ObjectInfo]:
    """One of each file, each a moment later."""
    folder = f"reprocessed/{PACKAGES.queue}/{HOUR:%Y/%m/%d/%H}"
    return [
        ObjectInfo(
            f"{folder}/{number % files}.jsonl{AGAIN_MARK}{step}{number:011}.jsonl",
            1,
            "etag",
            HOUR + timedelta(hours=step, seconds=number),
        )
        for number in range(COPIES)
    ]


@pytest.mark.parametrize("files", [1, COPIES])
def test_the_work_on_an_hour_with_many_copies_grows_no_faster_than_their_pairs(
    files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Counter[str]()

    class Compared(Counter[bytes]):
        def __le__(self, other: Counter[bytes]) -> bool:
            done["compared"] += 1
            return super().__le__(other)

    name_of = origins._source

    def counted(key: str) -> str:
        done["named"] += 1
        return name_of(key)

    monkeypatch.setattr(origins, "Records", Compared)
    monkeypatch.setattr(origins, "_source", counted)
    landing = open_objects(tmp_path.as_uri())
    filtered, others = copies(files, 0), copies(files, 1)
    for number, info in enumerate([*filtered, *others]):
        landing.put(info.key, b"%d\n" % number)
    told = Origins(PACKAGES, landing, hour_key(HOUR), {}, filtered)
    kept = list(filtered)
    for info in reversed(others):
        assert not told.is_left_behind(info, kept)
        kept.append(info)
    assert done["named"] <= 3 * COPIES
    assert done["compared"] <= 2 * COPIES**2
