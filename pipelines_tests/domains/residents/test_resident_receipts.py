"""Receipts of a day: all that is over, nothing of a person, and enough to fill a lost ledger again."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

import pyarrow.parquet as pq

from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.objects import open_objects
from pipelines.core.work import State
from pipelines.domains.residents import receipts
from pipelines.sandbox.here_to_help import HereToHelp
from pipelines_tests.domains.residents.council import Council, hold, people

DAY = "2021-11-20"


def test_each_sheet_and_each_effect_has_a_receipt(council: Council) -> None:
    lake = open_objects((council.folder / "lake").as_uri())
    council.drop("Ada Lovelace.csv", *people(3, council.feed))
    council.settle()
    facts = receipts.write_day(lake, council.ledger, DAY)
    assert facts["rows"] == 1 + 6
    assert list(receipts.days(lake)) == [DAY]
    content = (council.folder / "lake" / facts["output"]).read_bytes()
    rows = str(pq.read_table(council.folder / "lake" / facts["output"]).to_pylist())
    for word in ("Lovelace", "Sample0", "McTesty", "7000000000", "02000000001", "about 0"):
        assert word.encode() not in content
        assert word not in rows
    assert receipts.write_day(lake, council.ledger, DAY)["version"] == facts["version"]


def test_a_ledger_filled_from_receipts_sends_nothing_again(council: Council, api: HereToHelp) -> None:
    lake = open_objects((council.folder / "lake").as_uri())
    council.drop("a.csv", *people(3, council.feed))
    council.settle()
    receipts.write_day(lake, council.ledger, DAY)
    calls = len(api.received())
    with closing(open_ledger(f"sqlite:///{council.folder / 'fresh.db'}")) as fresh:
        families = iter(receipts.read_day(lake, DAY))
        while some := list(islice(families, 2)):
            fresh.restore(some, council.now)
        council.ledger.close()
        council.ledger = fresh
        council.settle()
        assert council.sheet().state is State.SETTLED
        council.drop("a.csv", *people(4, council.feed))
        council.settle()
        assert council.results() == {"sent": 1, "sent before": 3}
    assert len(api.received()) == calls + 1
    assert hold(api) == (4, 4, 4)


def test_the_days_table_has_a_line_for_each_sheet(council: Council) -> None:
    lake = open_objects((council.folder / "lake").as_uri())
    council.drop("a.csv", *people(3, council.feed))
    council.put("b.csv", b"no header\n")
    council.settle()
    facts = receipts.write_sheets(lake, council.ledger, council.feed.name, DAY)
    table = pq.read_table(council.folder / "lake" / facts["output"]).to_pylist()
    assert [(row["state"], row["rows"], dict(row["results"])) for row in table] == [
        ("settled", 3, {"sent": 3}),
        ("dead", None, {}),
    ]
