"""The whole flow of residents: sheets are dropped, sensors notice, runs send and write back, nothing personal stays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from python_calamine import CalamineWorkbook

from pipelines.adapters.drive import DriveDenied, Folders, Sheet
from pipelines.adapters.drive.files import FileDrive
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.assets import ALARM
from pipelines.core.work import Pause, State
from pipelines.definitions import build
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.sheets import RESULTS, ROWS
from pipelines.environment import Environment
from pipelines.resources import DRIVE_FEEDS, read_folders
from pipelines.sandbox.addresses import all_running
from pipelines.sandbox.here_to_help import Call, HereToHelp
from pipelines.sandbox.sheets import drop_samples
from pipelines.sensors import RANGE_END, RANGE_START
from pipelines.settle import REMAINS, SETTLED, recorded_partitions, settle, verdict
from pipelines_tests.domains.residents.staff import AtGoogle
from pipelines_tests.platforms import outside
from pipelines_tests.servers.google import Google


@pytest.fixture
def api(environment: Environment) -> Iterator[HereToHelp]:
    with all_running(environment.sandbox, utc_now()) as sandbox:
        yield sandbox.here_to_help


@pytest.fixture
def ledger(environment: Environment) -> Iterator[Ledger]:
    with closing(open_ledger(environment.ledger)) as opened:
        yield opened


def _drive(environment: Environment) -> Path:
    return environment.home / "drive"


def test_the_feeds_of_the_drive_are_those_of_the_domain() -> None:
    assert set(DRIVE_FEEDS) == set(FEEDS)


def test_a_sheet_of_each_feed_is_sent_and_written_back(
    environment: Environment, api: HereToHelp, ledger: Ledger
) -> None:
    dropped = drop_samples(_drive(environment), utc_now().date(), rows=20)
    ran = list(settle(environment))
    assert all(one.success for one in ran), [str(one) for one in ran]
    assert Counter(one.job for one in ran if one.job.startswith("residents")) == {
        "residents_send": 1,
        "residents_write_outcomes": 1,
        "residents_write_receipts": 1,
    }
    assert verdict(ledger)[1] == SETTLED
    for feed in FEEDS.values():
        (item,) = ledger.items(sheets_queue(feed))
        assert item.state is State.SETTLED
        assert item.detail[ROWS] == dropped[feed.name] == sum(item.detail[RESULTS].values())
        written = list((_drive(environment) / feed.name / "outbound").glob("*.xlsx"))
        assert len(written) == len(feed.books)
        table = environment.home / "lake" / "residents" / feed.name
        assert [pq.read_metadata(path).num_rows for path in table.rglob("*.parquet")] == [1]
        assert recorded_partitions(environment, f"residents/{feed.name}") == 1
        assert recorded_partitions(environment, f"residents/{feed.name}_outcomes") == 1
    receipts = list((environment.home / "lake" / "residents" / "receipts").rglob("*.parquet"))
    assert len(receipts) == 1
    found = api.count()
    assert found.residents > 60
    assert found.help_requests >= found.residents - 20
    calls = len(api.received())
    assert list(settle(environment)) == []
    assert len(api.received()) == calls


def test_nothing_of_a_person_is_anywhere_but_in_drive_api_and_outcome(
    environment: Environment, api: HereToHelp, capfd: pytest.CaptureFixture[str]
) -> None:
    drop_samples(_drive(environment), utc_now().date(), rows=30)
    for path in _drive(environment).glob("*/inbound/*.xlsx"):
        path.rename(path.with_name(f"Zebedee Canary {path.name}"))
    values = {"Zebedee", "Canary"}
    for path in _drive(environment).glob("*/inbound/*.xlsx"):
        header, *rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
        for row in rows:
            values |= {
                str(cell)
                for column, cell in zip(header, row, strict=True)
                if len(str(cell)) >= 7 and str(column) not in ("Data_Source", "category", "oslaua", "oscty")
            }
    values -= {"Completed", "City of London", "Hackney", "Link Work", "Call completed", "Unheard of", "Repairs"}
    # A few digits stand by chance in the moments and ids of any database.
    values = {value for value in values if not _is_recent(value) and not re.fullmatch("[0-9a-f]{1,9}", value)}
    assert len(values) > 300
    assert all(one.success for one in settle(environment))
    kept = {environment.home / "drive", environment.sandbox / "here-to-help"}
    files = [
        path
        for path in environment.home.rglob("*")
        if path.is_file() and not any(folder in path.parents for folder in kept)
    ]
    assert files
    texts = {path: path.read_bytes() for path in files}
    for path in files:
        if path.suffix == ".parquet":
            texts[path] = str(pq.read_table(path).to_pylist()).encode()
    printed = "".join(capfd.readouterr())
    for value in values:
        assert value not in printed
        assert [path for path, content in texts.items() if value.encode() in content] == [], value


def _is_recent(value: str) -> bool:
    """Days and moments of this week are in every log."""
    return str(utc_now().year) in value


@pytest.mark.slow  # its steps are tested one by one with the domain
def test_sheets_in_google_s_drive_go_the_same_way(
    environment: Environment,
    google: Google,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A native sheet and an upload: sent, written back, receipted; once they are edited, only what was edited."""
    rows = 20
    drop_samples(tmp_path / "samples", utc_now().date(), rows=rows)
    native, uploads = AtGoogle(google, native=True), AtGoogle(google, native=False)
    feeds = [("nsss", native, "contact_number_calls"), ("generic", uploads, "Phone number")]
    tables = {feed: _table(next((tmp_path / "samples" / feed).glob("*/*.xlsx"))) for feed, *_ in feeds}
    folders = {feed: staff.folders[feed] for feed, staff, _ in feeds}
    facts = {f"RESIDENTS_{feed.upper()}_ENABLED": "false" for feed in FEEDS.keys() - folders.keys()} | {
        "HOME": str(environment.home),
        "UPLOADS_QUIET_SECONDS": "0",
        "DRIVE": f"gdrive://{google.host}",
        "DRIVE_FOLDERS": ",".join(f"{feed}={one.inbound}:{one.outbound}" for feed, one in folders.items()),
    }
    with outside(tmp_path / "outside") as (sandbox, variables), closing(open_ledger(environment.ledger)) as ledger:
        for name, value in {**variables, **{f"PIPELINES_{name}": value for name, value in facts.items()}}.items():
            monkeypatch.setenv(name, value)
        environment = Environment.read()
        for feed, staff, _ in feeds:
            staff.drop(feed, "Zebedee Canary.csv", tables[feed])
        ran = list(settle(environment))
        assert all(one.success for one in ran), [str(one) for one in ran]
        assert verdict(ledger)[1] == SETTLED
        assert [sum(_results(ledger, feed).values()) for feed in folders] == [rows, rows]
        assert list(settle(environment)) == []

        calls = len(sandbox.here_to_help.received())
        for feed, staff, column in feeds:
            tables[feed][1][tables[feed][0].index(column)] = "02071112222"
            staff.drop(feed, "Zebedee Canary.csv", tables[feed])
        assert all(one.success for one in settle(environment))
        received = [one.call for one in sandbox.here_to_help.received()[calls:]]
        assert received.count(Call.POST_HELP_REQUEST) == len(feeds)
        for feed, staff, _ in feeds:
            assert _results(ledger, feed)["sent"] == 1
            (written,) = staff.outcomes(feed)
            told = staff.tab(feed, written, FEEDS[feed].books[0].tabs[0].title)
            assert len(told) == 1 + rows
            assert "02071112222" in told[1]
            assert recorded_partitions(environment, f"residents/{feed}_outcomes") == 1
    tables_made = [
        pq.read_table(path).to_pylist() for path in (environment.home / "lake" / "residents").rglob("*.parquet")
    ]
    assert len(tables_made) == len(feeds) + 1  # the sheets of each, and receipts
    kept = [path.read_bytes() for path in environment.home.rglob("*") if path.is_file()]
    for word in ("Zebedee", "02071112222"):
        assert word not in str(tables_made) + "".join(capfd.readouterr())
        assert [content for content in kept if word.encode() in content] == []


def _table(path: Path) -> list[list[str]]:
    return [[str(cell) for cell in row] for row in CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()]


def _results(ledger: Ledger, feed: str) -> dict[str, int]:
    *_, last = sorted(ledger.items(sheets_queue(FEEDS[feed])), key=lambda item: item.id)
    assert last.state is State.SETTLED
    found: dict[str, int] = last.detail[RESULTS]
    return found


def test_a_feed_that_is_switched_off_keeps_its_sheets(environment: Environment, api: HereToHelp) -> None:
    off = environment.model_copy(update={f"residents_{feed}_enabled": False for feed in FEEDS})
    drop_samples(_drive(environment), utc_now().date(), rows=5)
    assert [one.job for one in settle(off) if one.job.startswith("residents")] == []
    assert api.received() == []


def test_without_access_the_run_calls_a_person_and_all_waits(
    environment: Environment, api: HereToHelp, ledger: Ledger, capfd: pytest.CaptureFixture[str]
) -> None:
    (environment.sandbox / "here-to-help.key").write_text("another-key")
    drop_samples(_drive(environment), utc_now().date(), rows=5)
    ran = list(settle(environment))
    sent = [one for one in ran if one.job == "residents_send"]
    words = "the API does not let us in, or the drive does not: all is pending until that is mended"
    assert [(one.success, one.words) for one in sent] == [(False, words)]
    assert "Stack Trace" not in capfd.readouterr().err
    for feed in FEEDS.values():  # what fails of one keeps no other from being tried
        assert ledger.circuit(f"{sheets_queue(feed)} {environment.here_to_help}").is_open
    assert verdict(ledger)[1] == REMAINS
    assert api.count().residents == 0


def _shut_a_sheet(environment: Environment, monkeypatch: pytest.MonkeyPatch, feed: str = "nsss") -> None:
    """A sheet is there and may not be read."""
    (_drive(environment) / feed / "inbound/shut.csv").write_text("ID\n")
    read = FileDrive.sha256

    def sha256(drive: FileDrive, sheet: Sheet) -> str | None:
        if sheet.name == "shut.csv":
            raise DriveDenied("a sheet may not be read")
        return read(drive, sheet)

    monkeypatch.setattr(FileDrive, "sha256", sha256)


def _make_by_hand(
    environment: Environment, instance: dg.DagsterInstance, names: Sequence[str], first: date, last: date
) -> dg.ExecuteInProcessResult:
    """Days of assets, as the UI asks for them."""
    keys = [dg.AssetKey(["residents", name]) for name in names]
    tags = {RANGE_START: str(first), RANGE_END: str(last)}
    defs = dg.Definitions.merge(build(environment), dg.Definitions(jobs=[dg.define_asset_job("by_hand", keys)]))
    return defs.resolve_job_def("by_hand").execute_in_process(
        tags=tags, instance=instance, raise_on_error=False, asset_selection=keys
    )


def _states(
    environment: Environment, instance: dg.DagsterInstance, name: str, *days: date
) -> list[AssetPartitionStatus | None]:
    """As a backfill takes them: a partition that a run was to make has failed if that run failed and did not."""
    key = dg.AssetKey(["residents", name])
    parts = build(environment).resolve_assets_def(key).partitions_def
    assert parts is not None
    found = instance.get_status_by_partition(key, [str(day) for day in days], parts)
    assert found is not None
    return [found[str(day)] for day in days]


@pytest.mark.parametrize("names", [["nsss"], ["nsss", "nsss_outcomes"]], ids=["alone", "with what is made from it"])
def test_days_made_by_hand_are_sent_and_all_have_failed_if_a_sheet_cannot_be_seen(
    environment: Environment, api: HereToHelp, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    """What can't be seen may be of any day: a version that is put back is of the day on which it came first."""
    drop_samples(_drive(environment), utc_now().date(), rows=20)
    _shut_a_sheet(environment, monkeypatch)
    today = utc_now().date()
    days = today - timedelta(days=1), today
    with dg.DagsterInstance.ephemeral() as instance:
        result = _make_by_hand(environment, instance, names, *days)
        assert not result.success
        assert _states(environment, instance, "nsss", *days) == [AssetPartitionStatus.FAILED] * 2
    (item,) = ledger.items(sheets_queue(FEEDS["nsss"]))
    assert (item.state, item.partition) == (State.SETTLED, str(today))
    assert api.count().residents > 0
    assert ledger.unrecorded(sheets_queue(FEEDS["nsss"])).keys() == {str(today)}


@pytest.mark.parametrize("names", [["nsss"], ["nsss", "nsss_outcomes"]], ids=["alone", "with what is made from it"])
def test_today_alone_made_by_hand_is_made_only_once_every_sheet_can_be_seen(
    environment: Environment, api: HereToHelp, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    drop_samples(_drive(environment), utc_now().date(), rows=20)
    today = utc_now().date()
    with dg.DagsterInstance.ephemeral() as instance:
        with monkeypatch.context() as patch:
            _shut_a_sheet(environment, patch)
            assert not _make_by_hand(environment, instance, names, today, today).success
        assert _states(environment, instance, "nsss", today) == [AssetPartitionStatus.FAILED]
        (_drive(environment) / "nsss/inbound/shut.csv").unlink()
        calls = len(api.received())
        assert _make_by_hand(environment, instance, names, today, today).success
        assert _states(environment, instance, "nsss", today) == [AssetPartitionStatus.MATERIALIZED]
    assert len(api.received()) == calls > 0


def test_a_sheet_that_cannot_be_seen_hides_no_alarm_of_what_was_sent(
    environment: Environment, api: HereToHelp, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_samples(_drive(environment), utc_now().date(), rows=5)  # one row in five is over the bound
    _shut_a_sheet(environment, monkeypatch, "generic")
    today = utc_now().date()
    with dg.DagsterInstance.ephemeral() as instance:
        result = _make_by_hand(environment, instance, ["generic"], today, today)
        run = instance.get_run_by_id(result.run_id)
        observed = instance.all_logs(result.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
    assert run is not None
    assert run.tags[ALARM] == "true"
    (failed,) = (event for event in result.all_events if event.is_step_failure)
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert told.description is not None
    assert told.description.split("; ") == [
        "not all that was dropped can be seen: a sheet may not be read",
        f"1 of 5 rows of {today} were rejected or given up",
    ]
    assert observed


def test_a_sheet_that_cannot_be_seen_hides_no_pause(
    environment: Environment, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_drive(environment) / "nsss/inbound").mkdir(parents=True)
    (_drive(environment) / "nsss/inbound/shut.csv").write_text("ID\n")

    def sha256(*_: object) -> str | None:
        raise DriveDenied("a sheet may not be read")

    monkeypatch.setattr(FileDrive, "sha256", sha256)
    now = utc_now()
    ledger.pause(Pause(sheets_queue(FEEDS["spl"]), now, now + timedelta(hours=1), "a test", "to see"))
    defs = build(environment)
    sensor = defs.resolve_sensor_def("residents_sheets_dropped")
    needed = {name: one for name, one in (defs.resources or {}).items() if name in sensor.required_resource_keys}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, definitions=defs, resources=needed) as context,
        pytest.raises(DriveDenied) as error,
    ):
        sensor.evaluate_tick(context)
    assert any("paused by a test" in note for note in error.value.__notes__)


def test_one_sheet_is_taken_up_again_by_its_id(environment: Environment, api: HereToHelp, ledger: Ledger) -> None:
    drop_samples(_drive(environment), utc_now().date(), rows=5)
    (failed,) = [one for one in settle(environment) if not one.success]  # one row in five is over the bound
    (day,) = {item.partition for item in ledger.items(sheets_queue(FEEDS["generic"]))}
    assert failed.words == f"1 of 5 rows of {day} were rejected or given up"
    before, calls = api.count(), len(api.received())
    (item,) = ledger.items(sheets_queue(FEEDS["nsss"]))
    job = build(environment).resolve_job_def("residents_retry_sheet")
    asked = {"feed": "nsss", "sheet": item.name, "who": "a test", "why": "to see", "effects": "everything"}
    for dry_run in (True, False):
        config = {"ops": {"residents_retry": {"config": asked | {"dry_run": dry_run}}}}
        with dg.DagsterInstance.ephemeral() as instance:
            assert job.execute_in_process(run_config=config, instance=instance).success
        assert all(one.success for one in settle(environment))
        assert (len(api.received()) == calls) is dry_run
    assert api.count() == before
    assert isinstance(item.seen_at, datetime)


def test_folders_of_a_drive_at_google_are_named_by_feed() -> None:
    found = read_folders("nsss=in1:out1, spl=in2:out2,")
    assert found == {"nsss": Folders("in1", "out1"), "spl": Folders("in2", "out2")}
    for wrong in ("nsss", "nsss=canary", "nsss=:canary"):
        with pytest.raises(ValueError, match="feed=inbound:outbound") as raised:
            read_folders(wrong)
        assert "canary" not in str(raised.value)
