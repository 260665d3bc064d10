"""The doctor's lines of residents, one by one; and that a look changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.installation import InstallationKey, hold_to
from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.doctor import Finding, examine
from pipelines.domains.residents.feeds import FEEDS
from pipelines.environment import Environment
from pipelines.resources import installation_key, open_configured_drive
from pipelines.sandbox.addresses import all_running
from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp
from pipelines.sandbox.sheets import drop_samples
from pipelines_tests.domains.residents.staff import AtGoogle
from pipelines_tests.servers.google import Google, refusing


@pytest.fixture
def api(environment: Environment) -> Iterator[HereToHelp]:
    with all_running(environment.sandbox, utc_now()) as sandbox:
        yield sandbox.here_to_help


def look(environment: Environment, system: str) -> Finding:
    """Its line."""
    (finding,) = [one for one in examine(environment, _no_endpoint) if one.system == system]
    return finding


def _no_endpoint(_: str) -> Endpoint:
    raise ConnectionError("not asked")


def on(environment: Environment, google: Google) -> Environment:
    """With two feeds at Google, one of them with a sheet."""
    staff = AtGoogle(google, native=True)
    staff.drop("nsss", "a.csv", [["ID"]])
    folders = ",".join(f"{feed}={staff.folders[feed].inbound}:{staff.folders[feed].outbound}" for feed in FEEDS)
    return environment.model_copy(update={"drive": f"gdrive://{google.host}", "drive_folders": folders})


# Drive


def test_the_drive_is_well_with_as_many_sheets_as_there_are(environment: Environment) -> None:
    open_configured_drive(environment)
    drop_samples(environment.home / "drive", utc_now().date(), rows=1)
    found = look(environment, "drive")
    assert (found.well, found.words) == (True, "5 sheets in 5 folders")


def test_a_drive_that_is_not_there_is_not_well(environment: Environment) -> None:
    away = environment.model_copy(update={"drive": (environment.home / "not mounted").as_uri()})
    found = look(away, "drive")
    assert not found.well
    assert found.words == "the inbound folder of contact_tracing is not there"


def test_a_drive_at_google_is_well_or_says_what_google_says(environment: Environment, google: Google) -> None:
    elsewhere = on(environment, google)
    found = look(elsewhere, "drive")
    assert (found.well, found.words) == (True, "1 sheets in 5 folders")
    google.meddle = refusing(403, "insufficientFilePermissions")
    found = look(elsewhere, "drive")
    assert (found.well, found.words) == (False, "Google Drive answered 403 insufficientFilePermissions")
    unset = elsewhere.model_copy(update={"drive_folders": ""})
    assert look(unset, "drive").words == "the inbound folder of contact_tracing is not set"


def test_a_feed_that_is_switched_off_needs_no_folder(environment: Environment) -> None:
    (environment.home / "elsewhere" / "spl" / "inbound").mkdir(parents=True)
    others = {f"residents_{feed}_enabled": False for feed in FEEDS if feed != "spl"}
    there = environment.model_copy(update={"drive": (environment.home / "elsewhere").as_uri(), **others})
    assert look(there, "drive").words == "0 sheets in 1 folders"


# API


def test_an_api_that_is_reached_and_lets_us_in_is_well(environment: Environment, api: HereToHelp) -> None:
    found = look(environment, "here to help")
    assert (found.well, found.words) == (True, "reached, and lets us in")
    assert api.count().residents == 0


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Behaviour(status=403), "it refuses our key (403)"),
        (Behaviour(status=500), "not well: 500"),
        (Behaviour(status=200, body='{"success": false}'), "not well: 200"),
        (Behaviour(status=200, body="<html>"), "not well: 200"),
        (Behaviour(cut=Cut.BEFORE), "not well: connection"),
    ],
)
def test_an_api_that_is_not_well_says_how(
    environment: Environment, api: HereToHelp, trouble: Behaviour, words: str
) -> None:
    api.behave(trouble)
    found = look(environment, "here to help")
    assert (found.well, found.words) == (False, words)
    assert {one.call for one in api.received()} <= {Call.PING}


def test_an_api_that_has_another_key_says_so(environment: Environment, api: HereToHelp) -> None:
    (environment.sandbox / "here-to-help.key").write_text("another-key")
    found = look(environment, "here to help")
    assert not found.well
    assert found.words.startswith("it refuses our key (4")


def test_an_api_without_a_key_or_an_address_says_so(environment: Environment) -> None:
    assert look(environment, "here to help").words == "the sandbox does not run: start it with 'pipelines sandbox'"
    elsewhere = environment.model_copy(update={"here_to_help": "https://127.0.0.1:1/api"})
    assert look(elsewhere, "here to help").words == "PIPELINES_HERE_TO_HELP_API_KEY is not set"


# The installation's key


def test_the_key_is_well_when_it_is_the_ledger_s(environment: Environment) -> None:
    assert look(environment, "installation key").words == "none yet: made at the first look at the drive"
    key = installation_key(environment)
    assert look(environment, "installation key").words == "readable; the ledger has none yet"
    with closing(open_ledger(environment.ledger)) as ledger:
        assert look(environment, "installation key").words == "readable; the ledger has none yet"
        hold_to(key, ledger, utc_now())
    found = look(environment, "installation key")
    assert (found.well, found.words) == (True, "the one that the ledger was begun with")
    assert found.url == str(environment.home / "installation.key")


def test_a_key_that_is_not_the_ledger_s_or_is_lost_is_not_well(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(open_ledger(environment.ledger)) as ledger:
        hold_to(InstallationKey(bytes(32)), ledger, utc_now())
    found = look(environment, "installation key")
    assert not found.well
    assert "that the ledger was begun with is not here" in found.words
    monkeypatch.setenv("PIPELINES_INSTALLATION_KEY", "canary" * 9)
    found = look(environment, "installation key")
    assert not found.well
    assert "is not the one that the ledger was begun with" in found.words
    monkeypatch.setenv("PIPELINES_INSTALLATION_KEY", "canary")
    assert look(environment, "installation key").words == "an installation's key has at least 32 characters"
    assert "canary" not in str(look(environment, "installation key"))


# A look


def test_who_sends_no_residents_is_told_nothing_of_them(environment: Environment) -> None:
    off = environment.model_copy(update={f"residents_{feed}_enabled": False for feed in FEEDS})
    systems = {one.system for one in examine(off, _no_endpoint)}
    assert systems.isdisjoint({"drive", "here to help", "installation key"})


def test_a_look_makes_neither_ledger_nor_key_nor_folders_of_the_drive(environment: Environment) -> None:
    found = {one.system: one for one in examine(environment, _no_endpoint)}
    told = {name: found[name].words for name in ("ledger", "drive")}
    assert told == {
        "ledger": "none yet: made when the first work is looked for",
        "drive": "0 sheets in 0 folders; 5 more are made at the first look",
    }
    assert all(found[name].well for name in (*told, "installation key"))
    assert _files(environment.home) == set()
    assert {path.name for path in environment.home.iterdir()} == {"lake"}  # that it can be written to is tried


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}
