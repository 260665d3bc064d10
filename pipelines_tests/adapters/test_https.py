"""One PUT is one request: what the other side answers, and what is known when it does not."""

import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.https import Credentials, Https, open_https, read_retry_after
from pipelines.core.delivery import Answer, Failure
from pipelines.sandbox.aae import Aae, Behaviour, Cut
from pipelines_tests.adapters.wires import (
    JSON,
    KEY,
    NOW,
    plain_server,
    put,
    put_one,
    read_request,
    run_plain,
)

# Answers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 307, 400, 401, 404, 409, 429, 500, 503])
def test_every_status_is_an_answer(aae: Aae, credentials: Credentials, status: int) -> None:
    aae.behave(Behaviour(status=status))
    assert put(aae.url, credentials) == Answer(status=status)


def test_what_was_sent_arrives_unchanged(aae: Aae, credentials: Credentials) -> None:
    body = bytes(range(256)) * 10_000  # more than aiohttp likes to write in one go

    async def send() -> Answer:
        async with open_https(aae.url + "/", credentials) as https:
            query = {"feedName": "Epidemiological"}
            return await https.put("events.json", body, content_type=JSON, query=query)

    assert asyncio.run(send()).status == 201
    assert (aae.folder / "objects" / "events.json").read_bytes() == body
    newest = aae.received()[-1]
    assert (newest.query, newest.content_type) == ({"feedName": "Epidemiological"}, JSON)


@pytest.mark.parametrize(
    "name", ["a b.json", "é漢字😀.json", "100%.json", "a%2Fb.json", "q?x=1&y#z.json", "+;=@:.json"]
)
def test_names_arrive_as_they_are(aae: Aae, credentials: Credentials, name: str) -> None:
    assert put(aae.url, credentials, name).status == 201
    assert aae.received()[-1].name == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.json", "../secret"])
def test_a_name_is_one_path_segment(credentials: Credentials, name: str) -> None:
    with pytest.raises(ValueError, match="one path segment"):
        put("https://127.0.0.1:1/c19appdata", credentials, name)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(aae: Aae, credentials: Credentials, status: int) -> None:
    """The key and the object would go to whoever the redirect names."""
    contacted: list[int] = []

    async def run() -> Answer:
        async def note(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
            contacted.append(1)

        async with plain_server(note) as elsewhere, open_https(aae.url, credentials) as https:
            aae.behave(Behaviour(status=status, location=elsewhere))
            return await put_one(https)

    assert asyncio.run(run()) == Answer(status=status)
    assert contacted == []


def test_retry_after_is_read_in_both_forms(aae: Aae, credentials: Credentials) -> None:
    aae.behave(Behaviour(status=429, retry_after="7"))
    assert put(aae.url, credentials) == Answer(status=429, retry_after=7)
    later = datetime.now(UTC) + timedelta(hours=1)
    aae.behave(Behaviour(status=503, retry_after=format_datetime(later, usegmt=True)))
    answer = put(aae.url, credentials)
    assert answer.status == 503
    assert answer.retry_after is not None
    assert 0 < answer.retry_after <= 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0),
        (" 120 ", 120),
        ("Sat, 01 Mar 2025 12:01:30 GMT", 90),
        ("Saturday, 01-Mar-25 12:01:30 GMT", 90),
        ("Sat Mar  1 12:01:30 2025", 90),
        ("Sat, 01 Mar 2025 11:00:00 GMT", 0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("٣", None),
    ],
)
def test_retry_after_table(value: str | None, seconds: float | None) -> None:
    assert read_retry_after(value, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d+:\d+:\d+ \S+"))
def test_no_retry_after_text_is_an_error(value: str) -> None:
    seconds = read_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize("rest", [b"x" * 10, b"x" * 100_000])
def test_the_status_counts_though_the_body_of_the_answer_is_cut_or_huge(rest: bytes) -> None:
    """Losing the status would send again what was delivered."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n" + rest)
        writer.close()

    assert run_plain(answer, put_one) == Answer(status=201)


def test_the_status_counts_though_the_body_of_the_answer_never_ends() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 10\r\n\r\n")

    assert run_plain(answer, put_one, total_seconds=0.3) == Answer(status=201)


def test_an_answer_before_the_object_was_read_is_an_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    async def put_much(https: Https) -> Answer:
        return await https.put("a.json", bytes(20_000_000), content_type=JSON)

    assert run_plain(answer, put_much, total_seconds=10) == Answer(status=413)


# Failures of the wire


def test_no_answer_in_time_may_have_been_received(aae: Aae, credentials: Credentials) -> None:
    aae.behave(Behaviour(delay=60))
    assert put(aae.url, credentials, total_seconds=0.5) == Answer(failure=Failure.TIMEOUT)


def test_a_connection_not_made_in_time_sent_nothing(credentials: Credentials) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts; nobody answers the TLS handshake
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        expected = Answer(failure=Failure.TIMEOUT, maybe_received=False)
        assert put(url, credentials, connect_seconds=0.2) == expected
        assert put(url, credentials, total_seconds=0.2) == expected


def test_a_refused_connection_sent_nothing(credentials: Credentials) -> None:
    with socket.socket() as bound:  # bound but not listening: refuses, and nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        answer = put(f"https://127.0.0.1:{bound.getsockname()[1]}", credentials)
    assert answer == Answer(failure=Failure.CONNECTION, maybe_received=False)


@pytest.mark.parametrize("cut", Cut)
def test_a_cut_connection_may_have_delivered(aae: Aae, credentials: Credentials, cut: Cut) -> None:
    aae.behave(Behaviour(cut=cut))
    before = len(aae.received())
    assert put(aae.url, credentials) == Answer(failure=Failure.CONNECTION)
    assert [each.kept for each in aae.received()[before:]] == [cut is Cut.AFTER]


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-nonsense\r\n\r\n"])
def test_one_put_is_one_request_though_the_connection_is_new(reply: bytes) -> None:
    requests: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append((await read_request(reader))[0])
        writer.write(reply)
        writer.close()

    assert run_plain(answer, put_one) == Answer(failure=Failure.CONNECTION)
    assert len(requests) == 1


def test_one_put_is_one_request_though_a_kept_connection_is_dropped() -> None:
    """PUT counts as repeatable, so aiohttp would send again by itself, unseen by the policy that paces repeats."""
    requests: list[int] = []
    connections: list[int] = []

    async def answer_the_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await read_request(reader)
        requests.append(1)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await read_request(reader)
        requests.append(2)
        writer.close()

    async def put_two(https: Https) -> Answer:
        assert await put_one(https) == Answer(status=201)
        return await put_one(https)

    assert run_plain(answer_the_first, put_two) == Answer(failure=Failure.CONNECTION)
    assert (requests, connections) == ([1, 2], [1])


def test_more_puts_than_connections_wait_without_using_up_their_time() -> None:
    now_open, most = 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal now_open, most
        now_open += 1
        most = max(most, now_open)
        await read_request(reader)
        await asyncio.sleep(0.3)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        now_open -= 1
        writer.close()

    async def put_many(https: Https) -> Answer:
        answers = await asyncio.gather(*(put_one(https) for _ in range(6)))
        assert answers == [Answer(status=201)] * 6
        return answers[0]

    run_plain(answer, put_many, connections=2, total_seconds=0.8)
    assert most == 2


# Asking for the endpoint itself


def ask(url: str, credentials: Credentials) -> Answer:
    async def send() -> Answer:
        async with open_https(url, credentials) as https:
            return await https.head()

    return asyncio.run(send())


def test_the_endpoint_is_asked_with_the_key_and_for_nothing_more() -> None:
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 401 Unauthorized\r\n\r\n")

    assert run_plain(answer, lambda https: https.head()) == Answer(status=401)
    (head,) = heads
    assert head.startswith("HEAD /c19appdata HTTP/1.1\r\n")
    assert f"Ocp-Apim-Subscription-Key: {KEY}\r\n" in head


def test_asking_for_the_endpoint_stores_nothing(aae: Aae, credentials: Credentials) -> None:
    before = len(aae.received())
    answer = ask(aae.url, credentials)
    assert answer.failure is None
    assert answer.status is not None
    assert len(aae.received()) == before


def test_asking_shows_that_the_certificate_is_not_accepted(aae: Aae, credentials: Credentials) -> None:
    assert ask(aae.url, replace(credentials, certificate=None)).failure is Failure.TLS
