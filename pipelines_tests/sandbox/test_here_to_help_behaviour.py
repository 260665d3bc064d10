"""What the stand-in does on demand, what it writes down, and whether two runs came to the same."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipelines.sandbox.here_to_help import (
    Behaviour,
    Call,
    Counts,
    Cut,
    HereToHelp,
    Received,
    Throttle,
    running,
)
from pipelines_tests.sandbox.plain_calls import KEY, call, get, note, post


@pytest.fixture
def api(tmp_path: Path) -> Iterator[HereToHelp]:
    with running(tmp_path / "api", KEY) as started:
        yield started


def send(api: HereToHelp, name: str = "A", key: str = KEY) -> int:
    return call(api.url, "POST", "v3/help-requests", {"LastName": name, "NhsNumber": name}, key).status


# Faults


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, '{"message":"Forbidden"}'),
        (429, '{"message":"Too Many Requests"}'),
        (500, '{"message":"Internal server error"}'),
        (504, '{"message":"Endpoint request timed out"}'),
    ],
)
@pytest.mark.parametrize("stored", [False, True])
def test_an_answer_that_was_told_hides_what_was_done(api: HereToHelp, status: int, text: str, stored: bool) -> None:
    api.behave(Behaviour(status=status, stored=stored))
    said = call(api.url, "POST", "v3/help-requests", {"NhsNumber": "1"})
    assert (said.status, said.text) == (status, text)
    assert api.count().help_requests == stored
    assert api.received() == [Received(Call.POST_HELP_REQUEST, status, stored)]


def test_retry_after_is_sent_as_it_was_told(api: HereToHelp) -> None:
    api.behave(Behaviour(status=429, retry_after="7", times=1), Behaviour(status=429))
    first, second = (call(api.url, "GET", "v3/healthcheck/ping").headers.get("Retry-After") for _ in range(2))
    assert (first, second) == ("7", None)


@pytest.mark.parametrize("cut", Cut)
def test_a_cut_connection_gives_no_answer(api: HereToHelp, cut: Cut) -> None:
    api.behave(Behaviour(cut=cut, times=1))
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        send(api)
    assert api.count().help_requests == (cut is Cut.AFTER)
    assert api.received() == [Received(Call.POST_HELP_REQUEST, None, cut is Cut.AFTER)]


def test_a_refusal_repeats_what_was_sent(api: HereToHelp) -> None:
    """As stack traces do: whoever reads it must not keep it."""
    api.behave(Behaviour(status=400))
    said = call(api.url, "POST", "v3/help-requests", {"LastName": "Canary"})
    assert said.text.startswith("Record not created. System.InvalidOperationException")
    assert "Canary" in said.text


def test_a_behaviour_holds_for_its_rows_its_calls_and_its_times(api: HereToHelp) -> None:
    api.behave(
        Behaviour(status=400, last_names="Planted*"),
        Behaviour(status=500, calls="post_*", times=2),
        Behaviour(status=503, calls=Call.PING),
    )
    assert [send(api, name) for name in ("A", "Planted-1", "B", "C", "Planted-2")] == [500, 400, 500, 201, 400]
    assert call(api.url, "GET", "v3/healthcheck/ping").status == 503
    assert call(api.url, "GET", "v4/residents/1/help-requests").status == 200
    api.behave()
    assert send(api, "Planted-1") == 201


def test_another_process_can_tell_the_behaviour(api: HereToHelp) -> None:
    base = api.url.removesuffix("/api")
    told = [{"status": 429, "retry_after": "3", "times": 1}, {"cut": "after", "last_names": "x"}]
    assert call(base, "PUT", "sandbox/behaviour", told).status == 204
    assert [send(api), send(api)] == [429, 201]
    assert call(base, "PUT", "sandbox/behaviour", [{"status": "soon"}]).status == 400
    assert call(base, "PUT", "sandbox/behaviour", [], key="another").status == 403


@pytest.mark.parametrize(("hang", "stored"), [(Behaviour(delay=600), False), (Behaviour(wait=600), True)])
def test_it_ends_though_requests_hang(tmp_path: Path, hang: Behaviour, stored: bool) -> None:
    with running(tmp_path, KEY) as api:
        connection = HTTPConnection(urlsplit(api.url).netloc, timeout=10)
        connection.request("GET", "/api/v3/healthcheck/ping")  # asyncio leaks a connection that it is just accepting
        connection.getresponse().read()
        api.behave(hang)
        body = json.dumps({"NhsNumber": "1"})
        connection.request("POST", "/api/v3/help-requests", body, {"x-api-key": KEY})
        while stored and not api.count().help_requests:  # until it came to where it hangs
            time.sleep(0.01)
    connection.close()
    assert "sandbox-here-to-help" not in {thread.name for thread in threading.enumerate()}
    with running(tmp_path, KEY) as again:
        assert again.count().help_requests == stored


# The gateway's limit


def test_the_bucket_is_emptied_at_once_and_fills_by_the_rate() -> None:
    now = [0.0]
    throttle = Throttle(rate=100, burst=200, clock=lambda: now[0])
    assert [throttle.take() for _ in range(201)] == [True] * 200 + [False]
    now[0] += 0.05
    assert [throttle.take() for _ in range(6)] == [True] * 5 + [False]
    now[0] += 3600
    assert [throttle.take() for _ in range(201)] == [True] * 200 + [False]


def test_over_the_limit_nothing_is_carried_out(tmp_path: Path) -> None:
    throttle = Throttle(rate=1, burst=2, clock=lambda: 0.0)
    with running(tmp_path, KEY, throttle=throttle) as api:
        assert send(api, "A", key="another") == 403  # who has no key takes nothing of it
        assert [send(api, name) for name in "ABC"] == [201, 201, 429]
        assert api.count().residents == 2
        api.throttle = None
        assert send(api, "C") == 201


# What was stored


def fill(api: HereToHelp, order: list[str], day: str = "Mon") -> None:
    for name in order:
        request_id = post(api.url, LastName=name, NhsNumber=name, Metadata={"spl_id": name}, CallbackRequired=False)
        stored = get(api.url, request_id)
        for text in ("first", f"{day}: second"):
            note(api.url, stored["ResidentId"], request_id, text)


def test_what_was_stored_outlives_a_restart(tmp_path: Path) -> None:
    with running(tmp_path, KEY) as api:
        fill(api, ["A", "B"])
        before = api.digest()
    with running(tmp_path, KEY) as again:
        assert again.count() == Counts(residents=2, help_requests=2, case_notes=4)
        assert again.digest() == before
        assert post(again.url, NhsNumber="A", Metadata={"spl_id": "A"}) == 1


def test_two_runs_that_stored_the_same_have_one_digest(tmp_path: Path) -> None:
    with running(tmp_path / "1", KEY) as one, running(tmp_path / "2", KEY) as two:
        assert one.digest() == two.digest()
        fill(one, ["A", "B", "C"])
        fill(two, ["C", "A", "B"])
        assert one.digest() == two.digest()
        fill_again = {"LastName": "B", "NhsNumber": "B", "Metadata": {"spl_id": "B"}, "CallbackRequired": False}
        post(two.url, **fill_again)  # finds everything: a repeat without a note changes nothing
        assert one.digest() == two.digest()


def test_the_digest_may_pass_over_when_a_note_was_written(tmp_path: Path) -> None:
    with running(tmp_path / "1", KEY) as one, running(tmp_path / "2", KEY) as two:
        fill(one, ["A"], day="Mon")
        fill(two, ["A"], day="Tue")
        assert one.digest() != two.digest()
        assert one.digest(lambda text: text.split(": ")[-1]) == two.digest(lambda text: text.split(": ")[-1])


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(("POST", "v3/help-requests", {"NhsNumber": "B"}), id="one more resident"),
        pytest.param(("POST", "v3/help-requests", {"NhsNumber": "A"}), id="one more request"),
        pytest.param(("POST", "v4/residents/1/help-requests", {}), id="one more case"),
        pytest.param(("POST", "v4/residents/1/help-requests/1/case-notes", {"CaseNote": "first"}), id="note twice"),
        pytest.param(
            ("POST", "v3/help-requests", {"NhsNumber": "A", "Metadata": {"spl_id": "A"}, "LastName": "Z"}),
            id="another name",
        ),
        pytest.param(
            ("POST", "v3/help-requests", {"NhsNumber": "A", "Metadata": {"spl_id": "A"}, "EmailAddress": ""}),
            id="a blank where nothing was",
        ),
    ],
)
def test_whatever_differs_shows_in_the_digest(api: HereToHelp, more: tuple[str, str, object]) -> None:
    fill(api, ["A"])
    before = api.digest()
    assert call(api.url, *more).status == 201
    assert api.digest() != before


def test_a_note_under_another_resident_shows_in_the_digest(tmp_path: Path) -> None:
    with running(tmp_path / "1", KEY) as one, running(tmp_path / "2", KEY) as two:
        for api, resident_id in ((one, 1), (two, 2)):
            post(api.url, NhsNumber="A")
            post(api.url, NhsNumber="B")
            note(api.url, resident_id, 1, "n")
        assert one.count() == two.count()
        assert one.digest() != two.digest()


def test_a_taken_port_is_an_error_of_the_caller(api: HereToHelp, tmp_path: Path) -> None:
    port = urlsplit(api.url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"), running(tmp_path / "other", KEY, port):
        pass
