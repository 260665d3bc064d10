"""The Here to Help API called as any client would, without the project's own adapter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

KEY = "canary-key-77b1"


@dataclass(frozen=True)
class Said:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def call(url: str, method: str, path: str, body: object = None, key: str | None = KEY) -> Said:
    """``body`` is sent as it is if it is bytes, else as JSON."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=10)
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"x-api-key": key})
    try:
        connection.request(method, f"{parts.path}/{path}", sent, headers)
        response = connection.getresponse()
        return Said(response.status, dict(response.getheaders()), response.read().decode())
    finally:
        connection.close()


def post(url: str, **fields: object) -> int:
    """Files a help request and gives its id."""
    said = call(url, "POST", "v3/help-requests", fields)
    assert said.status == 201, said.text
    assert list(said.json) == ["Id"]
    return int(said.json["Id"])


def get(url: str, request_id: int) -> dict[str, Any]:
    """Reads a help request."""
    said = call(url, "GET", f"v3/help-requests/{request_id}")
    assert said.status == 200
    return dict(said.json)


def note(url: str, resident_id: int, request_id: int, text: str) -> Said:
    path = f"v4/residents/{resident_id}/help-requests/{request_id}/case-notes"
    return call(url, "POST", path, {"CaseNote": text})
