"""Receipts: what a day's table tells, and that it is all that a lost ledger needs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import orjson
import pytest

from pipelines.core.receipts import RECEIPTS
from pipelines.core.work import Reason, State
from pipelines.domains.aae.exports import EVENTS, PACKAGES
from pipelines.domains.aae.receipts import SCHEMA, days, read_day, told_of
from pipelines.lost import LedgerLost, is_lost, make_whole
from pipelines_tests.domains.aae.deliveries import Site
from pipelines_tests.domains.aae.desks import DAY, DESTINATION, HOUR, MINUTE, NOW, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.ledger.close()


@pytest.fixture
def lost(desk: Desk, tmp_path: Path) -> Iterator[Desk]:
    """The same lake with a ledger that knows nothing."""
    lost = Desk(tmp_path, name="another")
    yield lost
    lost.ledger.close()


# What is told


def test_an_object_is_told_of_with_the_landed_file_that_it_was_made_of(desk: Desk) -> None:
    desk.filter("a.json")
    desk.end(status=201)
    facts = desk.write()
    (row,) = desk.rows()
    assert facts["rows"] == 1
    assert (row["feed"], row["hour"], row["landed_key"], row["landed_version"]) == ("packages", HOUR, "a.json", "1")
    assert (row["name"], row["state"], row["status"], row["reason"]) == ("a.json.parquet", "settled", 201, None)
    assert (row["attempts"], row["destination"], row["run"]) == (1, DESTINATION, "delivery")
    assert (row["filtered_at"], row["released_at"]) == (NOW + MINUTE, NOW + MINUTE)
    assert (row["settled_at"], row["changed_at"]) == (NOW + 2 * MINUTE, NOW + 2 * MINUTE)
    assert orjson.loads(row["facts"])["read"] == 3
    assert orjson.loads(row["delivery"])["key"] == f"mobile/packages/{HOUR}/a.json"


def test_a_dead_letter_says_why_and_since_when_it_is_one(desk: Desk) -> None:
    desk.filter("a.json")
    desk.end(State.DEAD, status=422, reason=Reason.REFUSED)
    desk.write()
    (row,) = desk.rows()
    assert (row["state"], row["reason"], row["status"]) == ("dead", "refused", 422)
    assert (row["settled_at"], row["changed_at"]) == (None, NOW + 2 * MINUTE)


def test_what_still_waits_is_not_told_of(desk: Desk) -> None:
    desk.filter("a.json")
    assert desk.write()["rows"] == 0


def test_a_landed_file_that_gave_no_object_is_told_of(desk: Desk) -> None:
    desk.filter("a.json", content=None)
    desk.write()
    (row,) = desk.rows()
    assert (row["landed_key"], row["name"], row["state"]) == ("a.json", None, None)


def test_an_object_is_told_of_though_a_newer_file_took_the_place_of_its_own(desk: Desk) -> None:
    desk.filter("a.json", content="before")
    desk.end()
    desk.filter("a.json", content="after", version="2")
    desk.write()
    (row,) = desk.rows()
    assert (row["name"], row["landed_key"]) == ("a.json.parquet", None)


def test_a_day_is_told_of_alone_hour_by_hour_and_feed_by_feed(desk: Desk) -> None:
    """An hour of one feed is in memory at once, and lies together in the file."""
    hours = ("2026-02-28-23:00", f"{DAY}-00:00", f"{DAY}-23:00", "2026-03-02-00:00")
    for hour, export in product(hours, (PACKAGES, EVENTS)):
        desk.filter(f"{hour}.json", hour=hour, of=export)
        desk.filter(f"{hour} again.json", hour=hour, of=export)
        desk.end(of=export)
    desk.write()
    told = [(row["hour"], row["feed"]) for row in desk.rows()]
    assert told == [(hour, feed) for hour in hours[1:3] for feed in ("packages", "packages", "events", "events")]
    file = desk.file()
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [2, 2, 2, 2]


def test_the_columns_are_those_that_are_declared(desk: Desk) -> None:
    desk.write()
    assert desk.file().schema_arrow.equals(SCHEMA)


# When they are written


def test_the_same_ledger_gives_the_same_bytes(desk: Desk) -> None:
    desk.filter("a.json")
    desk.end()
    first = desk.write()
    assert desk.write() == first


def test_each_delivery_asks_for_the_receipts_of_its_day_and_a_replay_days_later_for_the_same(site: Site) -> None:
    site.release("a.parquet", "b.parquet")
    site.deliver()
    requests = list(site.ledger.items(RECEIPTS))
    assert [(one.name, one.partition, one.state) for one in requests] == [(DAY, DAY, State.PENDING)]
    (taken,) = site.ledger.claim(RECEIPTS, owner="run", limit=1, now=site.now, lease=10 * MINUTE)
    site.later(days=3)
    ids = [item.id for item in site.items().values()]
    site.ledger.reopen(ids[:1], site.now, Reason.REPLAYED)
    site.deliver()
    later = [one for one in site.ledger.items(RECEIPTS) if one.id != taken.id]
    assert [(one.name, one.partition, one.state) for one in later] == [(DAY, DAY, State.PENDING)]


def test_a_lost_ledger_never_takes_the_place_of_what_the_receipts_tell(desk: Desk, lost: Desk) -> None:
    desk.filter("a.json")
    desk.end()
    desk.write()
    before = desk.rows()
    with pytest.raises(LedgerLost):
        lost.write()
    lost.filter("b.json")
    lost.end()
    with pytest.raises(LedgerLost):  # that it came to know something by itself changes nothing
        lost.write()
    assert desk.rows() == before


# Whether the ledger is lost


def test_a_new_ledger_over_an_empty_lake_is_not_lost(desk: Desk) -> None:
    assert not is_lost(desk.ledger, desk.lake)


def test_a_ledger_that_receipts_were_written_from_is_not_lost(desk: Desk, lost: Desk) -> None:
    desk.filter("a.json")
    desk.write()
    assert not is_lost(desk.ledger, desk.lake)
    assert is_lost(lost.ledger, lost.lake)
    make_whole(lost.ledger, NOW)
    assert not is_lost(lost.ledger, lost.lake)


def test_a_ledger_that_was_lost_before_the_first_receipts_is_known_by_the_outputs(desk: Desk, lost: Desk) -> None:
    desk.filter("a.json")
    assert not is_lost(desk.ledger, desk.lake)
    assert is_lost(lost.ledger, lost.lake)


# What is read again


def test_a_restored_ledger_gives_the_same_receipts_but_for_what_is_uncertain_by_now(desk: Desk, lost: Desk) -> None:
    """So they may be written, lost and restored again and again."""
    desk.filter("a.json")
    desk.filter("twice.json", content="before")
    desk.end(status=201)
    desk.filter("refused.json")
    desk.end(State.DEAD, status=422, reason=Reason.REFUSED)
    desk.filter("none.json", content=None)
    desk.filter("twice.json", content="after", version="2")
    desk.filter("e.json", of=EVENTS)
    desk.end(status=200)
    desk.end(of=EVENTS)
    written = desk.write()
    assert written["rows"] == 6
    lost.ledger.restore(read_day(lost.lake, DAY), lost.now)
    make_whole(lost.ledger, lost.now)
    assert lost.write() == written
    assert {item.uncertain for item in lost.ledger.items("aae/packages")} == {True}


def test_of_several_objects_under_one_name_the_last_delivered_is_the_newest(desk: Desk, lost: Desk) -> None:
    """Whatever their landed files are by now: an older version may have been put back."""
    desk.filter("a.json", content="one")
    desk.end()
    desk.filter("a.json", content="two", version="2")
    desk.end()
    desk.filter("a.json", content="one", version="3")
    desk.end()
    desk.write()
    lost.ledger.restore(read_day(lost.lake, DAY), lost.now)
    versions = list(lost.ledger.items("aae/packages"))
    moved = [lost.ledger.reopen([one.id], lost.now, Reason.REPLAYED) for one in versions]
    last = max(versions, key=lambda one: one.settled_at or NOW)
    assert [one.id for one, count in zip(versions, moved, strict=True) if count] == [last.id]
    assert len(versions) == 2


def test_it_is_known_which_bytes_lay_under_a_key_and_when_they_were_released(desk: Desk) -> None:
    desk.filter("a.json", content="one")
    desk.end()
    desk.filter("a.json", content="other", version="2")
    desk.end()
    desk.filter("none.json", content=None)
    desk.write()
    told = told_of(desk.lake, DAY)
    (known,) = told.values()
    assert list(told) == [f"mobile/packages/{HOUR}/a.json"]
    assert sorted(known.sizes.values()) == [3, 5]
    assert (known.sizes[known.last], known.released_at[known.last]) == (5, NOW + 3 * MINUTE)
    assert told_of(desk.lake, "2026-03-02") == {}


def test_the_days_that_there_are_receipts_of_are_found_in_order(desk: Desk) -> None:
    for day in ("2026-03-02", "2026-02-27", DAY):
        desk.write(day)
    desk.lake.put(f"{RECEIPTS}/a-note.txt", b"of a person")
    assert list(days(desk.lake)) == ["2026-02-27", DAY, "2026-03-02"]
