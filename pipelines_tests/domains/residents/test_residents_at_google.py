"""The way of a sheet at Google: what Google refuses, loses or changes in the middle of it harms no row."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Callable
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from pipelines.adapters.drive import DriveBusy, DriveError
from pipelines.adapters.ledger import Span
from pipelines.adapters.objects import open_objects
from pipelines.core.work import Reason, State
from pipelines.domains.residents import receipts
from pipelines.domains.residents.writing import find_missing
from pipelines.sandbox.here_to_help import Call, HereToHelp
from pipelines_tests.domains.residents.conftest import every_google
from pipelines_tests.domains.residents.council import Council, hold, people
from pipelines_tests.domains.residents.people import cells
from pipelines_tests.servers.disturbed import Answer, Asked, Forward, Meddling, cutting, untouched
from pipelines_tests.servers.google import Google, refusal, refusing

BOOK, OTHER = "Hackney_CT_FOR_UPLOAD_a_2021-11-20", "city_CT_FOR_UPLOAD_a_2021-11-20"
DAY = Span("2021-11-20", "2021-11-20")


@pytest.fixture
def council(council: Council) -> Council:
    """With a sheet in its folder."""
    council.drop("a.csv", *people(3, council.feed))
    return council


def after(parts: tuple[str, ...], happen: Callable[[], object]) -> Meddling:
    """Lets something happen right after the first request of such a kind is answered."""
    happened = False

    def meddle(asked: Asked, forward: Forward) -> Answer:
        nonlocal happened
        answer = forward(asked)
        if not happened and any(part in asked.path for part in parts):
            happened = True
            happen()
        return answer

    return meddle


@every_google
def test_of_an_edited_sheet_what_was_edited_is_sent_and_of_one_that_was_moved_nothing(
    council: Council, api: HereToHelp
) -> None:
    council.settle()
    rows = people(3, council.feed)
    rows[1]["Phone"] = "02011112222"
    council.drop("a.csv", *rows)
    before, calls = hold(api), len(api.received())
    council.settle()
    assert council.results() == {"sent": 1, "sent before": 2}
    assert [one.call for one in api.received()[calls:]].count(Call.POST_HELP_REQUEST) == 1
    assert hold(api) == before

    calls = len(api.received())
    bring_back = council.staff.take_away(council.feed.name, "a.csv")
    assert council.look().seen == 0
    bring_back()
    council.settle()
    council.staff.rename(council.feed.name, "a.csv", "b.csv")
    council.settle()
    assert len(api.received()) == calls
    assert {item.state for item in council.sheets()} == {State.SETTLED}


@pytest.mark.parametrize("staff", ["google sheets"], indirect=True)
def test_a_row_is_known_again_whatever_kind_of_sheet_it_is_in(council: Council, api: HereToHelp) -> None:
    """In a native sheet, ids and phones that begin with no zero are numbers; in a csv all is text."""
    council.settle()
    calls = len(api.received())
    text = io.StringIO()
    rows = [cells(council.feed, row) for row in people(3, council.feed)]
    csv.writer(text).writerows([list(rows[0]), *(row.values() for row in rows)])
    council.put("the same.csv", text.getvalue().encode())
    council.settle()
    assert [item.state for item in council.sheets()] == [State.SETTLED, State.SETTLED]
    assert council.results() == {"sent before": 3}
    assert len(api.received()) == calls


READING = (":batchGetByDataFilter", "alt=media")
"""What cells are asked for by, of native sheets and of uploads."""


@every_google
@pytest.mark.parametrize(
    ("status", "reason", "headers", "seconds"),
    [
        (403, "rateLimitExceeded", {}, 30),
        (403, "userRateLimitExceeded", {"Retry-After": "7"}, 30),
        (429, "RESOURCE_EXHAUSTED", {"Retry-After": "600"}, 600),
    ],
)
def test_a_quota_that_is_used_up_costs_the_time_that_google_asks_for_and_nothing_else(
    council: Council,
    google: Google,
    api: HereToHelp,
    status: int,
    reason: str,
    headers: dict[str, str],
    seconds: int,
) -> None:
    used_up = refusing(status, reason, headers)
    google.meddle = used_up
    with pytest.raises(DriveBusy):
        council.look()
    google.meddle = untouched
    assert council.sheets() == []
    council.look()

    google.meddle = used_up
    council.send()
    item = council.sheet()
    assert (item.state, item.reason, item.attempts) == (State.PENDING, Reason.BUSY, 0)
    assert item.due_at == council.now + timedelta(seconds=seconds)
    assert api.received() == []

    google.meddle = untouched
    council.settle()
    google.meddle = used_up
    council.write()
    (outcome,) = council.outcomes()
    assert (outcome.state, outcome.reason, outcome.attempts) == (State.PENDING, Reason.BUSY, 0)
    assert outcome.due_at == council.now + timedelta(seconds=seconds)

    google.meddle = untouched
    council.later(hours=1)
    council.write()
    assert council.staff.outcomes(council.feed.name) == [BOOK, OTHER]
    assert hold(api) == (3, 3, 3)


@every_google
def test_the_longer_the_drive_is_away_the_less_often_it_is_asked(council: Council, google: Google) -> None:
    council.look()
    google.meddle = refusing(503, "backendError")
    pauses = []
    for _ in range(6):
        council.send()
        due = council.ledger.next_due(council.queue)
        assert due is not None
        pauses.append((due - council.now).total_seconds())
        council.now = due
    assert pauses == [30, 120, 480, 1920, 3600, 3600]
    assert council.sheet().attempts == 0


@every_google
@pytest.mark.parametrize("meddling", [cutting, refusing(503, "backendError"), refusing(404, "notFound")])
def test_a_listing_that_fails_half_way_is_no_folder_without_the_others(
    council: Council, google: Google, api: HereToHelp, meddling: Meddling
) -> None:
    council.drop("b.csv", *people(1, council.feed, start=10))
    google.page = 1

    def break_off() -> None:
        google.meddle = lambda asked, forward: meddling(asked, forward) if "pageToken" in asked.path else forward(asked)

    council.drive.sheets([council.feed.name], council.now)  # so that it has a token
    break_off()
    with pytest.raises(DriveError):
        council.look()
    assert council.sheets() == []
    google.meddle = untouched
    assert council.look().seen == 2

    break_off()
    council.send()
    assert {(item.state, item.attempts) for item in council.sheets()} == {(State.PENDING, 0)}
    assert api.received() == []
    google.meddle = untouched
    council.settle()
    council.write()
    assert hold(api) == (4, 4, 4)

    break_off()
    with pytest.raises(DriveError):
        find_missing(council.writing(), DAY)
    google.meddle = untouched
    assert find_missing(council.writing(), DAY) == []


@every_google
def test_a_sheet_edited_in_the_middle_of_reading_is_sent_as_it_is_then(
    council: Council, google: Google, api: HereToHelp
) -> None:
    council.look()
    google.meddle = after(READING, lambda: council.drop("a.csv", *people(4, council.feed)))
    council.send()
    assert (council.sheet().state, council.sheet().reason) == (State.SUPERSEDED, Reason.CHANGED)
    assert api.received() == []
    council.settle()
    assert council.results() == {"sent": 4}
    assert hold(api) == (4, 4, 4)


@every_google
def test_a_sheet_removed_in_the_middle_of_reading_is_sent_once_it_is_back(
    council: Council, google: Google, api: HereToHelp
) -> None:
    council.look()
    back: list[Callable[[], object]] = []
    google.meddle = after(READING, lambda: back.append(council.staff.take_away(council.feed.name, "a.csv")))
    council.send()
    assert (council.sheet().state, council.sheet().reason) == (State.PENDING, Reason.GONE)
    assert api.received() == []
    back[0]()
    council.later(minutes=1)
    council.settle()
    assert council.results() == {"sent": 3}


@every_google
def test_an_outcome_of_a_sheet_that_is_edited_meanwhile_is_not_mixed_of_both(council: Council, google: Google) -> None:
    council.settle()
    google.meddle = after(READING, lambda: council.drop("a.csv", *people(4, council.feed)))
    council.write()
    assert council.staff.outcomes(council.feed.name) == []
    council.settle()
    council.later(minutes=1)
    council.write()
    told = council.told(BOOK, "hackney_cases")
    assert [row["outcome"] for row in told] == ["sent before"] * 3 + ["sent"]


@pytest.mark.parametrize("staff", ["google sheets"], indirect=True)
@pytest.mark.parametrize("lost", ["request", "reply"])
@pytest.mark.parametrize("step", [11, 12, 13, 18])  # the old one trashed, the new one named, the next made and named
def test_an_outcome_that_is_cut_while_it_is_written_again_never_stands_twice(
    council: Council, google: Google, api: HereToHelp, step: int, lost: str
) -> None:
    council.settle()
    council.write()
    calls = len(api.received())
    assert council.ledger.reopen([item.id for item in council.outcomes()], council.now, Reason.REPLAYED) == 1
    google.asked.clear()
    made: list[str] = []

    def dying(asked: Asked, forward: Forward) -> Answer:
        if asked.method in {"POST", "PATCH"} and READING[0] not in asked.path:
            made.append(asked.method)
        if len(made) < step:
            return forward(asked)
        last = asked.method in {"POST", "PATCH"} and len(made) == step
        return cutting(asked, forward) if last and lost == "reply" else refusal(503, "backendError")

    google.meddle = dying
    council.write()
    google.meddle = untouched
    assert len(made) >= step
    assert [item.state for item in council.outcomes()] == [State.PENDING]
    council.later(hours=2)
    council.write()
    assert [item.state for item in council.outcomes()] == [State.SETTLED]
    assert council.staff.outcomes(council.feed.name) == [BOOK, OTHER]
    assert len(council.told(BOOK, "hackney_cases")) == 3
    assert len(api.received()) == calls


@every_google
def test_nothing_of_a_person_is_in_ledger_logs_or_addresses_whatever_google_says(
    council: Council, google: Google, caplog: pytest.LogCaptureFixture
) -> None:
    words = ("Lovelace", "McTesty", "Sample0", "7000000000", "02000000001", "about 0", "Canary")
    council.drop("Ada Lovelace.csv", *people(5, council.feed))
    with caplog.at_level(logging.DEBUG):
        council.look()
        google.meddle = refusing(403, "insufficientFilePermissions")  # whose message has a name
        council.send()
        google.meddle = untouched
        council.later(hours=1)
        council.settle()
        google.meddle = refusing(500, "internalError")
        council.write()
        google.meddle = untouched
        council.later(hours=1)
        council.write()
    assert any("Lovelace" in name for name in council.staff.outcomes(council.feed.name))
    assert caplog.records
    facts = receipts.write_day(open_objects((council.folder / "lake").as_uri()), council.ledger, DAY.first)
    told = str(pq.read_table(council.folder / "lake" / facts["output"]).to_pylist())
    assert facts["rows"] > 0
    kept = b"".join(path.read_bytes() for path in council.folder.glob("ledger.db*"))
    addresses = " ".join(asked.path for asked in google.asked)
    for word in words:
        assert word not in caplog.text
        assert word not in told
        assert word not in addresses
        assert word.encode() not in kept


@pytest.mark.parametrize("staff", ["google sheets"], indirect=True)
def test_a_copy_of_a_native_sheet_sends_nothing_anew(council: Council, api: HereToHelp) -> None:
    """It has no checksum to be known by, so its rows are."""
    council.drop("copy.csv", *people(3, council.feed))
    council.settle()
    assert [item.state for item in council.sheets()] == [State.SETTLED, State.SETTLED]
    assert hold(api) == (3, 3, 3)
    assert len(api.received()) == 3
