"""Receipts of a day: all that is over, nothing of a person, and enough to fill a lost ledger again."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from itertools import islice

import pyarrow.parquet as pq
import pytest

from pipelines.adapters.installation import InstallationKey, OtherKey, hold_to
from pipelines.adapters.ledger import open_ledger
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.adapters.objects import open_objects
from pipelines.assets import remake
from pipelines.core.work import Reason, State
from pipelines.domains.residents import receipts
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.resending import What, resend
from pipelines.domains.residents.sheets import RECEIPTS
from pipelines.lost import is_lost
from pipelines.sandbox.here_to_help import Behaviour, HereToHelp
from pipelines_tests.domains.residents.conftest import Lose, Open
from pipelines_tests.domains.residents.council import NOW, POLICY, SECRET, Council, hold, people

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


def write_due(council: Council) -> list[str]:
    """Write the receipts that are asked for; returns their days."""
    lake = open_objects((council.folder / "lake").as_uri())
    make = partial(receipts.write_day, lake, council.ledger)
    outcome = partial(remake, ledger=council.ledger, make=make, policy=POLICY, made_with="1", now=lambda: council.now)
    shift = Shift("receipts", council.terms.lease, now=lambda: council.now)
    made = work_through(council.ledger, RECEIPTS, lambda: outcome, POLICY, shift)
    return sorted(item.partition for item in made)


def test_a_row_that_waited_since_yesterday_is_in_the_receipts(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    """Its sheet is edited the next day, and it is sent with that."""
    row, other, third = people(3, council.feed)
    api.behave(Behaviour(status=429, last_names=row["Surname"]))
    council.drop("a.csv", row)
    council.look()
    council.send()
    council.later(days=1)
    api.behave()
    council.drop("a.csv", row, other)
    council.settle()
    assert council.results() == {"sent": 2}
    write_due(council)
    before = hold(api)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == before == (2, 2, 2)
    council.later(hours=1)
    council.drop("a.csv", row, other, third)
    council.settle()
    assert hold(api) == (3, 3, 3)


def test_what_a_person_had_sent_again_of_yesterday_is_in_the_receipts(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    row, other = people(2, council.feed)
    row["Account ID"] = ""
    api.behave(Behaviour(status=429, last_names=row["Surname"]))
    council.drop("a.csv", row)
    council.settle()
    assert council.results() == {"given up": 1}
    assert write_due(council) == [DAY]
    council.later(days=1)
    council.drop("a.csv", row, other)
    council.settle()
    api.behave()
    resend(council.feed, council.ledger, council.sheets()[0].name, What.GIVEN_UP, council.now, dry_run=False)
    council.settle()
    assert hold(api) == (2, 2, 2)
    assert write_due(council) == [DAY, "2021-11-21"]
    lose_the_ledger(council)
    assert {(item.state, item.partition) for item in council.effects()} == {(State.SETTLED, "2021-11-21")}


def test_receipts_are_asked_for_once_for_what_changed(council: Council) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    assert write_due(council) == [DAY]
    council.later(days=1)
    council.drop("b.csv", *people(2, council.feed, 10))
    council.settle()
    assert write_due(council) == ["2021-11-21"]
    assert write_due(council) == []


def test_a_ledger_that_was_restored_takes_no_other_key(council: Council, lose_the_ledger: Lose) -> None:
    """The key's file lies beside the ledger's: who loses their disk has both made anew."""
    hold_to(InstallationKey(SECRET), council.ledger, council.now)
    council.drop("a.csv", *people(1, council.feed))
    council.settle()
    write_due(council)
    lose_the_ledger(council)
    with pytest.raises(OtherKey):
        hold_to(InstallationKey(bytes(32)), council.ledger, council.now)
    hold_to(InstallationKey(SECRET), council.ledger, council.now)


def test_a_ledger_lost_before_the_first_receipts_is_known_to_be_lost(council: Council, lose_the_ledger: Lose) -> None:
    """The day's table is in the lake as soon as a run ends; receipts follow within ten minutes."""
    lake = open_objects((council.folder / "lake").as_uri())
    council.drop("a.csv", *people(1, council.feed))
    council.settle()
    receipts.write_sheets(lake, council.ledger, council.feed.name, DAY)
    with closing(open_ledger(f"sqlite:///{council.folder / 'unknown.db'}")) as fresh:
        assert is_lost(fresh, lake)
    lose_the_ledger(council)
    assert not is_lost(council.ledger, lake)


@pytest.mark.parametrize("feed", FEEDS)
def test_what_was_sent_after_the_last_receipts_is_not_there_twice(
    open_council: Open, api: HereToHelp, feed: str, lose_the_ledger: Lose
) -> None:
    council = open_council(feed)
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    receipts.write_day(open_objects((council.folder / "lake").as_uri()), council.ledger, DAY)
    council.drop("b.csv", *people(2, council.feed, 10))
    council.settle()
    before = hold(api)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == before
    assert {item.state for item in council.sheets()} == {State.SETTLED}
    council.later(minutes=20)
    council.drop("c.csv", *people(1, council.feed, 20))
    council.settle()
    assert hold(api) > before
    assert council.results() == {"sent": 1}


def test_an_edit_of_a_sheet_that_may_have_been_sent_repeats_no_note(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    council.drop("b.csv", *people(2, council.feed))
    council.settle()
    lose_the_ledger(council)
    council.look()
    council.later(hours=1)
    council.drop("b.csv", *people(3, council.feed))
    council.settle()
    assert hold(api) == (3, 3, 3)
    assert council.results() == {"sent": 3}
    assert not any("doubtful" in item.detail for item in council.sheets() if item.state is State.SETTLED)


def test_what_the_first_looks_had_no_time_for_may_have_been_sent_as_well(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    """However long it takes until all that was there has been looked at."""
    for number in range(3):
        council.drop(f"{number}.csv", *people(1, council.feed, number))
        council.settle()
    before = hold(api)
    lose_the_ledger(council)
    while council.look(seconds=-1).left:
        council.later(hours=1)
    assert all(item.detail["doubtful"] for item in council.sheets())
    council.settle()
    assert hold(api) == before


def test_a_look_that_is_killed_ends_no_doubt(
    council: Council, api: HereToHelp, lose_the_ledger: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    council.drop("b.csv", *people(2, council.feed))
    council.settle()
    before = hold(api)
    lose_the_ledger(council)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(council.ledger, "take_in", killed)
        with pytest.raises(KeyboardInterrupt):
            council.look()
    council.later(hours=1)
    council.settle()
    assert hold(api) == before


def test_a_call_that_is_put_off_leaves_the_doubt(council: Council, api: HereToHelp, lose_the_ledger: Lose) -> None:
    council.drop("b.csv", *people(2, council.feed))
    council.settle()
    lose_the_ledger(council)
    api.behave(Behaviour(status=429))
    council.look()
    council.send()
    api.behave(Behaviour())
    council.settle()
    assert hold(api) == (2, 2, 2)


def test_a_row_without_a_key_that_may_have_been_sent_is_for_a_person_to_judge(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    council.drop("b.csv", people(1, council.feed)[0] | {"Account ID": ""})
    council.settle()
    before = hold(api)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == before
    (effect,) = council.effects()
    assert (effect.state, effect.uncertain, effect.reason) == (State.DEAD, True, Reason.MAY_HAVE_LEFT)
    sheet = council.sheet().name
    assert resend(council.feed, council.ledger, sheet, What.UNKNOWN, council.now, dry_run=False).effects == 1
    council.settle()
    assert council.results() == {"sent": 1}


def test_of_several_versions_the_newest_is_restored_as_such(council: Council, lose_the_ledger: Lose) -> None:
    lake = open_objects((council.folder / "lake").as_uri())
    row, other = people(2, council.feed)
    for words in ("z", "y", "x", "y"):
        council.drop("a.csv", row | {"Comments": words}, other)
        council.settle()
        council.later(minutes=5)
    receipts.write_day(lake, council.ledger, DAY)
    last = {item.name: item.version for item in sorted(council.effects(), key=lambda item: item.settled_at or NOW)}
    sheet = max(council.sheets(), key=lambda item: item.changed_at)
    assert sheet.id == council.sheets()[1].id
    last |= {sheet.name: sheet.version}
    lose_the_ledger(council)
    for items in (council.sheets(), council.effects()):
        council.ledger.reopen([item.id for item in items], council.now, Reason.REPLAYED)
    newest = [item for item in (*council.sheets(), *council.effects()) if item.state is State.PENDING]
    assert {item.name: item.version for item in newest} == last


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
