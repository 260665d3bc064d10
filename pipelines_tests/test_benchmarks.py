from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as benchmarks
from benchmarks.ledger import WAYS
from benchmarks.privacy_filter import FORMS, make_file, make_landing, prepare_least, prepare_naive, prepare_ours


def test_all_benchmarks_run_and_print_a_figure_for_each_way() -> None:
    ran = CliRunner().invoke(
        benchmarks.main,
        ["--packages", "300", "--landing", "200", "--rounds", "1", "--items", "200"],
        catch_exceptions=False,
    )
    assert ran.exit_code == 0
    words = ran.output.split()
    assert [words.count(way) for way in ("ours", "naive", "least")] == [1 + len(FORMS), len(FORMS), len(FORMS)]
    assert [words.count(form) for form in ("sqlite", "postgresql")] == [len(WAYS), len(WAYS)]


@pytest.mark.parametrize("form", FORMS)
def test_the_ways_do_the_same_job(form: str, tmp_path: Path) -> None:
    """Else their ratio says nothing: they read the same packages, and the naive way maps places as ours does."""
    source = tmp_path / "hour.jsonl"
    make_file(form, 300, source)
    assert prepare_ours(source)() == prepare_least(source)() == 300
    assert prepare_naive(source)() == 297
    ours, naive, least = (pq.read_table(source.with_suffix(ending)) for ending in (".parquet", ".naive", ".least"))
    assert least.equals(ours)
    shared = ["postaldistrict", "localauthority", "devicemodel", "totalbackgroundtasks", "cumulativedownloadbytes"]
    assert naive.select(shared).to_pylist() == ours.select(shared).to_pylist()


def test_a_landing_is_read_whole(tmp_path: Path) -> None:
    make_landing(400, tmp_path / "landing")
    assert prepare_ours(tmp_path / "landing")() == 400
