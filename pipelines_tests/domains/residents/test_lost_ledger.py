"""A ledger that was lost: what may have been sent since the last receipts is looked for before it is sent."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.adapters.here_to_help import open_here_to_help
from pipelines.adapters.objects import open_objects
from pipelines.core.work import Reason, State
from pipelines.domains.residents import receipts
from pipelines.domains.residents.resending import What, resend
from pipelines.sandbox.here_to_help import Behaviour, HereToHelp
from pipelines_tests.domains.residents.conftest import Lose, Open
from pipelines_tests.domains.residents.council import KEY, Council, hold, people, stored

DAY = "2021-11-20"
NOTED_ONCE = (Behaviour(times=1, calls="post_case_note"), Behaviour(status=429, calls="post_case_note"))
"""The note of a row's request is taken, and then no more."""


def _write_receipts(council: Council) -> None:
    receipts.write_day(open_objects((council.folder / "lake").as_uri()), council.ledger, DAY)


def _made_with_its_case(council: Council, api: HereToHelp) -> None:
    """A row's request, its note and its case are there, and the case's note is not."""
    api.behave(*NOTED_ONCE)
    council.drop("a.csv", *people(1, council.feed))
    council.look()
    council.send()
    api.behave()
    assert hold(api) == (1, 2, 1)


# The note of an extra case


def test_a_case_that_was_made_just_before_gets_its_note(
    open_council: Open, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    council = open_council("self_isolation")
    _made_with_its_case(council, api)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == (1, 2, 2)
    assert council.results() == {"sent": 1}


def test_a_case_that_has_its_note_gets_none(open_council: Open, api: HereToHelp, lose_the_ledger: Lose) -> None:
    """The receipts tell of the case; its note was added after they were written."""
    council = open_council("self_isolation")
    _made_with_its_case(council, api)
    _write_receipts(council)
    council.settle()
    assert hold(api) == (1, 2, 2)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == (1, 2, 2)
    assert council.sheet().state is State.SETTLED


def test_a_case_of_another_feed_gets_no_note(open_council: Open, api: HereToHelp, lose_the_ledger: Lose) -> None:
    council, shielding = open_council("self_isolation"), open_council("spl")
    row = people(1, council.feed)[0]
    api.behave(Behaviour(status=400, calls="post_case_note"))
    shielding.drop("b.csv", {"Traced_NHSNUMBER": row["NHS Number"]})
    shielding.settle()
    api.behave()
    assert hold(api) == (1, 1, 0)
    council.drop("a.csv", row)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == (1, 2, 1)


def test_a_case_that_staff_made_gets_no_note(open_council: Open, api: HereToHelp, lose_the_ledger: Lose) -> None:
    """Its resident is to be called."""
    council = open_council("self_isolation")
    row = people(1, council.feed)[0] | {"LA Support Required": "1"}
    council.drop("a.csv", row | {"LA Support Letter Received": "0"})
    council.settle()
    asyncio.run(_make_case(council, resident=1))
    assert hold(api) == (1, 2, 1)
    council.drop("a.csv", row)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == (1, 2, 1)


def test_a_case_in_which_somebody_wrote_is_left_alone(
    open_council: Open, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    """It is as ours are, and nobody knows whose it is."""
    council = open_council("self_isolation")
    _made_with_its_case(council, api)
    asyncio.run(_write_into(council, resident=1, case=2))
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == (1, 2, 2)


# Sheets that were given up


def test_a_sheet_that_was_gone_and_came_back_is_doubted(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    _is_gone(council)
    _write_receipts(council)
    _comes_back(council)
    council.settle()
    assert hold(api) == (2, 2, 2)
    lose_the_ledger(council)
    council.settle()
    assert hold(api) == (2, 2, 2)
    assert council.effect_states() == {State.SETTLED: 2, State.DEAD: 1}
    assert council.results() == {"sent": 1, "unknown": 1}


def test_a_row_that_was_given_up_and_sent_by_hand_is_looked_for_when_it_is_again(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    api.behave(Behaviour(status=429))
    council.drop("a.csv", *people(1, council.feed))
    council.settle()
    assert council.results() == {"given up": 1}
    api.behave()
    _write_receipts(council)
    _resend(council, What.GIVEN_UP)
    assert hold(api) == (1, 1, 1)
    lose_the_ledger(council)
    _resend(council, What.UNKNOWN)
    assert hold(api) == (1, 1, 1)
    assert council.results() == {"sent": 1}


@pytest.mark.parametrize("status", [400, 429])
def test_a_row_without_a_key_that_was_given_up_can_still_be_sent_by_hand(
    council: Council, api: HereToHelp, lose_the_ledger: Lose, status: int
) -> None:
    api.behave(Behaviour(status=status))
    council.drop("a.csv", people(1, council.feed)[0] | {"Account ID": ""})
    council.settle()
    api.behave()
    _write_receipts(council)
    lose_the_ledger(council)
    _resend(council, What.REFUSED if status == 400 else What.UNKNOWN)
    assert hold(api) == (1, 1, 1)


# Sheets that were away when the ledger was restored


def test_a_sheet_that_was_away_and_is_put_back_is_doubted(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    rows = people(2, council.feed)
    council.drop("b.csv", rows[0], rows[1] | {"Account ID": ""})
    council.settle()
    before = hold(api)
    council.later(minutes=5)
    away = _path(council, "b.csv").rename(council.folder / "away.csv")
    lose_the_ledger(council)
    council.settle()
    council.later(days=1)
    away.rename(_path(council, "c.csv"))
    council.settle()
    assert hold(api) == before
    assert council.results() == {"sent": 1, "unknown": 1}


def test_rows_that_the_receipts_tell_of_are_not_sent_again_whatever_sheet_they_are_in(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    """The sheet was half sent when the receipts were written, and its copy looks new."""
    rows = people(3, council.feed)
    keyless = rows[1] | {"Account ID": ""}
    api.behave(Behaviour(status=429, last_names="Sample2"))
    council.drop("b.csv", rows[0], keyless, rows[2])
    council.look()
    council.send()
    assert council.sheet().state is State.PENDING
    _write_receipts(council)
    api.behave()
    _path(council, "b.csv").unlink()
    lose_the_ledger(council)
    council.settle()
    council.later(days=1)
    council.drop("c.csv", keyless, rows[0], rows[2])
    os.utime(_path(council, "c.csv"), (council.now.timestamp(), council.now.timestamp()))
    council.look()
    assert not any("doubtful" in item.detail for item in council.sheets())
    council.settle()
    assert hold(api) == (3, 3, 3)
    assert council.results() == {"sent": 1, "sent before": 2}


def test_an_older_sheet_that_is_edited_says_nothing_new_of_its_other_rows(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    row, other = people(2, council.feed)
    council.drop("a.csv", row | {"Email": "first@sample.test"}, other)
    council.settle()
    council.later(minutes=5)
    council.drop("b.csv", row | {"Email": "last@sample.test"})
    council.settle()
    _write_receipts(council)
    lose_the_ledger(council)
    council.settle()
    council.later(days=1)
    council.drop("a.csv", row | {"Email": "first@sample.test"}, other | {"Phone": "02012345678"})
    council.settle()
    assert "last@sample.test" in stored(api, "EmailAddress")
    assert council.results() == {"sent": 1, "sent before": 1}


def test_a_sheet_that_is_known_is_known_wherever_it_is_put_back(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    council.drop("b.csv", *people(2, council.feed))
    council.settle()
    _write_receipts(council)
    calls = len(api.received())
    away = _path(council, "b.csv").rename(council.folder / "away.csv")
    lose_the_ledger(council)
    council.settle()
    council.later(days=1)
    away.rename(_path(council, "c.csv"))
    council.settle()
    assert len(api.received()) == calls
    assert council.sheet().state is State.SETTLED


def _path(council: Council, name: str) -> Path:
    return council.folder / "drive" / council.feed.name / "inbound" / name


def _resend(council: Council, what: What) -> None:
    council.later(hours=1)
    resend(council.feed, council.ledger, council.sheet().name, what, council.now, dry_run=False)
    council.settle()


def _is_gone(council: Council) -> None:
    """A sheet of two rows, one of them without a key, was taken away before it was sent, and given up."""
    first, second = people(2, council.feed)
    council.drop("a.csv", first, second | {"Account ID": ""})
    council.look()
    _path(council, "a.csv").rename(council.folder / "away.csv")
    while council.sheet().state is State.PENDING:
        council.send()
        council.later(hours=1)
    assert (council.sheet().state, council.sheet().reason) == (State.DEAD, Reason.GONE)


async def _make_case(council: Council, resident: int) -> None:
    async with open_here_to_help(council.url, SecretStr(KEY)) as api:
        made = await api.post_resident_request(resident, {"HelpNeeded": "Shielding", "CallbackRequired": True})
        assert made.body is not None


async def _write_into(council: Council, resident: int, case: int) -> None:
    async with open_here_to_help(council.url, SecretStr(KEY)) as api:
        assert (await api.post_case_note(resident, case, "seen")).body is not None


def _comes_back(council: Council) -> None:
    (council.folder / "away.csv").rename(_path(council, "a.csv"))


def test_a_comment_that_was_added_since_is_looked_for_until_its_sheet_is_sent(
    council: Council, api: HereToHelp, lose_the_ledger: Lose
) -> None:
    """Its request is known again when the first look for it fails."""
    row = people(1, council.feed)[0] | {"House Number": ""}
    council.drop("a.csv", row | {"Comments": "first"})
    council.settle()
    _write_receipts(council)
    council.drop("a.csv", row | {"Comments": "second"})
    council.settle()
    assert hold(api) == (1, 1, 2)
    lose_the_ledger(council)
    api.behave(Behaviour(status=429, calls="get_help_request"))
    council.look()
    council.send()
    api.behave()
    council.settle()
    assert council.results() == {"sent": 1}
    assert hold(api) == (1, 1, 2)
