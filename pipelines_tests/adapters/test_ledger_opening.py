"""Opening a ledger whose server is not there: runs wait for it as in their work, persons are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import dagster as dg
import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from pydantic import SecretStr

from pipelines.adapters.ledger import Ledger, LedgerUnavailable, open_ledger
from pipelines.adapters.ledger import postgres as ours
from pipelines.adapters.ledger.sql import SqlLedger
from pipelines.cli import main
from pipelines.resources import LedgerResource
from pipelines_tests.servers.postgres import PASSWORD, Postgres, password

FOR_EVER = 3600.0
"""Whoever waits so long fails by the time that a test may take."""


@pytest.fixture(params=["stopped"])
def away(request: pytest.FixtureRequest, postgres: Postgres, postgres_url: str) -> Iterator[str]:
    """The URL of a ledger whose server is away; it is back after the test, or before."""
    (postgres.kill if request.param == "killed" else postgres.stop)()
    yield postgres_url
    postgres.start()


@pytest.fixture
def missed(monkeypatch: pytest.MonkeyPatch) -> Event:
    """Set once somebody has found that the server does not answer."""
    event, answers = Event(), ours._answers

    def note(engine: sa.Engine) -> bool:
        answered = answers(engine)
        if not answered:
            event.set()
        return answered

    monkeypatch.setattr(ours, "_answers", note)
    return event


def comes_back(postgres: Postgres, missed: Event, waits: Callable[[], Ledger]) -> Ledger:
    with ThreadPoolExecutor(1) as side_by_side:
        opening: Future[Ledger] = side_by_side.submit(waits)
        assert missed.wait(30)
        assert not opening.done()
        postgres.start()
        return opening.result(60)


@pytest.mark.parametrize("away", ["stopped", "killed"], indirect=True)
def test_who_waits_opens_it_once_the_server_is_back(away: str, postgres: Postgres, missed: Event) -> None:
    with closing(comes_back(postgres, missed, lambda: open_ledger(away, password(), waits=True))) as ledger:
        assert ledger.queues() == []


def test_a_ledger_without_tables_gets_them_once_the_server_is_back(
    away: str, postgres: Postgres, missed: Event
) -> None:
    postgres.start()
    url = postgres.fresh("late")
    postgres.stop()
    with closing(comes_back(postgres, missed, lambda: open_ledger(url, password(), waits=True))) as ledger:
        assert ledger.queues() == []


def test_a_run_and_a_tick_wait(away: str, postgres: Postgres, missed: Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES_LEDGER_PASSWORD", PASSWORD)

    def queues() -> list[str]:
        with dg.build_resources({"ledger": LedgerResource(url=away)}) as opened:
            found: list[str] = opened.ledger.queues()
            return found

    with ThreadPoolExecutor(1) as side_by_side:
        run = side_by_side.submit(queues)
        assert missed.wait(30)
        postgres.start()
        assert run.result(60) == []


def test_a_server_that_stays_away_is_named(away: str) -> None:
    with pytest.raises(LedgerUnavailable, match=r"the ledger at 127\.0\.0\.1:\d+/ledger: .*refused"):
        SqlLedger.on_postgres(away, password(), patience=0.5, waits=True)


def test_what_a_server_says_no_to_is_not_waited_for(postgres: Postgres, postgres_url: str) -> None:
    """It would say so again and again."""
    absent = postgres_url.replace("/ledger", "/there-is-none")
    for url, word, said in (
        (postgres_url, "canary-of-another", "authentication failed"),
        (absent, PASSWORD, "does not exist"),
    ):
        with pytest.raises(LedgerUnavailable, match=said) as raised:
            SqlLedger.on_postgres(url, SecretStr(word), patience=FOR_EVER, waits=True)
        assert "canary" not in f"{raised.value} {raised.value.__cause__}"


def test_who_does_not_wait_is_told_at_once(away: str, missed: Event) -> None:
    with pytest.raises(LedgerUnavailable, match="refused"):
        open_ledger(away, password())
    assert not missed.is_set()


# Commands


@pytest.fixture
def _variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIPELINES_AAE", "https://127.0.0.1:1/in")
    monkeypatch.setenv("PIPELINES_AAE_SUBSCRIPTION_KEY", "canary")
    monkeypatch.setenv("PIPELINES_HERE_TO_HELP", "https://127.0.0.1:1/api")
    monkeypatch.setenv("PIPELINES_LEDGER_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", "250")


def call(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.usefixtures("_variables")
@pytest.mark.parametrize(
    "words",
    [
        ("settle",),
        ("trace", "a"),
        ("ledger", "journal"),
        ("ledger", "restore", "--who", "Ann", "--why", "a test"),
    ],
    ids=" ".join,
)
def test_a_command_without_its_ledger_is_one_line(
    away: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINES_LEDGER", away)
    result = call(*words)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: the ledger at 127.0.0.1:")
    assert "refused" in line
    assert "canary" not in line


@pytest.mark.usefixtures("_variables")
def test_the_doctor_tells_of_it_in_one_line_among_others(away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINES_LEDGER", away)
    result = call("doctor")
    assert result.exit_code == 1
    assert sum("the ledger at 127.0.0.1:" in line for line in result.output.splitlines()) == 1
    assert "ok   lake" in result.output
    assert "canary" not in result.output


@pytest.mark.usefixtures("_variables")
def test_a_command_without_its_lake_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no folder").touch()
    monkeypatch.setenv("PIPELINES_LAKE", (tmp_path / "no folder").as_uri())
    result = call("settle")
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: landing or lake does not do what it is asked: ")
