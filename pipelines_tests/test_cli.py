"""The commands: what they print, and the exit status that a script relies on."""

import re
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from pipelines import supervisor
from pipelines.adapters.installation import hold_to
from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.cli import main
from pipelines.core.work import NewItem, Pause
from pipelines.demo import demo_environment, demonstrate, land_uploads
from pipelines.environment import Environment
from pipelines.resources import DRIVE_FEEDS, installation_key
from pipelines.sandbox.aae import Aae, Behaviour
from pipelines.sandbox.addresses import all_running, sandbox_running
from pipelines.sandbox.landing import land_samples
from pipelines.sandbox.sheets import drop_samples
from pipelines_tests.platforms import WITHOUT_RESIDENTS


@pytest.fixture(autouse=True)
def _variables(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES_HOME", str(environment.home))
    monkeypatch.setenv("PIPELINES_UPLOADS_QUIET_SECONDS", "0")
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def sandbox(environment: Environment) -> Iterator[Aae]:
    with sandbox_running(environment.sandbox, utc_now()) as aae:
        yield aae


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def land_one(environment: Environment) -> str:
    (file, *_) = land_samples(environment.landing, [("QA1", None)], utc_now(), hours=1, packages=5)
    return file.key


def test_settle_does_what_is_due_and_exits_with_0_when_all_is_settled(environment: Environment, sandbox: Aae) -> None:
    land_one(environment)
    result = call("settle")
    assert result.exit_code == 0, result.output
    assert "aae_deliver_packages: done" in result.output
    assert "aae/packages" in result.output
    assert "settled" in result.output


@pytest.mark.parametrize(
    ("elsewhere", "made"),
    [
        ({}, {"landing", "drive"}),
        ({"AAE": "https://aae.example/in"}, {"drive"}),
        ({"AAE_EVENTS": "https://aae.example/in"}, {"drive"}),
        ({"HERE_TO_HELP": "https://here-to-help.example/api"}, {"landing"}),
    ],
)
def test_samples_are_made_for_stand_ins_only(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, elsewhere: dict[str, str], made: set[str]
) -> None:
    for name, url in elsewhere.items():
        monkeypatch.setenv(f"PIPELINES_{name}", url)
    monkeypatch.setattr(supervisor, "supervise", lambda *_: 0)
    assert call("run").exit_code == 0
    found = {
        part for part in ("landing", "drive") if any(one.is_file() for one in (environment.home / part).rglob("*"))
    }
    assert found == made


def test_a_drive_that_is_away_is_one_line_and_keeps_nothing_else_from_being_done(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_DRIVE", (environment.home / "not mounted").as_uri())
    land_one(environment)
    result = call("settle")
    assert result.exit_code == 1
    assert "aae_deliver_packages: done" in result.output
    assert "Traceback" not in result.output
    assert len([line for line in result.output.splitlines() if ": failed in" in line]) == 1


def test_what_is_in_order_again_while_it_waits_has_not_failed(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, now = environment.home / "not mounted", utc_now()
    monkeypatch.setenv("PIPELINES_DRIVE", drive.as_uri())
    with closing(open_ledger(environment.ledger)) as ledger:
        ledger.take_in([NewItem("nobody's", "a", "1", "2021-01-01", 1)], now)  # something to wait for

        def mount(_: float) -> None:
            for feed in DRIVE_FEEDS:
                (drive / feed / "inbound").mkdir(parents=True)
            ledger.pause(Pause("nobody's", now, now + timedelta(hours=1), "a test", "to end"))

        monkeypatch.setattr("pipelines.settle.time", SimpleNamespace(monotonic=time.monotonic, sleep=mount))
        result = call("settle", "--wait", "10m")
    assert "residents_sheets_dropped: failed" in result.output
    assert "residents_sheets_dropped: done" in result.output
    assert result.exit_code == 3, result.output


def test_what_is_in_order_again_hides_no_job_that_failed(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is not asked for again, and what it left undone is only open: nothing else tells of it."""
    drive, now = environment.home / "not mounted", utc_now()
    monkeypatch.setenv("PIPELINES_DRIVE", drive.as_uri())
    land_one(environment)

    def fault(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("pipelines.domains.mobile.assets.refuse_if_lost", fault)

    def mount(_: float) -> None:
        for feed in DRIVE_FEEDS:
            (drive / feed / "inbound").mkdir(parents=True)
        with closing(open_ledger(environment.ledger)) as ledger:
            ledger.pause(Pause("mobile/packages", now, now + timedelta(hours=1), "a test", "to end"))

    monkeypatch.setattr("pipelines.settle.time", SimpleNamespace(monotonic=time.monotonic, sleep=mount))
    result = call("settle", "--wait", "10m")
    told = [line.split(" in ")[0] for line in result.output.splitlines() if " in " in line]
    assert told.count("mobile_filter_packages: failed") == 1
    assert told[-1] == "residents_sheets_dropped: done"
    assert result.exit_code == 1, result.output


def test_a_folder_that_is_away_is_not_in_order_again_since_another_one_has_a_sheet(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, samples, now = environment.home / "another drive", environment.home / "samples", utc_now()
    monkeypatch.setenv("PIPELINES_DRIVE", drive.as_uri())
    for feed in set(DRIVE_FEEDS) - {"nsss"}:
        for folder in ("inbound", "outbound"):
            (drive / feed / folder).mkdir(parents=True)
    drop_samples(samples, now.date(), rows=20)
    (sheet,) = (samples / "spl/inbound").iterdir()
    with closing(open_ledger(environment.ledger)) as ledger:
        ledger.take_in([NewItem("nobody's", "a", "1", "2021-01-01", 1)], now)  # something to wait for

        def drop_then_end(_: float) -> None:
            if sheet.exists():
                sheet.rename(drive / "spl/inbound" / sheet.name)
            else:
                ledger.pause(Pause("nobody's", now, now + timedelta(hours=1), "a test", "to end"))

        monkeypatch.setattr("pipelines.settle.time", SimpleNamespace(monotonic=time.monotonic, sleep=drop_then_end))
        result = call("settle", "--wait", "10m")
    assert "residents_sheets_dropped: failed" in result.output
    assert "residents_send: done" in result.output
    assert "in order again" not in result.output
    assert result.exit_code == 1, result.output


def test_another_key_than_the_ledger_s_is_one_line_and_keeps_nothing_else_from_being_done(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_one(environment)
    assert call("settle").exit_code == 0
    monkeypatch.setenv("PIPELINES_INSTALLATION_KEY", "another" * 9)
    result = call("settle")
    assert result.exit_code == 1
    assert "residents_sheets_dropped: failed" in result.output
    assert "is not the one that the ledger was begun with" in result.output
    for name, value in WITHOUT_RESIDENTS.items():
        monkeypatch.setenv(name, value)
    assert call("settle").exit_code == 0


def test_settle_exits_with_3_while_work_remains(environment: Environment, sandbox: Aae) -> None:
    land_one(environment)
    sandbox.behave(Behaviour(status=429, retry_after="600"))
    result = call("settle", "--wait", "1s")
    assert result.exit_code == 3, result.output
    assert "asked to wait" in result.output


def test_settle_exits_with_1_when_something_failed(environment: Environment, sandbox: Aae) -> None:
    land_one(environment)
    sandbox.behave(Behaviour(status=400))
    assert call("settle").exit_code == 1
    assert call("settle").exit_code == 1  # a dead letter stays a failure


def test_settle_without_a_sandbox_says_how_to_start_it_and_ends(environment: Environment) -> None:
    land_one(environment)
    result = call("settle")
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if "failed" in line]
    assert re.fullmatch(
        r"aae_deliver_packages: failed in [\d.]+ s: the sandbox does not run: start it with 'pipelines sandbox'", line
    )
    assert result.stderr == ""


def test_a_run_that_fails_by_a_fault_of_ours_says_where(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("pipelines.domains.mobile.assets.refuse_if_lost", fail)
    land_one(environment)
    result = call("settle")
    assert result.exit_code == 1
    assert "mobile_filter_packages: failed" in result.stdout
    assert result.stderr.count("RuntimeError: a fault of ours") == 1
    assert "in fail" in result.stderr


def test_what_is_away_while_settling_waits_is_told_once(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_DRIVE", (environment.home / "not mounted").as_uri())
    queue, now = "aae/packages", utc_now()
    naps: list[float] = []
    with closing(open_ledger(environment.ledger)) as ledger:
        ledger.take_in([NewItem(queue, "a", "sha", "2026-03-01-10:00", 1, destination="https://elsewhere")], now)

        def nap(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 4:
                ledger.pause(Pause(queue, now, now + timedelta(days=1), "Ann", "enough was seen"))

        monkeypatch.setattr("pipelines.settle.time", SimpleNamespace(sleep=nap, monotonic=time.monotonic))
        result = call("settle", "--wait", "1h")
    assert result.exit_code == 1
    assert len(naps) == 4
    (line,) = [line for line in result.output.splitlines() if ": failed in" in line]
    assert line.endswith("the inbound folder of contact_tracing is not there")


def test_trace_tells_where_a_file_is_and_what_became_of_it(environment: Environment, sandbox: Aae) -> None:
    key = land_one(environment)
    call("settle")
    name = key.rsplit("/", 1)[-1]
    result = call("trace", name)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert sum(name in line for line in lines) == 2  # the landed file, and what was released of it
    assert sum("    settled since" in line for line in lines) == 2
    assert any("records" in line for line in lines)
    assert "/runs/" in result.output
    assert call("trace", "no-such-file").exit_code == 1


def test_trace_tells_of_a_sheet_by_the_name_of_its_file(environment: Environment) -> None:
    drive = environment.home / "drive"
    drop_samples(drive, utc_now().date(), rows=20)
    (drive / "nsss/inbound/lacks.csv").write_text("ID,first_name\n1,A\n")
    with all_running(environment.sandbox, utc_now()):
        call("settle")
    (drive / "nsss/inbound/late.csv").write_text("ID\n2\n")
    with closing(open_ledger(environment.ledger)) as ledger:
        sent, refused = sorted(ledger.items("residents/nsss"), key=lambda item: "refused" in item.detail)
    told = {name: call("trace", name) for name in ("SAMPLE nsss", "lacks", "late", "nobody's")}
    assert f"sample nsss.xlsx, sheet {sent.name}\n    residents/nsss" in told["SAMPLE nsss"].output
    assert "    rows: sent 20\n" in told["SAMPLE nsss"].output
    assert f"sheet {refused.name}" in told["lacks"].output
    assert "    missing header: nhs_number" in told["lacks"].output
    assert told["late"].output == "late.csv\n    not taken in yet\n"
    assert [one.exit_code for one in told.values()] == [0, 0, 0, 1]
    with (drive / "nsss/inbound/sample nsss.xlsx").open("ab") as file:
        file.write(b"more")
    assert call("trace", "sample nsss").output == told["SAMPLE nsss"].output + "    changed since; not taken in yet\n"


def test_trace_tells_what_it_found_and_what_it_could_not_see(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a feed that is switched off no folder is wanted."""
    open_ledger(environment.ledger).close()
    installation_key(environment)
    drive = environment.home / "drive elsewhere"
    for feed in set(DRIVE_FEEDS) - {"contact_tracing", "spl", "generic"}:
        (drive / feed / "inbound").mkdir(parents=True)
    (drive / "nsss/inbound/mine.csv").write_text("ID\n1\n")
    monkeypatch.setenv("PIPELINES_DRIVE", drive.as_uri())
    monkeypatch.setenv("PIPELINES_RESIDENTS_CONTACT_TRACING_ENABLED", "false")
    unseen = [
        f"Not all of the drive was looked into: the inbound folder of {feed} is not there"
        for feed in ("spl", "generic")
    ]
    result = call("trace", "mine")
    assert result.output.splitlines() == ["mine.csv", "    not taken in yet", *unseen]
    assert result.exit_code == 0
    result = call("trace", "nobody's")
    assert result.output.splitlines()[:-1] == unseen
    assert result.output.splitlines()[-1].startswith('Nothing that was seen has "nobody\'s" in its name')
    assert result.exit_code == 1


@pytest.mark.parametrize(("name", "value"), [("INSTALLATION_KEY", "short"), ("DRIVE_FOLDERS", "nsss=A")])
@pytest.mark.parametrize("are_sent", [True, False])
def test_trace_tells_of_a_landed_file_whatever_is_wrong_with_the_drive(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, name: str, value: str, *, are_sent: bool
) -> None:
    with closing(open_ledger(environment.ledger)) as ledger:
        ledger.take_in([NewItem("mobile/packages", "mobile/some-package.jsonl", "1", "2021-01-01", 1)], utc_now())
    installation_key(environment)
    settings = {f"PIPELINES_{name}": value} | ({} if are_sent else WITHOUT_RESIDENTS)
    for variable, setting in settings.items():
        monkeypatch.setenv(variable, setting)
    result = call("trace", "some-package")
    first, *_, last = result.output.splitlines()
    assert first == "mobile/some-package.jsonl"
    assert last.startswith("Not all of the drive was looked into: ") is are_sent
    assert result.exit_code == 0


def test_trace_by_another_key_than_the_ledger_s_says_nothing_of_sheets(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop_samples(environment.home / "drive", utc_now().date(), rows=3)
    with closing(open_ledger(environment.ledger)) as ledger:
        hold_to(installation_key(environment), ledger, utc_now())
    monkeypatch.setenv("PIPELINES_INSTALLATION_KEY", "another" * 9)
    result = call("trace", "sample nsss")
    unseen, nothing = result.output.splitlines()
    assert unseen.startswith("Not all of the drive was looked into: the installation's key is not the one that")
    assert nothing.startswith("Nothing that was seen")
    assert result.exit_code == 1


def test_trace_before_the_first_look_at_the_drive_makes_no_key(environment: Environment) -> None:
    open_ledger(environment.ledger).close()
    result = call("trace", "a.csv")
    assert result.output.startswith("Nothing that was seen has 'a.csv' in its name")
    assert result.exit_code == 1
    assert not (environment.home / "installation.key").exists()


def test_doctor_names_each_system_and_fails_if_one_is_not_well(environment: Environment) -> None:
    result = call("doctor")
    assert result.exit_code == 1
    assert "the sandbox does not run" in result.output
    for system in ("landing", "lake", "ledger", "privacy mapping"):
        assert f"ok   {system}" in result.output


def test_doctor_is_content_when_all_is_well(environment: Environment, sandbox: Aae) -> None:
    result = call("doctor")
    assert result.exit_code == 0, result.output
    assert "trusted on both sides" in result.output


def test_doctor_shows_every_setting_with_its_variable(environment: Environment) -> None:
    output = call("doctor", "--settings").output
    for name in Environment.model_fields:
        assert f"PIPELINES_{name.upper()} " in output


def test_of_a_secret_the_settings_say_only_where_it_is(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_AAE_SUBSCRIPTION_KEY", "canary")
    lines = call("doctor", "--settings").output.splitlines()
    (line,) = [line for line in lines if "PIPELINES_AAE_SUBSCRIPTION_KEY " in line]
    assert "the variable itself" in line
    assert "canary" not in "".join(lines)


def test_doctor_names_a_variable_that_no_setting_has(
    environment: Environment, sandbox: Aae, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_LANDNG", "s3://canary/in")
    result = call("doctor")
    assert result.exit_code == 1
    assert "PIPELINES_LANDNG  no setting has this name" in result.output
    assert "canary" not in result.output


@pytest.mark.parametrize("command", [["trace", "a"], ["ledger", "journal"]])
def test_who_only_reads_makes_no_ledger_and_is_told_where_there_is_none(
    environment: Environment, command: list[str]
) -> None:
    result = call(*command)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: there is no ledger in {environment.home}")
    assert not environment.home.exists()


def test_a_wrong_variable_is_one_line_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES_AAE_CONNECTIONS", "many")
    result = call("settle")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "Error: PIPELINES_AAE_CONNECTIONS: Input should be a valid integer, unable to parse string as an integer"
    ]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_makes_what_it_says_on_the_real_mapping(
    environment: Environment, reference_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_REFERENCE_DATA", str(reference_data))
    result = call("demo", "--packages", "600", "--events", "90")
    assert result.exit_code == 0, result.output
    assert "7,606 rows" in result.output
    rows = (re.split(r"  +", line.strip()) for line in result.output.splitlines())
    told = {row[0]: row[1] for row in rows if len(row) == 2}
    assert told["mobile/packages: records read"] == "600"
    assert told["mobile/events: files"] == told["mobile/events: records read"] == "90"


def test_the_demo_does_without_the_real_mapping_and_says_what_is_missing(environment: Environment) -> None:
    """A landing that can't be read makes nothing; the demo must not call that a success."""
    own = demo_environment(Environment(home=environment.home, reference_data=Path("nowhere")))
    assert own.privacy_mapping == ""
    off = {"mobile_packages_enabled": False, "mobile_events_enabled": False}
    landed = land_uploads(own, 50, 20, lambda _: None)
    with all_running(own.sandbox, utc_now()) as running:
        made = demonstrate(own.model_copy(update=off), landed, {}, running, lambda _: None)
    for feed in ("packages", "events"):
        assert any(one.startswith(f"mobile/{feed}: every landed file is settled: 0 of") for one in made.missing)


def test_the_demo_stays_in_its_own_folder_whatever_is_configured(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {
        "LANDING": "s3://uploads/landing",
        "LAKE": "s3://uploads/lake",
        "UPLOADS": "sqs://uploads",
        "LEDGER": "postgresql://db.example/ledger",
        "AAE": "https://aae.example/in",
        "AAE_EVENTS": "https://aae.example/events",
        "HERE_TO_HELP": "https://here-to-help.example/api",
    }
    for name, url in elsewhere.items():
        monkeypatch.setenv(f"PIPELINES_{name}", url)
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    own = demo_environment(Environment.read())
    assert own.home == environment.home / "demo"
    assert {own.landing, own.lake} == {(own.home / name).as_uri() for name in ("landing", "lake")}
    assert (own.ledger, own.uploads) == (f"sqlite:///{own.home / 'ledger.db'}", "list://")
    assert own.dagster_home == own.home / "dagster"
    assert {own.aae_url(feed) for feed in ("packages", "events")} == {"sandbox://aae"}


def test_a_demo_leaves_that_alone_which_runs_already(environment: Environment) -> None:
    own = demo_environment(environment)
    with all_running(own.sandbox, utc_now()):
        (own.home / "ledger.db").touch()
        kept = {path for path in own.home.rglob("*") if path.is_file()}
        result = call("demo", "--packages", "10", "--events", "1")
        assert result.exit_code == 1
        assert result.output.splitlines() == [
            f"Error: the sandbox in {own.sandbox} runs already: stop what runs it, or name another PIPELINES_HOME"
        ]
        assert {path for path in own.home.rglob("*") if path.is_file()} >= kept


@pytest.mark.parametrize("command", [["run", "--no-samples"], ["sandbox"]])
def test_a_sandbox_that_runs_already_is_one_line(environment: Environment, sandbox: Aae, command: list[str]) -> None:
    result = call(*command)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(f"Error: the sandbox in {environment.sandbox} runs already")


@pytest.mark.parametrize("text", ["10", "m", "ten m", "5d", ""])
def test_a_wait_needs_a_number_and_a_unit(text: str) -> None:
    result = call("settle", "--wait", text)
    assert result.exit_code == 2
    assert "as in 10m" in result.output
