"""Requests to Google: gspread's client and Google's own identities, with the errors of a drive.

Here: one request, made once, and what its answer says. Not here: what is asked for, and when to ask again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from threading import Lock
from typing import Any, TypeVar

import google.auth
import msgspec
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from gspread import HTTPClient
from gspread.urls import DRIVE_FILES_API_V3_URL
from requests import RequestException, Response, Session

from pipelines.adapters.drive.contract import (
    DriveBusy,
    DriveDenied,
    DriveError,
    DriveUnavailable,
    SheetGone,
    SheetUnreadable,
)
from pipelines.adapters.https import read_retry_after

SCOPES = ["https://www.googleapis.com/auth/drive", "https://www.googleapis.com/auth/spreadsheets"]
TIMES = (5.0, 180.0)
"""Seconds to connect, and between two pieces of an answer: Google itself gives up on a request after 180."""

_HOSTS = re.compile(r"https://(?:www|sheets)\.googleapis\.com")
_CHUNK = 1 << 20
_QUOTAS = {
    "rateLimitExceeded",
    "userRateLimitExceeded",
    "dailyLimitExceeded",
    "quotaExceeded",
    "sharingRateLimitExceeded",
    "RATE_LIMIT_EXCEEDED",
    "RESOURCE_EXHAUSTED",
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,59}")

T = TypeVar("T")


class GoogleClient(HTTPClient):
    """gspread's client; it looks for an identity when it is first used, and renews it as Google's library does.

    Args:
        endpoint: in place of Google's hosts, if it is not Google.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        super().__init__(None, session=Session())  # type: ignore[arg-type]  # gspread's own way to bring a session
        self.set_timeout(TIMES)
        self._endpoint = endpoint
        self._one_at_a_time = Lock()
        self._identified = False

    def request(  # type: ignore[override]  # gspread's has the same names; nobody here sends files or headers
        self,
        method: str,
        endpoint: str,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        *,
        stream: bool = False,
    ) -> Response:
        """An answer that says yes; the errors of a drive for every other, and for none."""
        with self._one_at_a_time:
            self._identify()
        url = endpoint if self._endpoint is None else _HOSTS.sub(self._endpoint, endpoint)
        try:
            response = self.session.request(
                method, url, params=params, json=json, timeout=self.timeout, stream=stream
            )  # the errors of requests say the address, parameters and all
        except (RequestException, TransportError) as error:
            raise DriveUnavailable(f"Google Drive did not answer: {type(error).__name__}") from None
        except GoogleAuthError as error:
            raise _refused_identity(error) from None
        if not response.ok:
            with closing(response):
                raise _refusal(response)
        return response

    def ask(
        self,
        kind: type[T],
        method: str,
        endpoint: str,
        params: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> T:
        """The answer to a request, of the kind that it has to be."""
        return decoded(self.request(method, endpoint, params, json), kind)

    def download(self, file: str, largest: int) -> bytes:
        """The bytes of a file; ``SheetUnreadable`` if there are more than that."""
        params = {"alt": "media", "supportsAllDrives": "true"}
        content = bytearray()
        with closing(self.request("get", f"{DRIVE_FILES_API_V3_URL}/{file}", params, stream=True)) as response:
            try:
                for chunk in response.iter_content(_CHUNK):
                    content += chunk
                    if len(content) > largest:
                        raise SheetUnreadable(f"it is larger than {largest >> 20} MiB")
            except RequestException as error:
                raise DriveUnavailable(f"a download from Google Drive broke off: {type(error).__name__}") from None
        return bytes(content)

    def _identify(self) -> None:
        if self._identified:
            return
        try:
            credentials, _ = google.auth.default(scopes=SCOPES)
        except GoogleAuthError as error:
            raise _refused_identity(error) from None
        self.session.close()
        self.session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]  # Google's types are partial
        self._identified = True


def decoded(response: Response, kind: type[T]) -> T:
    """An answer as what it has to be, its fractions as they were written."""
    try:
        return msgspec.json.Decoder(kind, float_hook=Decimal).decode(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise DriveUnavailable("an answer of Google Drive was cut, or is not Google's") from None


def _refused_identity(error: GoogleAuthError) -> DriveError:
    if error.retryable:
        return DriveUnavailable(f"Google did not say who we are: {type(error).__name__}")
    return DriveDenied(f"Google does not know who we are: {type(error).__name__}")


def _refusal(response: Response) -> DriveError:
    status, reason = response.status_code, _reason(response)
    words = f"Google Drive answered {status}{f' {reason}' if reason else ''}"
    if status == 429 or (status == 403 and reason in _QUOTAS):
        return DriveBusy(words, read_retry_after(response.headers.get("Retry-After"), datetime.now(UTC)))
    if status >= 500 or status in {408, 425}:
        return DriveUnavailable(words)
    return SheetGone(words) if status == 404 else DriveDenied(words)


def _reason(response: Response) -> str:
    """Google's word for it, if it is one: messages may quote what they are about."""
    try:
        error = response.json()["error"]
        reasons = [each["reason"] for each in [*error.get("errors", []), *error.get("details", [])] if "reason" in each]
        word = str([*reasons, error.get("status", "")][0])
    except (AttributeError, KeyError, RequestException, TypeError):
        return ""
    return word if _WORD.fullmatch(word) else ""
