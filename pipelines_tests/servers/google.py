"""A stand-in of Google's Drive and Sheets, as far as they are used here, and of who gives tokens for them.

Whatever is asked is checked against Google's own documents, and so is whatever is answered. Not here: the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_RDWR
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import jwt

from pipelines_tests.servers.disturbed import Answer, Asked, Forward, Meddling, untouched
from pipelines_tests.servers.google_discovery import Method, Refused, method_of
from pipelines_tests.servers.google_files import NATIVE, File, Files, Grid
from pipelines_tests.servers.programs import HOST

_ACCOUNT = "pipelines@tests.iam.gserviceaccount.com"
_JSON = {"Content-Type": "application/json"}


class Google:
    """The running stand-in: its files, what it was asked so far, and what is done to that."""

    def __init__(self) -> None:
        self.files = Files()
        self.endpoint = ""
        self.asked: list[Asked] = []
        self.meddle: Meddling = untouched
        self.page = 1000
        self.tokens: set[str] = set()
        self.minted = 0
        self.broken: list[Exception] = []
        self._lock = Lock()
        self._key = _key()

    @property
    def host(self) -> str:
        return self.endpoint.removeprefix("http://")

    def identity(self, path: Path) -> Path:
        """Writes the key file of a service account that it knows."""
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {
            "type": "service_account",
            "project_id": "tests",
            "private_key_id": "1",
            "private_key": key,
            "client_email": _ACCOUNT,
            "client_id": "1",
            "token_uri": f"{self.endpoint}/token",
        }
        path.write_text(json.dumps(account))
        return path

    def methods(self) -> list[str]:
        """What it was asked for, in short."""
        return [f"{asked.method} {urlsplit(asked.path).path}" for asked in self.asked]

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
        try:
            return self.meddle(asked, self._own)
        except Exception as error:
            self.broken.append(error)
            raise

    def _own(self, asked: Asked) -> Answer:
        address = urlsplit(asked.path)
        if address.path == "/token":
            return self._token(asked)
        if asked.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return refusal(401, "authError")
        try:
            method, names = method_of(asked.method, address.path)
            given = parse_qs(address.query, keep_blank_values=True)
            method.check_parameters(given)
            body = json.loads(asked.body) if asked.body else None
            method.check_request(body)
            with self.files.lock:
                return self._done(method, names, {name: values[0] for name, values in given.items()}, body)
        except LookupError:
            return refusal(404, "notFound")
        except (Refused, ValueError) as error:
            return refusal(400, "badRequest", str(error))

    def _token(self, asked: Asked) -> Answer:
        """A token for a signed claim to be the service account."""
        (claim,) = parse_qs(asked.body.decode())["assertion"]
        public = self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        audience = "https://oauth2.googleapis.com/token"
        told = jwt.decode(claim, certs=public, audience=audience)  # type: ignore[no-untyped-call]  # it has no types
        assert told["iss"] == _ACCOUNT
        assert "https://www.googleapis.com/auth/drive" in told["scope"]
        token = uuid4().hex
        self.tokens.add(token)
        self.minted += 1
        return answered({"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def _done(self, method: Method, names: Mapping[str, str], given: Mapping[str, str], body: Any) -> Answer:
        if method.id == "drive.files.get" and given.get("alt") == "media":
            content = self._drive_file(names, given).content
            if content is None:
                return refusal(403, "fileNotDownloadable")
            return Answer(200, {"Content-Type": "application/octet-stream"}, content)
        does: Mapping[str, Callable[[], Any]] = {
            "drive.files.list": lambda: self._list(given),
            "drive.files.get": lambda: self._drive_file(names, given).told(),
            "drive.files.create": lambda: self._create(given, body),
            "drive.files.update": lambda: self._update(self._drive_file(names, given), body),
            "sheets.spreadsheets.get": lambda: self._spreadsheet(self._native(names)),
            "sheets.spreadsheets.batchUpdate": lambda: self._change(self._native(names), body),
            "sheets.spreadsheets.values.batchGetByDataFilter": lambda: self._read(self._native(names), body),
            "sheets.spreadsheets.values.batchUpdate": lambda: self._write(self._native(names), body),
        }
        return answered(method.answer(does[method.id](), given.get("fields")))

    def _drive_file(self, names: Mapping[str, str], given: Mapping[str, str]) -> File:
        """All files are on a shared drive: who does not say that it knows of those, does not find them."""
        if given.get("supportsAllDrives") != "true":
            raise LookupError
        return self.files.get(names["fileId"])

    def _native(self, names: Mapping[str, str]) -> File:
        file = self.files.get(names["spreadsheetId"])
        if file.kind != NATIVE:
            raise Refused("this operation is not supported for this document")
        return file

    def _list(self, given: Mapping[str, str]) -> Any:
        found = self.files.found(given["q"])
        if given.get("includeItemsFromAllDrives") != "true" or given.get("supportsAllDrives") != "true":
            found = []
        start = int(given.get("pageToken", "page-0").removeprefix("page-"))
        size = min(self.page, int(given.get("pageSize", 100)))
        told: dict[str, Any] = {"kind": "drive#fileList", "incompleteSearch": False}
        told["files"] = [file.told() for file in found[start : start + size]]
        if start + size < len(found):
            told["nextPageToken"] = f"page-{start + size}"
        return told

    def _create(self, given: Mapping[str, str], body: Any) -> Any:
        if given.get("supportsAllDrives") != "true":
            raise LookupError
        for parent in body["parents"]:
            self.files.get(parent)
        return self.files.add(body["name"], body["mimeType"], body["parents"]).told()

    def _update(self, file: File, body: Any) -> Any:
        if set(body) - {"name", "trashed"}:
            raise Refused("no such change here")
        file.name = body.get("name", file.name)
        file.trashed = body.get("trashed", file.trashed)
        self.files.changed(file)
        return file.told()

    def _spreadsheet(self, file: File) -> Any:
        tabs = [
            {
                "properties": {
                    "sheetId": grid.id,
                    "title": grid.title,
                    "index": index,
                    "sheetType": grid.kind,
                    **(
                        {"gridProperties": {"rowCount": grid.rows, "columnCount": grid.columns}}
                        if grid.kind == "GRID"
                        else {}
                    ),
                }
            }
            for index, grid in enumerate(file.grids)
        ]
        properties = {"title": file.name, "locale": file.locale}
        return {"spreadsheetId": file.id, "properties": properties, "sheets": tabs}

    def _change(self, file: File, body: Any) -> Any:
        for request in body["requests"]:
            ((kind, wanted),) = request.items()
            match kind:
                case "addSheet":
                    properties = wanted["properties"]
                    grid = properties["gridProperties"]
                    if any(
                        each.id == properties["sheetId"] or each.title == properties["title"] for each in file.grids
                    ):
                        raise Refused("a tab of that title or id is there")
                    made = Grid(properties["sheetId"], properties["title"], grid["rowCount"], grid["columnCount"])
                    file.grids.insert(properties["index"], made)
                case "deleteSheet":
                    file.grids.remove(_grid(file, wanted["sheetId"]))
                    if not file.grids:
                        raise Refused("the last tab can't be deleted")
                case "appendDimension":
                    assert wanted["dimension"] == "ROWS"
                    _grid(file, wanted["sheetId"]).rows += wanted["length"]
                case "updateSheetProperties":
                    assert wanted["fields"] == "gridProperties.rowCount"
                    properties = wanted["properties"]
                    _grid(file, properties["sheetId"]).rows = properties["gridProperties"]["rowCount"]
                case _:
                    raise Refused(f"{kind} is not known here")
        self.files.changed(file)
        return {"spreadsheetId": file.id, "replies": [{} for _ in body["requests"]]}

    def _read(self, file: File, body: Any) -> Any:
        assert body["valueRenderOption"] == "UNFORMATTED_VALUE"
        assert body["dateTimeRenderOption"] == "FORMATTED_STRING"
        found = []
        for wanted in body["dataFilters"]:
            area = wanted["gridRange"]
            grid = _grid(file, area["sheetId"])
            start, end = area["startRowIndex"], area["endRowIndex"]
            if not start < end <= grid.rows:
                raise Refused("the range is beyond the grid")
            values = grid.values(start, end)
            told: dict[str, Any] = {"range": f"'{grid.title}'!A{start + 1}:ZZ{end}", "majorDimension": "ROWS"}
            if values:
                told["values"] = values
            found.append({"valueRange": told, "dataFilters": [wanted]})
        return {"spreadsheetId": file.id, "valueRanges": found}

    def _write(self, file: File, body: Any) -> Any:
        if body["valueInputOption"] != "RAW":
            raise Refused("only values as they are, here")
        for each in body["data"]:
            area = re.fullmatch(r"'([^']+)'!A(\d+):([A-Z]+)(\d+)", each["range"])
            if area is None:
                raise Refused("no range")
            grid = next(grid for grid in file.grids if grid.title == area[1])
            columns = 0
            for letter in area[3]:
                columns = columns * 26 + ord(letter) - 64
            if int(area[4]) > grid.rows or columns > grid.columns:
                raise Refused("the range is beyond the grid")
            if (
                len(each["values"]) > int(area[4]) - int(area[2]) + 1
                or max(map(len, each["values"]), default=0) > columns
            ):
                raise Refused("more values than the range has cells")
            if any(len(cell) > 50_000 for row in each["values"] for cell in row):
                raise Refused("a cell has more than 50000 characters")
            grid.put(each["values"], top=int(area[2]) - 1)
        self.files.changed(file)
        return {"spreadsheetId": file.id}


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def answered(body: Any) -> Answer:
    return Answer(200, _JSON, json.dumps(body).encode())


def refusal(status: int, reason: str, message: str = "No.", headers: Mapping[str, str] | None = None) -> Answer:
    """Google's way to say no."""
    error = {"code": status, "message": message, "errors": [{"domain": "global", "reason": reason, "message": message}]}
    return Answer(status, {**_JSON, **(headers or {})}, json.dumps({"error": error}).encode())


def refusing(status: int, reason: str, headers: Mapping[str, str] | None = None) -> Meddling:
    """Says no to whatever it is asked, but for a token."""

    def refuse(asked: Asked, forward: Forward) -> Answer:
        return forward(asked) if asked.path == "/token" else refusal(status, reason, "Not for Jane Canary.", headers)

    return refuse


def _grid(file: File, number: int) -> Grid:
    return next(grid for grid in file.grids if grid.id == number)


@contextmanager
def running_google() -> Iterator[Google]:
    """A stand-in in this process, without anything on its drive."""
    google = Google()

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
            answer = google.answer(Asked(self.command, self.path, self.headers, body))
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body if answer.whole else answer.body[: len(answer.body) // 2])
            self.wfile.flush()
            if not answer.whole:
                self.connection.shutdown(SHUT_RDWR)
                self.close_connection = True

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = answer  # noqa: N815  # names that the base class looks for

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        google.endpoint = f"http://{HOST}:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield google
        finally:
            server.shutdown()
            thread.join()
