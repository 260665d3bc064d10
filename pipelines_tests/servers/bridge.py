"""From SeaweedFS to a queue: what its filer tells a webhook, written to SQS as S3 would have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from pipelines_tests.servers.programs import HOST
from pipelines_tests.servers.queues import DeadLettered, notification


@contextmanager
def running_bridge(queue: DeadLettered, bucket: str, folder: Path) -> Iterator[None]:
    """Tells a queue of a bucket's objects; a SeaweedFS that is started in ``folder`` meanwhile tells the bridge."""

    class Bridge(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told = json.loads(self.rfile.read(int(self.headers["content-length"])))
            queue.send(_written(told, bucket))
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
            yield
        finally:
            server.shutdown()
            thread.join()


def _written(told: dict[str, Any], bucket: str) -> Iterator[str]:
    """The notification of an object that was written, if it is that: a folder is none, nor is a file of its own."""
    entry, key = told["message"].get("new_entry"), told["key"].partition(f"/buckets/{bucket}/")[2]
    if key and entry and not entry.get("is_directory"):
        yield notification(bucket, key)
