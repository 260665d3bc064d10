"""The sensor that finds lost outcomes: nothing is begun with a ledger or a key that is wrong."""

from __future__ import annotations

import dagster as dg
import pytest

from pipelines.adapters.drive import DriveDenied
from pipelines.adapters.installation import InstallationKey, OtherKey, hold_to
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import open_objects
from pipelines.core.work import State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.sensors import residents_outcomes_lost
from pipelines.environment import Environment
from pipelines.lost import begin_restoring
from pipelines_tests.domains.residents.conftest import Open, every_drive
from pipelines_tests.domains.residents.council import SECRET, Council, people
from pipelines_tests.domains.residents.staff import AtGoogle

KEY = InstallationKey(SECRET)


def look(council: Council, key: InstallationKey = KEY, **switches: bool) -> str:
    """One tick."""
    environment = Environment(home=council.folder / "home").model_copy(update=switches)
    lake = open_objects((council.folder / "lake").as_uri())
    facts = {"ledger": council.ledger, "lake": lake, "drive": council.drive, "installation_key": key}
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources={"environment": environment, **facts}) as context,
    ):
        return str(residents_outcomes_lost.evaluate_tick(context).skip_message)


def written(council: Council, *names: str) -> None:
    """Sheets that were sent, with outcomes of today."""
    council.now = utc_now()
    for number, name in enumerate(names):
        council.drop(name, *people(1, council.feed, start=10 * number))
    council.settle()
    council.write()


@pytest.fixture
def council(open_council: Open) -> Council:
    """Of a feed that writes one spreadsheet for each sheet."""
    council = open_council("nsss")
    written(council, "a.csv", "b.csv")
    return council


def lose_one(council: Council) -> None:
    council.staff.lose("nsss", council.staff.outcomes("nsss")[0])


@every_drive
def test_of_many_outcomes_the_lost_ones_become_due(council: Council) -> None:
    assert look(council) == "0 outcomes were lost and are written again"
    before = council.staff.outcomes("nsss")
    lose_one(council)
    assert look(council) == "1 outcomes were lost and are written again"
    council.later(minutes=1)
    council.write()
    assert council.staff.outcomes("nsss") == before


@pytest.mark.parametrize("staff", ["google sheets"], indirect=True)
def test_it_takes_as_many_requests_however_many_outcomes_there_are(council: Council, staff: AtGoogle) -> None:
    """Each would be a listing of the whole folder: a tick has a minute."""
    asked = []
    for names in ((), [f"{number}.csv" for number in range(4)]):
        written(council, *names)
        staff.google.asked.clear()
        look(council)
        asked.append(len(staff.google.asked))
    assert asked[0] == asked[1]


def test_a_feed_whose_folder_is_away_keeps_nobody_from_looking_into_the_others(
    council: Council, open_council: Open
) -> None:
    other = open_council("contact_tracing")
    written(other, "c.csv")
    lose_one(council)
    (council.folder / "drive" / "contact_tracing").rename(council.folder / "away")
    with pytest.raises(DriveDenied, match="contact_tracing"):
        look(council)
    assert council.ledger.next_due("residents/nsss_outcomes") is not None


def test_with_another_key_than_the_ledger_s_none_becomes_due(council: Council) -> None:
    hold_to(KEY, council.ledger, council.now)
    lose_one(council)
    with pytest.raises(OtherKey):
        look(council, InstallationKey(bytes(range(1, 33))))
    assert {item.state for item in council.outcomes()} == {State.SETTLED}


def test_while_the_ledger_is_lost_none_becomes_due(council: Council) -> None:
    lose_one(council)
    begin_restoring(council.ledger, council.now)
    with pytest.raises(dg.DagsterError, match="the ledger is lost"):
        look(council)
    assert {item.state for item in council.outcomes()} == {State.SETTLED}


def test_who_sends_no_residents_needs_neither_drive_nor_key(council: Council) -> None:
    hold_to(KEY, council.ledger, council.now)
    (council.folder / "drive").rename(council.folder / "away")
    off = {f"residents_{feed}_enabled": False for feed in FEEDS}
    assert look(council, InstallationKey(bytes(range(1, 33))), **off) == "every feed of residents is switched off"
