"""A way to a server on which what is asked and what is answered can be meddled with."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.message import Message
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import TypeAlias
from urllib.parse import urlsplit

from pipelines_tests.servers.programs import HOST


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants; ``body`` is the whole of it."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What it gets; if it is not ``whole``, the connection ends in the middle of the body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = True


Forward: TypeAlias = Callable[[Asked], Answer]
Meddling: TypeAlias = Callable[[Asked, Forward], Answer]
"""Makes an answer, with or without having asked the server for its own."""


class Disturbed:
    """The way to a server: everything asked so far, and what is done to it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.endpoint = ""
        self.asked: list[Asked] = []
        self.meddle: Meddling = untouched
        self.lock = Lock()

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            self.asked.append(asked)
        return self.meddle(asked, self._forward)

    def _forward(self, asked: Asked) -> Answer:
        """With the headers as they are: they are signed."""
        server = urlsplit(self.target)
        connection = HTTPConnection(server.hostname or "", server.port, timeout=30)
        try:
            connection.putrequest(asked.method, asked.path, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers.items():
                connection.putheader(name, value)
            connection.endheaders(asked.body or None)
            response = connection.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in _OF_A_CONNECTION}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()


_OF_A_CONNECTION = {"connection", "transfer-encoding", "keep-alive"}


def untouched(asked: Asked, forward: Forward) -> Answer:
    return forward(asked)


def refusing(status: int, code: str, *, more: str = "") -> Meddling:
    """S3's way to say no."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>No.</Message>{more}</Error>'

    def refuse(asked: Asked, _: Forward) -> Answer:
        return Answer(status, {"Content-Type": "application/xml"}, b"" if asked.method == "HEAD" else body.encode())

    return refuse


def cutting(asked: Asked, forward: Forward) -> Answer:
    """The answer ends half-way."""
    return replace(forward(asked), whole=False)


def from_the(first: int, meddling: Meddling, *, times: int = 1_000_000, otherwise: Meddling = untouched) -> Meddling:
    """Does it to some in the row of what is asked, starting at the first, the second and so on."""
    seen = 0
    lock = Lock()

    def some(asked: Asked, forward: Forward) -> Answer:
        nonlocal seen
        with lock:
            seen += 1
            chosen = first <= seen < first + times
        return meddling(asked, forward) if chosen else otherwise(asked, forward)

    return some


@contextmanager
def disturbed(target: str, certificate: Path | None = None) -> Iterator[Disturbed]:
    """A way to that endpoint, undisturbed at first; over TLS if there is a certificate, with its key."""
    way = Disturbed(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, TimeoutError):
                self.close_connection = True

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = way.answer(Asked(self.command, self.path, self.headers, body))
            self.send_response(answer.status)
            length = {"Content-Length": str(len(answer.body)), **answer.headers}
            for name, value in length.items():
                self.send_header(name, value)
            self.end_headers()
            sent = answer.body if answer.whole else answer.body[: len(answer.body) // 2]
            if self.command != "HEAD":
                self.wfile.write(sent)
            self.wfile.flush()
            if not answer.whole:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815  # names that the base class looks for

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        way.endpoint = f"{'https' if certificate else 'http'}://{HOST}:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield way
        finally:
            server.shutdown()
            thread.join()
