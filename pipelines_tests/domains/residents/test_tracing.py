"""A sheet that is asked for by the name of its file: what was taken in of it, and what could not be seen."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import pytest

from pipelines.adapters.drive import Drive, DriveBusy, DriveDenied, DriveUnavailable, Sheet
from pipelines.adapters.installation import InstallationKey, hold_to
from pipelines.adapters.ledger import LedgerUnavailable
from pipelines.core.work import State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.tracing import Looked, trace
from pipelines_tests.domains.residents.conftest import Open, every_drive, every_drive_of_files
from pipelines_tests.domains.residents.council import SECRET, Council, people
from pipelines_tests.domains.residents.people import cells

OURS, OTHERS = InstallationKey(SECRET), InstallationKey(bytes(32))
ALL = tuple(FEEDS.values())


def look(council: Council, text: str, feeds: Collection[Feed] = ALL, key: InstallationKey | None = OURS) -> Looked:
    return trace(feeds, lambda: key, lambda: council.drive, council.ledger, text, council.now)


def told(council: Council, text: str) -> list[tuple[State | None, bool]]:
    """The state of what was taken in of each, and whether it has changed since."""
    looked = look(council, text)
    assert looked.unseen == []
    return [(None if one.item is None else one.item.state, one.is_changed) for one in looked.found]


def nothing() -> Drive:
    raise AssertionError("the drive was asked for")


def fail(error: Exception) -> Callable[..., object]:
    def fails(*_: object) -> object:
        raise error

    return fails


def test_a_folder_that_is_away_hides_no_sheet_of_another_one(open_council: Open) -> None:
    council = open_council("nsss")
    council.drop("mine.csv", *people(1, council.feed))
    council.settle()
    for feed in ("contact_tracing", "spl"):
        (council.folder / "drive" / feed / "inbound").rmdir()
    looked = look(council, "mine")
    assert [one.item for one in looked.found] == council.sheets()
    assert looked.unseen == [f"the inbound folder of {feed} is not there" for feed in ("contact_tracing", "spl")]


def test_what_hides_all_feeds_alike_is_told_once(council: Council, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(council.drive, "sheets", fail(DriveUnavailable("no answer")))
    assert look(council, "mine") == Looked(unseen=["no answer"])


def test_only_these_feeds_are_looked_into(open_council: Open) -> None:
    council, other = open_council("nsss"), open_council("generic")
    for one in (council, other):
        one.drop("mine.csv", *people(1, one.feed))
    (council.folder / "drive" / "spl" / "inbound").rmdir()
    looked = look(council, "mine", [council.feed])
    assert ([one.sheet.feed for one in looked.found], looked.unseen) == (["nsss"], [])


def test_who_looks_into_no_feed_needs_neither_key_nor_drive(council: Council) -> None:
    def no_key() -> InstallationKey:
        raise AssertionError("the key was asked for")

    assert trace([], no_key, nothing, council.ledger, "mine", council.now) == Looked()


@pytest.mark.parametrize("error", [ValueError("no such form"), PermissionError(13, "Permission denied", "the key")])
@pytest.mark.parametrize("of_drive", [False, True])
def test_wrong_settings_are_told(council: Council, error: Exception, *, of_drive: bool) -> None:
    def fails() -> Drive:
        raise error

    def fails_as_key() -> InstallationKey:
        raise error

    looks = partial(trace, ALL, ledger=council.ledger, text="mine", now=council.now)
    found = looks(lambda: OURS, fails) if of_drive else looks(fails_as_key, nothing)
    assert found == Looked(unseen=[str(error)])


@pytest.mark.parametrize(("key", "words"), [(OTHERS, "is not the one"), (None, "is not here")])
def test_by_another_key_than_the_ledgers_nothing_is_said_of_any_sheet(
    council: Council, key: InstallationKey | None, words: str
) -> None:
    hold_to(OURS, council.ledger, council.now)
    council.drop("mine.csv", *people(1, council.feed))
    council.settle()
    looked = look(council, "mine", key=key)
    assert looked.found == []
    (reason,) = looked.unseen
    assert words in reason


def test_where_no_key_was_made_yet_nothing_was_taken_in(council: Council, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(council.drive, "sheets", fail(AssertionError("the drive was looked into")))
    assert look(council, "mine", key=None) == Looked()


@every_drive
def test_a_sheet_that_was_not_seen_yet_has_no_item(council: Council) -> None:
    council.drop("mine.csv", *people(1, council.feed))
    assert told(council, "MINE") == [(None, False)]


@every_drive_of_files
def test_a_sheet_that_was_renamed_is_known_whatever_became_of_it(council: Council) -> None:
    council.put("refused.xlsx", b"Account ID\n")
    council.put("sent.xlsx", _csv(council, 1))
    council.settle()
    council.put("aside.xlsx", _csv(council, 1))
    council.put("waits.xlsx", _csv(council, 2))
    council.look()
    before = council.sheets()
    states = {"refused": State.DEAD, "sent": State.SETTLED, "aside": State.ASIDE, "waits": State.PENDING}
    for name in states.keys() - {"sent"}:
        council.staff.rename(council.feed.name, f"{name}.xlsx", f"{name} again.xlsx")
    assert {name: told(council, name) for name in states} == {name: [(state, False)] for name, state in states.items()}
    council.look()
    assert [(item.id, item.state) for item in council.sheets()] == [(item.id, item.state) for item in before]


def test_a_sheet_that_was_sent_and_renamed_is_known_before_it_is_looked_at(council: Council) -> None:
    council.put("sent.csv", _csv(council, 1))
    council.settle()
    council.staff.rename(council.feed.name, "sent.csv", "again.csv")
    before = council.sheet()
    assert told(council, "again") == [(State.SETTLED, False)]
    assert council.sheet() == before


@every_drive
def test_of_an_edited_sheet_it_is_said_that_it_changed(council: Council) -> None:
    council.drop("mine.csv", *people(1, council.feed))
    council.settle()
    assert told(council, "mine") == [(State.SETTLED, False)]
    council.drop("mine.csv", *people(2, council.feed))
    assert told(council, "mine") == [(State.SETTLED, True)]
    council.look()
    assert told(council, "mine") == [(State.PENDING, False)]


@every_drive_of_files
def test_a_sheet_that_was_written_again_as_it_was_has_not_changed(council: Council) -> None:
    for _ in range(2):
        council.put("refused.csv", b"Account ID\n")
        council.settle()
        assert told(council, "refused") == [(State.DEAD, False)]
    council.put("refused.csv", b"Account ID\n")
    assert told(council, "refused") == [(State.DEAD, False)]


@every_drive_of_files
def test_an_edit_that_is_taken_back_is_a_change(council: Council) -> None:
    """The sheet is sent again as it was: what became of it then is not what becomes of it now."""
    for count in (1, 2):
        council.put("mine.csv", _csv(council, count))
        council.settle()
    council.put("mine.csv", _csv(council, 1))
    looked = look(council, "mine")
    assert [(one.item, one.is_changed) for one in looked.found] == [(council.sheets()[-1], True)]


def test_an_edit_that_is_taken_back_under_another_name_was_not_taken_in(council: Council) -> None:
    for count in (1, 2):
        council.put("mine.csv", _csv(council, count))
        council.settle()
    council.put("mine.csv", _csv(council, 1))
    council.staff.rename(council.feed.name, "mine.csv", "renamed.csv")
    assert told(council, "renamed") == [(None, False)]


def test_a_copy_is_not_taken_for_what_it_is_a_copy_of(council: Council) -> None:
    for name in ("mine.csv", "copy.csv"):
        council.look()
        council.put(name, _csv(council, 1))
    assert told(council, "copy") == [(None, False)]


def test_a_sheet_that_cannot_be_read_is_told_and_hides_no_other(
    council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    council.drop("my locked.csv", *people(1, council.feed))
    council.drop("my sound.csv", *people(2, council.feed))
    council.settle()
    for name in ("my locked", "my sound"):
        council.staff.rename(council.feed.name, f"{name}.csv", f"{name} again.csv")
    real = council.drive.sha256

    def denied(sheet: Sheet) -> str | None:
        if "locked" in sheet.name:
            raise DriveDenied("a sheet is not ours to use")
        return real(sheet)

    monkeypatch.setattr(council.drive, "sha256", denied)
    looked = look(council, "my")
    assert {one.sheet.name: one.item is not None for one in looked.found} == {
        "my locked again.csv": False,
        "my sound again.csv": True,
    }
    assert looked.unseen == ["a sheet is not ours to use"]


def test_of_an_edited_sheet_that_cannot_be_read_it_is_not_said_that_it_changed(
    council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    council.drop("mine.csv", *people(1, council.feed))
    council.settle()
    council.drop("mine.csv", *people(2, council.feed))
    monkeypatch.setattr(council.drive, "sha256", fail(DriveDenied("a sheet is not ours to use")))
    looked = look(council, "mine")
    assert [(one.item is not None, one.is_changed) for one in looked.found] == [(True, False)]
    assert looked.unseen == ["a sheet is not ours to use"]


def test_a_drive_that_wants_quiet_is_not_asked_for_the_next_sheet(
    council: Council, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        council.drop(f"mine {number}.csv", *people(number + 1, council.feed))
    asked = list[Sheet]()

    def busy(sheet: Sheet) -> str | None:
        asked.append(sheet)
        raise DriveBusy("the quota is used up")

    monkeypatch.setattr(council.drive, "sha256", busy)
    assert len(look(council, "mine").found) == 3
    assert len(asked) == 1


def test_of_what_is_as_it_was_seen_nothing_is_read(council: Council, monkeypatch: pytest.MonkeyPatch) -> None:
    council.drop("mine.csv", *people(1, council.feed))
    council.settle()
    council.drop("other.csv", *people(2, council.feed))
    monkeypatch.setattr(council.drive, "sha256", fail(AssertionError("a sheet was read")))
    assert told(council, "mine") == [(State.SETTLED, False)]


def test_a_ledger_that_is_away_is_no_fault_of_the_drive(council: Council, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(council.ledger, "mark", fail(LedgerUnavailable("away")))
    with pytest.raises(LedgerUnavailable):
        look(council, "mine")


def _csv(council: Council, count: int) -> bytes:
    """A sound sheet of so many people, the same bytes each time."""
    rows = [cells(council.feed, row) for row in people(count, council.feed)]
    lines = [council.feed.needed, *([row.get(column, "") for column in council.feed.needed] for row in rows)]
    return "".join(f"{','.join(line)}\n" for line in lines).encode()
