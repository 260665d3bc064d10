"""Runs that die without a word, and runs that go on at once: the API ends as if nothing had happened."""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipelines.adapters import here_to_help
from pipelines.core.work import Reason, State
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.resending import What, resend
from pipelines.sandbox.here_to_help import Behaviour, Call, Cut, HereToHelp, give_way, running
from pipelines_tests.crashes.losses import Died
from pipelines_tests.crashes.steps import watch_opened
from pipelines_tests.domains.residents.conftest import Open
from pipelines_tests.domains.residents.council import KEY, TOLD_BY_PHONES, Council, hold, people, run_elsewhere

LEASE = 61


@pytest.mark.parametrize("feed", ["contact_tracing", "self_isolation"])
def test_killed_ten_times_the_api_ends_as_after_one_run(
    open_council: Open, api: HereToHelp, tmp_path: Path, feed: str
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    council = open_council(feed)
    rows = people(500, council.feed)
    council.drop("a.csv", *rows)
    council.look()
    api.behave(Behaviour(delay=0.02))
    for number in range(10):
        calls = len(api.received()) + chance.randint(1, 50)
        with run_elsewhere(council, f"killed {number}"):
            _wait_until(lambda calls=calls: len(api.received()) >= calls)  # type: ignore[misc]  # the loop's own
        council.later(seconds=LEASE)
    done = council.effect_states()[State.SETTLED]
    assert 0 < done < 1000
    api.behave()
    council.settle()
    results = council.results()
    assert results["sent"] + results.get("sent before", 0) == 500
    assert _stored(api) == _uninterrupted(tmp_path, council, rows)
    assert hold(api)[0] == 500


def test_killed_between_the_call_and_its_record_nothing_is_added_twice(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(1, council.feed))
    council.look()
    api.behave(Behaviour(delay=0.7, times=1))
    with run_elsewhere(council, "killed") as child:
        _wait_until(lambda: council.effect_states() == {State.CLAIMED: 2})
        with _nobody_writes(council):
            _wait_until(lambda: len(api.received()) == 1)
            child.kill()
    assert council.send("too early") == []
    council.later(seconds=LEASE)
    council.settle()
    assert council.results() == {"sent": 1}
    assert hold(api) == (1, 1, 1)


def test_a_row_without_a_key_in_hand_when_its_run_died_is_told_and_not_repeated(
    council: Council, api: HereToHelp
) -> None:
    row = people(1, council.feed)[0] | {"Account ID": ""}
    council.drop("a.csv", row)
    council.look()
    api.behave(Behaviour(delay=0.7, times=1))
    with run_elsewhere(council, "killed") as child:
        _wait_until(lambda: council.effect_states() == {State.CLAIMED: 2})
        child.kill()
    council.later(seconds=LEASE)
    council.settle()
    assert council.results() == {"unknown": 1}
    assert council.effect_states() == {State.DEAD: 2}
    assert len(api.received()) <= 1


@pytest.mark.parametrize("step", ["post_help_request", "post_case_note", "post_resident_request"])
def test_what_a_dead_run_had_in_hand_of_a_row_that_was_then_edited_is_there_once_and_waits_no_more(
    open_council: Open, api: HereToHelp, step: str
) -> None:
    council = open_council("self_isolation")
    row = people(1, council.feed)[0]
    council.drop("a.csv", row)
    council.look()
    with pytest.raises(Died):
        _die_after(council, step)
    council.later(seconds=LEASE)
    council.drop("a.csv", row | {"Email": "other@sample.test"})
    council.settle()
    assert council.results() == {"sent": 1}
    assert hold(api) == (1, 2, 2)
    assert council.effect_states().keys() == {State.SETTLED, State.SUPERSEDED}


@pytest.mark.parametrize("is_put_off", [False, True], ids=["at once", "after a wait"])
def test_a_row_that_a_person_had_sent_once_more_is_so_once_though_the_run_died_and_the_row_left_its_sheet(
    council: Council, api: HereToHelp, *, is_put_off: bool
) -> None:
    row, other = people(2, council.feed)
    row["Account ID"] = ""
    _lose_and_resend(council, api, row, other)
    if is_put_off:
        api.behave(Behaviour(status=429, last_names="Sample0"))
        council.send()
        assert council.effect_states()[State.PENDING]
        api.behave()
        council.later(minutes=5)
    with pytest.raises(Died):
        _die_after(council, "post_help_request")
    assert hold(api) == (2, 2, 1)
    council.later(seconds=LEASE)
    council.drop("a.csv", other)
    council.settle()
    council.later(minutes=5)
    council.drop("a.csv", row, other)
    council.settle()
    assert council.sheets()[0].detail["results"] == {"sent": 1, "unknown": 1}
    assert {item.reason for item in council.effects() if item.state is State.DEAD} == {Reason.CRASHED}
    assert hold(api) == (2, 2, 1)


def test_a_row_that_a_person_had_sent_once_more_is_so_once_though_the_run_died_and_the_row_was_edited(
    open_council: Open, api: HereToHelp
) -> None:
    """Its edit takes its place under its key; then it is put back as it was."""
    council = open_council("nsss")
    (row,) = people(1, council.feed)
    row |= TOLD_BY_PHONES
    _lose_and_resend(council, api, row)
    with pytest.raises(Died):
        _die_after(council, "post_help_request")
    council.later(seconds=LEASE)
    council.drop("a.csv", row | {"address_line1": "another street"})
    council.settle()
    assert council.results() == {"sent": 1}
    posts = _posts(api)
    council.later(minutes=5)
    council.drop("a.csv", row)
    council.settle()
    assert council.sheets()[0].detail["results"] == {"unknown": 1}
    assert _posts(api) == posts


def test_two_runs_at_once_send_each_row_once(council: Council, api: HereToHelp) -> None:
    council.drop("a.csv", *people(200, council.feed))
    council.look()
    api.gap = give_way
    with ExitStack() as stack:
        children = [stack.enter_context(run_elsewhere(council, f"run {number}")) for number in range(2)]
        for child in children:
            child.wait()
    assert council.sheet().state is State.SETTLED
    assert hold(api) == (200, 200, 200)
    assert len(api.received()) == 200


def test_a_run_that_lost_its_sheet_sends_nothing_that_another_one_has(council: Council, api: HereToHelp) -> None:
    """Its clock stood still: the other one took the sheet over, and with it what was in hand."""
    council.drop("a.csv", *people(60, council.feed))
    council.look()
    api.behave(Behaviour(delay=0.05))
    with run_elsewhere(council, "slow") as slow:
        _wait_until(lambda: len(api.received()) > 5)
        council.later(seconds=LEASE)
        council.send("quick")
        slow.wait()
    council.later(seconds=LEASE)
    council.settle()
    assert hold(api) == (60, 60, 60)
    assert council.sheet().state is State.SETTLED


def _lose_and_resend(council: Council, api: HereToHelp, *rows: dict[str, str]) -> None:
    """The request of the first row never arrives, of which nobody knows; a person has it sent again."""
    api.behave(Behaviour(cut=Cut.BEFORE, last_names="Sample0"))
    council.drop("a.csv", *rows)
    council.settle()
    api.behave()
    assert council.results()["unknown"] == 1
    resend(council.feed, council.ledger, council.sheet().name, What.UNKNOWN, council.now, dry_run=False)


def _posts(api: HereToHelp) -> int:
    return len([one for one in api.received() if one.call is Call.POST_HELP_REQUEST])


def _die_after(council: Council, step: str) -> None:
    def die(name: str) -> None:
        if name == f"HereToHelp.{step}":
            raise Died

    work = council.work("dead")
    watched = replace(work, api=lambda: watch_opened(work.api(), here_to_help.HereToHelp, die))
    (item,) = council.ledger.claim(
        council.queue, owner="dead", limit=1, now=council.now, lease=council.terms.lease, destination=council.url
    )
    watched.outcome(item, lambda _: True)


def _uninterrupted(folder: Path, council: Council, rows: list[dict[str, str]]) -> str:
    with running(folder / "other api", KEY) as api:
        other = Council(folder / "other", api.url, FEEDS[council.feed.name])
        with closing(other.ledger):
            other.drop("a.csv", *rows)
            other.settle()
        return _stored(api)


def _stored(api: HereToHelp) -> str:
    """All that the API has, but for when notes were written."""

    def text(note: str) -> str:
        return json.loads(note)["note"] if note.startswith("{") else note

    return api.digest(text)


@contextmanager
def _nobody_writes(council: Council) -> Iterator[None]:
    """Holds the ledger, so that a run can't record what it did."""
    engine = sa.create_engine(f"sqlite:///{council.folder / 'ledger.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
    engine.dispose()


def _wait_until(it_is_so: Callable[[], bool]) -> None:
    gives_up = time.monotonic() + 30
    while not it_is_so():
        assert time.monotonic() < gives_up
        time.sleep(0.01)
