"""Sheets that staff drop, edit, copy, move and delete: each version is known once, by nothing that names a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.adapters.drive import DriveDenied, DriveUnavailable, Sheet, SheetChanged
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.core.work import Reason, State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.intake import take_in
from pipelines.sandbox.here_to_help import Behaviour, HereToHelp
from pipelines_tests.domains.residents.conftest import every_drive, every_drive_of_files
from pipelines_tests.domains.residents.council import POLICY, SECRET, Council, hold, people


def test_a_sheet_is_of_the_day_on_which_it_was_first_seen(council: Council) -> None:
    council.drop("a.csv", *people(2, council.feed))
    taken = council.look()
    assert (taken.seen, dict(taken.new), taken.aside) == (1, {"2021-11-20": 1}, 0)
    council.later(days=1)
    taken = council.look()
    assert (taken.seen, dict(taken.new), taken.aside) == (1, {}, 0)
    item = council.sheet()
    assert (item.partition, item.destination, item.detail["day"]) == ("2021-11-20", council.url, "2021-11-20")


@every_drive
def test_nothing_in_the_ledger_tells_a_sheets_name(council: Council) -> None:
    council.drop("Ada Lovelace.csv", *people(2, council.feed))
    council.settle()
    council.write()
    content = b"".join(path.read_bytes() for path in council.folder.glob("ledger.db*"))
    for word in (b"Lovelace", b"Ada", b"McTesty", b"Sample0", b"7000000000", b"02000000001", b"about 0", b"12/11/1998"):
        assert word not in content


@every_drive
def test_a_renamed_sheet_is_not_sent_again(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    council.staff.rename(council.feed.name, "a.csv", "b.csv")
    council.settle()
    assert len(council.sheets()) == (1 if council.staff.tells_versions_by_content else 2)
    assert len(api.received()) == 2
    council.drop("b.csv", *people(3, council.feed))
    council.settle()
    assert len({item.name for item in council.sheets()}) == 1
    assert council.results() == {"sent": 1, "sent before": 2}
    assert len(api.received()) == 3


@every_drive
def test_a_sheet_written_again_as_it_was_is_not_sent_again(council: Council, api: HereToHelp) -> None:
    for _ in range(2):
        council.drop("a.csv", *people(2, council.feed))
        council.settle()
    assert len(council.sheets()) == (1 if council.staff.tells_versions_by_content else 2)
    assert len(api.received()) == 2


def test_a_known_sheet_stays_bound_for_where_it_was_sent(council: Council, api: HereToHelp) -> None:
    """The API moves to another address; the sheet is written again as it was."""
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    bound = council.url
    council.url = f"{bound}/moved"
    council.drop("a.csv", *people(2, council.feed))
    assert council.look().new == {}
    assert council.sheet().destination == bound


@every_drive_of_files
def test_a_copy_of_a_version_that_was_replaced_before_it_was_sent_is_sent(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.look()
    council.drop("a.csv", *people(2, council.feed, 10))
    council.look()
    council.drop("b.csv", *people(2, council.feed))
    council.settle()
    assert [item.state for item in council.sheets()] == [State.SUPERSEDED, State.SETTLED, State.SETTLED]
    assert hold(api) == (4, 4, 4)


@every_drive_of_files
def test_the_same_content_under_another_name_is_noticed_and_not_sent(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.drop("b.csv", *people(2, council.feed))
    for _ in range(3):
        council.settle()
        assert [(item.state, item.reason) for item in council.sheets()] == [
            (State.SETTLED, None),
            (State.ASIDE, Reason.SAME_CONTENT),
        ]
    assert len(api.received()) == 2
    council.drop("b.csv", *people(3, council.feed))
    council.settle()
    assert council.results() == {"sent": 1, "sent before": 2}


@every_drive
def test_a_copy_is_sent_if_the_first_one_was_gone_before(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.look()
    council.staff.take_away(council.feed.name, "a.csv")
    for _ in range(3):
        council.send()
        council.later(hours=2)
    assert [(item.state, item.reason) for item in council.sheets()] == [(State.DEAD, Reason.GONE)]
    council.drop("b.csv", *people(2, council.feed))
    council.settle()
    assert council.results() == {"sent": 2}
    assert hold(api) == (2, 2, 2)


@every_drive
def test_a_sheet_deleted_while_it_is_sent_comes_back_with_what_is_left(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(50, council.feed))
    council.look()
    api.behave(Behaviour(times=20), Behaviour(status=503))
    council.send()
    bring_back = council.staff.take_away(council.feed.name, "a.csv")
    api.behave()
    for _ in range(4):
        council.later(hours=2)
        council.look()
        council.send()
    assert (council.sheet().state, council.sheet().reason) == (State.DEAD, Reason.GONE)
    bring_back()
    council.settle()
    assert council.sheet().state is State.SETTLED
    assert hold(api) == (50, 50, 50)


@every_drive
def test_a_sheet_edited_while_it_is_read_is_left_to_its_newer_version(
    council: Council, api: HereToHelp, monkeypatch: pytest.MonkeyPatch
) -> None:
    council.drop("a.csv", *people(2, council.feed))
    council.look()
    with monkeypatch.context() as patched:

        def changed(*_: object) -> None:
            council.drop("a.csv", *people(3, council.feed))
            raise SheetChanged("a sheet was changed while it was read")

        patched.setattr(council.drive, "read", changed)
        council.send()
    assert (council.sheet().state, council.sheet().reason) == (State.SUPERSEDED, Reason.CHANGED)
    assert api.received() == []
    council.settle()
    assert council.results() == {"sent": 3}


@every_drive
def test_a_sheet_edited_between_two_runs_goes_on_with_its_newer_version(council: Council, api: HereToHelp) -> None:
    """The rows that were sent are not sent again; that whose answer was lost is found out, with the newer text."""
    rows = people(30, council.feed)
    council.drop("a.csv", *rows)
    council.look()
    api.behave(Behaviour(times=10), Behaviour(status=504, stored=True))
    council.send()
    api.behave()
    for row in rows:
        row["Phone"] = row["Phone"].replace("020", "021")
    council.drop("a.csv", *rows)
    council.settle()
    assert [item.state for item in council.sheets()] == [State.SUPERSEDED, State.SETTLED]
    assert council.results() == {"sent": 30}
    assert hold(api) == (30, 30, 30)


@every_drive
def test_a_listing_that_fails_is_no_empty_folder(council: Council, monkeypatch: pytest.MonkeyPatch) -> None:
    council.drop("a.csv", *people(2, council.feed))
    real = council.drive.sheets

    def fail(*asked: Any) -> Sequence[Any]:
        real(*asked)
        raise DriveUnavailable("half of it")

    with monkeypatch.context() as patched:
        patched.setattr(council.drive, "sheets", fail)
        with pytest.raises(DriveUnavailable):
            council.look()
    assert council.sheets() == []
    council.look()
    with monkeypatch.context() as patched:
        patched.setattr(council.drive, "sheets", fail)
        council.send()
    item = council.sheet()
    assert (item.state, item.reason, item.attempts) == (State.PENDING, Reason.UNREADABLE, 0)
    council.settle()
    assert council.sheet().state is State.SETTLED


def test_a_sheet_that_is_not_ours_to_read_stops_no_other(
    council: Council, api: HereToHelp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of another user's, or one on a bad sector: it is looked at again, and told of, each time."""
    one, other, third = people(3, council.feed)
    council.drop("locked.csv", one)
    council.drop("sound.csv", other)
    council.drop("later.csv", third)
    with monkeypatch.context() as patched:
        real = council.drive.sha256

        def denied(sheet: Sheet) -> str | None:
            if sheet.name == "locked.csv":
                raise DriveDenied("a sheet is not ours to use")
            return real(sheet)

        patched.setattr(council.drive, "sha256", denied)
        for left in (1, 0):
            found = council.take_in(-1)
            assert (found.seen, found.left, str(found.failed)) == (3, left, "a sheet is not ours to use")
            council.send()
        assert hold(api) == (2, 2, 2)
    council.settle()
    assert hold(api) == (3, 3, 3)


def test_a_feed_whose_folder_is_away_stops_no_other(council: Council) -> None:
    council.drop("sound.csv", *people(1, council.feed))
    (council.folder / "drive" / "spl" / "inbound").rmdir()
    taken = take_in(FEEDS.values(), council.drive, council.ledger, council.url, SECRET, council.now)
    assert {feed for feed, found in taken.items() if found.failed is not None} == {"spl"}
    assert (taken["spl"].seen, taken[council.feed.name].seen) == (0, 1)
    assert council.sheet().state is State.PENDING


@pytest.fixture
def summed(council: Council, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sheets whose checksums were had, one after another."""
    names: list[str] = []
    real = council.drive.sha256

    def sha256(sheet: Sheet) -> str | None:
        names.append(sheet.name)
        return real(sheet)

    monkeypatch.setattr(council.drive, "sha256", sha256)
    return names


def test_what_is_known_is_not_read_again_until_it_changes(council: Council, api: HereToHelp, summed: list[str]) -> None:
    council.put("refused.csv", b"Account ID\n")
    for name in ("a.csv", "b.csv"):  # the latter is a twin
        council.drop(name, *people(2, council.feed))
    council.settle()
    del summed[:]
    assert council.look().seen == 3
    assert summed == []
    council.drop("a.csv", *people(3, council.feed))
    council.look()
    assert summed == ["a.csv"]


def test_an_edit_that_is_taken_back_is_sent_and_then_known(council: Council, summed: list[str]) -> None:
    for count in (2, 3, 2):
        council.drop("a.csv", *people(count, council.feed))
        council.settle()
    assert [item.state for item in council.sheets()] == [State.SETTLED, State.SETTLED]
    del summed[:]
    council.look()
    assert summed == []


def test_a_look_has_an_end_and_the_next_one_goes_on_with_the_oldest(council: Council, summed: list[str]) -> None:
    for number in range(3):
        council.drop(f"{3 - number}.csv", *people(1, council.feed, number))
    for left in (2, 1, 0):
        taken = council.look(seconds=-1)
        assert (taken.seen, taken.new.total(), taken.left) == (3, 1, left)
        council.later(seconds=10)
    assert summed == ["3.csv", "2.csv", "1.csv"]
    assert council.look(seconds=-1).left == 0
    assert len({item.name for item in council.sheets()}) == 3


def test_looks_with_an_end_take_sheets_in_as_one_without(council: Council) -> None:
    """A twin, a move and an edit among what is left for later are recognised all the same."""
    for number, name in enumerate(("moves.csv", "edited.csv")):
        council.drop(name, *people(2, council.feed, 10 * number))
    council.settle()
    council.drop("new.csv", *people(2, council.feed, 20))
    council.drop("edited.csv", *people(2, council.feed, 30))
    council.drop("twin.csv", *people(2, council.feed, 20))
    council.staff.rename(council.feed.name, "moves.csv", "moved.csv")
    while council.look(seconds=-1).left:
        pass
    moved, before, new, edited, twin = council.sheets()
    assert [item.state for item in (moved, before, new, edited, twin)] == [
        State.SETTLED,
        State.SETTLED,
        State.PENDING,
        State.PENDING,
        State.ASIDE,
    ]
    assert before.name == edited.name
    council.look()
    assert len(council.sheets()) == 5


def test_what_is_too_large_to_be_read_is_refused_without_its_checksum(
    council: Council, api: HereToHelp, monkeypatch: pytest.MonkeyPatch, summed: list[str]
) -> None:
    for module in ("pipelines.domains.residents.places", "pipelines.adapters.drive.files"):
        monkeypatch.setattr(f"{module}.LARGEST", 3)
    council.drop("a.csv", *people(2, council.feed))
    council.settle()
    assert (council.sheet().state, council.sheet().reason) == (State.DEAD, Reason.NOT_A_SHEET)
    assert summed == []
    assert council.look().new == {}


def test_a_tick_asks_the_ledger_for_what_is_in_the_folder_alone(
    council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many sheets as were ever sent may be in it: no tick, and no sheet's run, goes through all of them."""
    council.drop("a.csv", *people(2, council.feed))
    with monkeypatch.context() as patched:

        def all_of_them(*_: object, **__: object) -> None:
            raise AssertionError("the whole queue was asked for")

        patched.setattr(council.ledger, "items", all_of_them)
        council.look()
        work = council.work()
        shift = Shift("run", council.terms.lease, now=work.now)
        sent = work_through(council.ledger, council.queue, lambda: work.outcome, POLICY, shift, destination=council.url)
        assert len(list(sent)) == 1
        council.look()
    assert council.sheet().state is State.SETTLED


@every_drive
def test_an_empty_sheet_settles(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv")
    council.settle()
    assert (council.sheet().state, council.sheet().detail["rows"]) == (State.SETTLED, 0)
    assert api.received() == []


@every_drive
def test_what_is_no_sheet_is_refused_before_any_call(council: Council, api: HereToHelp) -> None:
    council.put("a.xlsx", b"%PDF-1.7")
    council.put("b.csv", b"Account ID,Forename,Surname\n1,Ada,Sample\n")
    council.settle()
    assert {item.reason for item in council.sheets()} == {Reason.NOT_A_SHEET}
    assert any("missing header: NHS Number" in item.detail["refused"] for item in council.sheets())
    assert api.received() == []


def test_a_row_that_waits_and_is_taken_out_of_its_sheet_waits_no_more(council: Council, api: HereToHelp) -> None:
    rows = people(3, council.feed)
    api.behave(Behaviour(status=429, last_names="Sample1"))
    council.drop("a.csv", *rows)
    council.look()
    council.send()
    assert council.effect_states()[State.PENDING] == 2
    council.drop("a.csv", rows[0], rows[2])
    council.settle()
    assert council.results() == {"sent before": 2}
    assert council.effect_states() == {State.SETTLED: 4, State.SUPERSEDED: 2}
    api.behave()
    council.drop("a.csv", *rows)
    council.settle()
    assert council.sheets()[0].state is State.SETTLED
    assert hold(api) == (3, 3, 3)
