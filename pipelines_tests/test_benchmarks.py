from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as benchmarks
from benchmarks import delivery, residents, sheets
from benchmarks.ledger import WAYS
from benchmarks.other_side import other_side, residents_side
from benchmarks.privacy_filter import FORMS, make_file, make_landing, prepare_least, prepare_naive, prepare_ours
from pipelines.adapters.ledger.leases import utc_now
from pipelines.domains.mobile.feeds import FEEDS
from pipelines.sandbox.certificates import make_certificates


def run(*options: str) -> list[str]:
    """The words that the benchmarks print."""
    ran = CliRunner().invoke(benchmarks.main, ["--rounds", "1", *options], catch_exceptions=False)
    assert ran.exit_code == 0
    return ran.output.split()


@pytest.mark.slow
def test_the_filter_is_measured_beside_each_other_way() -> None:
    words = run("--only", "privacy_filter", "--packages", "300", "--landing", "200")
    assert [words.count(way) for way in ("ours", "naive", "least")] == [1 + len(FORMS), len(FORMS), len(FORMS)]


def test_the_ledger_is_measured_on_each_of_its_databases() -> None:
    words = run("--only", "ledger", "--items", "200")
    assert [words.count(form) for form in ("sqlite", "postgresql")] == [len(WAYS), len(WAYS)]


def test_deliveries_are_measured_beside_a_serial_client() -> None:
    assert "60" in run("--only", "delivery", "--objects", "60")


def test_sheets_of_residents_are_measured_beside_a_serial_client_at_the_usual_pace_and_by_their_memory() -> None:
    words = run("--only", "residents", "--rows", "40", "--many-rows", "100")
    assert [words.count(word) for word in ("nsss", "40", "20", "100")] == [1, 1, 1, 1]


def test_both_ways_make_the_same_calls(tmp_path: Path) -> None:
    """Else their ratio says nothing."""
    certificates = make_certificates(tmp_path / "certificates", utc_now())
    for feed, calls in residents.CALLS.items():
        with residents_side(certificates) as side:
            access = residents.unlimited(side, certificates)
            ours = residents.send(tmp_path / feed, feed, access, 12)
            made = side.calls()
            assert (ours.rows, ours.effects, sum(made.values())) == (
                12,
                {"contact_tracing": 16, "nsss": 24}[feed],
                12 * calls,
            )
            residents.send_serially(feed, access, certificates, 12)
            assert side.calls() == {kind: 2 * count for kind, count in made.items()}


@pytest.mark.slow
def test_ticks_are_measured_at_each_size() -> None:
    sizes = ("--settled", "10", "--settled", "1000", "--sheets", "20")
    assert {"10", "1,000", "20"} <= {*run("--only", "tick", *sizes)}


@pytest.mark.slow
def test_ticks_and_deliveries_are_measured_on_a_bucket() -> None:
    words = run("--only", "s3", "--keys", "1500", "--objects", "40")
    assert {"1,000", "1,500", "folder", "bucket", "40"} <= {*words}
    assert "to list all 1,500 keys" in " ".join(words)


def test_sheets_are_read_beside_openpyxl() -> None:
    words = run("--only", "sheets", "--sheet-rows", "200")
    assert [words.count(form) for form in sheets.FORMS] == [len(sheets.WAYS)] * 2


@pytest.mark.parametrize("form", sheets.FORMS)
def test_all_ways_read_a_sheet_to_the_same_rows(form: str, tmp_path: Path) -> None:
    sheets.make_sheet(form, 50, tmp_path / "sheet.xlsx")
    ours, *others = (list(read((tmp_path / "sheet.xlsx").read_bytes())) for read in sheets.WAYS.values())
    assert others == [ours] * 2
    assert (len(ours), len(ours[0].cells)) == (51, 63)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_way_from_landing_to_delivery_is_measured_for_each_feed() -> None:
    words = run("--only", "latency", "--files", "1")
    assert [words.count(feed) for feed in FEEDS] == [1] * len(FEEDS)


def test_both_clients_send_all_that_they_are_given_and_each_delivery_is_recorded(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates", utc_now())
    with other_side(certificates, delivery.LIMITS) as endpoint:
        delivery.release(tmp_path, 20, endpoint.destination)
        assert delivery.send_serially(tmp_path, endpoint, certificates, 5).objects == 5
        assert delivery.deliver(tmp_path, endpoint).objects == 20
        assert delivery.deliver(tmp_path, endpoint).objects == 0


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
