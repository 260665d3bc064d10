"""From SeaweedFS to a queue: what its filer tells a webhook, written to SQS as S3 would have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.moto import running_moto
from pipelines_tests.servers.programs import HOST
from pipelines_tests.servers.queues import DeadLettered, notification
from pipelines_tests.servers.seaweedfs import BUCKET, running_seaweedfs


@contextmanager
def running_bridge(queue: DeadLettered, bucket: str, folder: Path) -> Iterator[set[str]]:
    """Tells a queue of a bucket's objects; a SeaweedFS that is started in ``folder`` meanwhile tells the bridge.

    Yields the keys that the queue was told of, which become more.
    """
    known: set[str] = set()

    class Bridge(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if key := _written(told, bucket):
                queue.send([notification(bucket, key)])
                known.add(key)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is said on the terminal."""

    with ThreadingHTTPServer((HOST, 0), Bridge) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        endpoint = f"http://{HOST}:{server.server_port}/"
        words = f'[notification.webhook]\nenabled = true\nendpoint = "{endpoint}"\nbackoff_seconds = 1\n'
        (folder / "notification.toml").write_text(words)
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()


def _written(told: dict[str, Any], bucket: str) -> str:
    """The object that was written, if it is that: a folder is none, nor is a file of its own."""
    entry, key = told["message"].get("new_entry"), str(told["key"]).partition(f"/buckets/{bucket}/")[2]
    return key if entry and not entry.get("is_directory") else ""


@dataclass(frozen=True, slots=True)
class Told:
    """A bucket, and the queue that is told of what is written to it; ``keys`` has those that it was told of."""

    account: Account
    queue: DeadLettered
    keys: set[str]


@contextmanager
def running_told(folder: Path) -> Iterator[Told]:
    """A SeaweedFS of its own that tells a queue on moto's SQS, both in use; for that it runs in the present folder."""
    with ExitStack() as stack:
        (place := folder / "moto").mkdir()
        moto = stack.enter_context(running_moto(place))
        stack.enter_context(moto.in_use())
        queue = DeadLettered.make()
        keys = stack.enter_context(running_bridge(queue, BUCKET, Path.cwd()))
        (place := folder / "seaweedfs").mkdir()
        seaweedfs = stack.enter_context(running_seaweedfs(place))
        stack.enter_context(seaweedfs.in_use(AWS_ENDPOINT_URL_SQS=moto.endpoint))
        yield Told(seaweedfs, queue, keys)
