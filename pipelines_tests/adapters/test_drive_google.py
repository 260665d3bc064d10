"""What only Google's form of a drive can promise or break; and that the stand-in is as strict as Google's documents."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import pytest
import requests

from pipelines.adapters.drive import (
    DriveBusy,
    DriveDenied,
    DriveError,
    DriveUnavailable,
    Folders,
    Sheet,
    SheetChanged,
    SheetGone,
    SheetUnreadable,
    Tab,
    google_sheets,
    open_drive,
)
from pipelines.environment import Environment
from pipelines.resources import configured_drive
from pipelines_tests.adapters.drives import FEEDS, OnGoogle, xlsx
from pipelines_tests.servers.disturbed import Answer, Asked, Forward, Meddling, cutting, from_the
from pipelines_tests.servers.google import Google, refusal, refusing
from pipelines_tests.servers.google_files import FOLDER, NATIVE, Grid, Shown

ROWS = [["a", "b"], ["1", "2"]]
TABS = [Tab("cases", ["a", "b"], [["1", "2"]])]


@pytest.fixture
def place(google: Google) -> OnGoogle:
    return OnGoogle(google, "native")


@pytest.fixture
def uploads(google: Google) -> OnGoogle:
    return OnGoogle(google, "xlsx")


def read(place: OnGoogle) -> list[tuple[str, ...]]:
    with place.drive.read(place.sheets()[0]) as rows:
        return [row.cells for row in rows]


def queries(google: Google) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(asked.path).query) for asked in google.asked if asked.path.startswith("/drive/v3/files?")]


def test_all_inbound_folders_are_listed_in_one_query_of_as_many_pages_as_it_takes(place: OnGoogle) -> None:
    for number in range(7):
        place.drop(FEEDS[number % 2], f"sheet {number}", ROWS)
    place.google.page = 3
    assert len(place.sheets()) == 7
    asked = queries(place.google)
    assert [query.get("pageToken") for query in asked] == [None, ["page-3"], ["page-6"]]
    assert len({query["q"][0] for query in asked}) == 1
    assert place.google.minted == 1


def test_what_is_no_sheet_is_listed_and_refused_saying_what_was_seen(place: OnGoogle) -> None:
    inbound = [place.folders["nsss"].inbound]
    files = place.google.files
    files.add("folder", FOLDER, inbound)
    for kind in ("document", "shortcut"):
        files.add(kind, f"application/vnd.google-apps.{kind}", inbound)
    files.add("letter.pdf", "application/pdf", inbound, b"%PDF-1.7")
    said = []
    for sheet in place.sheets():
        with pytest.raises(SheetUnreadable) as refused, place.drive.read(sheet) as rows:
            list(rows)
        said.append(str(refused.value))
    assert said == [
        "Google's own kind document, which is no spreadsheet",
        "Google's own kind shortcut, which is no spreadsheet",
        "a PDF document, not xlsx, ods or csv",
    ]


def test_a_first_tab_that_is_no_table_is_refused(place: OnGoogle) -> None:
    place.drop("nsss", "chart", ROWS)
    place.file(place.sheets()[0]).grids.insert(0, Grid(7, "Chart", kind="OBJECT"))
    with pytest.raises(SheetUnreadable, match="first tab is no table"):
        read(place)


def test_dates_are_read_as_shown_truths_as_words_and_numbers_exactly(place: OnGoogle) -> None:
    place.drop("nsss", "kinds", ROWS)
    grid = place.file(place.sheets()[0]).grids[0]
    grid.put([[Shown("05/02/2021"), True, False, 10008345678, 0.1, 1e-7, "1.00083E+10", "end"]])
    with place.drive.read(place.sheets()[0]) as rows:
        row = next(rows)
    assert row.cells == ("05/02/2021", "TRUE", "FALSE", "10008345678", "0.1", "0.0000001", "1.00083E+10", "end")
    assert row.numbers == (3, 4, 5)


def test_a_large_sheet_is_read_and_written_in_several_requests(
    place: OnGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_sheets, "_READ", 26 * 300)
    monkeypatch.setattr(google_sheets, "_WRITTEN", 2 * 300)
    rows = [[f"{number}", "x"] if number % 5 else ["", ""] for number in range(1, 1400)]
    place.drop("nsss", "large", rows)
    assert read(place) == [tuple(row) if row[0] else () for row in rows]
    assert len([one for one in place.google.methods() if one.endswith(":batchGetByDataFilter")]) == 5
    place.drive.write("nsss", "o", [Tab("first", ["a", "b"], rows), Tab("second", ["c"], [])])
    assert place.tabs("nsss", "o") == {"first": [["a", "b"], *rows], "second": [["c"]]}
    assert len([one for one in place.google.methods() if one.endswith("/values:batchUpdate")]) == 6


def test_a_long_text_makes_a_request_of_fewer_rows(place: OnGoogle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google_sheets, "_WRITTEN_TEXT", 1000)
    rows = [["x" * 400, ""] for _ in range(5)]
    place.drive.write("nsss", "o", [Tab("cases", ["a", "b"], rows)])
    assert place.tabs("nsss", "o")["cases"] == [["a", "b"], *rows]
    assert max(len(asked.body) for asked in place.google.asked if asked.path.endswith("/values:batchUpdate")) < 1300


def test_more_cells_than_a_spreadsheet_has_are_refused_and_nothing_is_left(
    place: OnGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_sheets, "_CELLS", 3)
    with pytest.raises(ValueError, match="at most 3 cells"):
        place.drive.write("nsss", "o", TABS)
    assert place.outcomes("nsss") == []


WORK: dict[str, Callable[[OnGoogle], object]] = {
    "list": lambda place: place.sheets(),
    "read": read,
    "checksum": lambda place: place.drive.sha256(place.sheets()[0]),
    "write": lambda place: place.drive.write("nsss", "o", TABS),
    "outcome": lambda place: place.drive.outcomes("nsss", ["o"]),
}


@pytest.mark.parametrize("work", WORK)
@pytest.mark.parametrize(
    ("status", "reason", "headers", "kind", "after"),
    [
        (403, "rateLimitExceeded", {}, DriveBusy, None),
        (403, "userRateLimitExceeded", {"Retry-After": "7"}, DriveBusy, 7.0),
        (429, "RESOURCE_EXHAUSTED", {"Retry-After": "60"}, DriveBusy, 60.0),
        (429, "rateLimitExceeded", {"Retry-After": "soon"}, DriveBusy, None),
        (500, "internalError", {}, DriveUnavailable, None),
        (503, "backendError", {}, DriveUnavailable, None),
        (403, "insufficientFilePermissions", {}, DriveDenied, None),
        (403, "storageQuotaExceeded", {}, DriveDenied, None),
        (400, "badRequest", {}, DriveDenied, None),
        (401, "authError", {}, DriveDenied, None),
    ],
)
def test_what_google_refuses_is_told_by_kind_and_without_its_words(
    place: OnGoogle,
    work: str,
    status: int,
    reason: str,
    headers: dict[str, str],
    kind: type[DriveError],
    after: float | None,
) -> None:
    """Google's messages may quote names; its reasons are words of its own."""
    place.google.meddle = refusing(status, reason, headers)
    with pytest.raises(DriveError) as raised:
        WORK[work](place)
    assert type(raised.value) is kind
    assert str(raised.value) == f"Google Drive answered {status} {reason}"
    assert getattr(raised.value, "retry_after", None) == after


def test_the_errors_of_sheets_are_told_by_their_details(place: OnGoogle) -> None:
    """Sheets has another form for them than Drive."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED"}]
    error = {"code": 429, "message": "Jane", "status": "RESOURCE_EXHAUSTED", "details": details}
    place.google.meddle = lambda asked, forward: (
        forward(asked) if asked.path == "/token" else Answer(429, {}, json.dumps({"error": error}).encode())
    )
    with pytest.raises(DriveBusy, match=r"^Google Drive answered 429 RATE_LIMIT_EXCEEDED$"):
        place.sheets()


@pytest.mark.parametrize(
    "body", [b"", b"<html>Jane</html>", b"[]", b'{"error": "Jane"}', b'{"error": {"errors": [1]}}']
)
def test_an_error_that_is_not_google_s_is_told_by_its_status(place: OnGoogle, body: bytes) -> None:
    place.google.meddle = lambda asked, forward: forward(asked) if asked.path == "/token" else Answer(502, {}, body)
    with pytest.raises(DriveUnavailable, match=r"^Google Drive answered 502$"):
        place.sheets()


def every(first: int, meddling: Meddling) -> Meddling:
    """Does it to what is asked of files or cells, from the first, the second and so on."""
    later = from_the(first, meddling)
    return lambda asked, forward: forward(asked) if asked.path == "/token" else later(asked, forward)


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("meddling", [cutting, refusing(503, "backendError"), refusing(404, "notFound")])
def test_a_listing_that_fails_on_any_page_is_a_failure(place: OnGoogle, meddling: Meddling, first: int) -> None:
    for number in range(5):
        place.drop("nsss", f"{number}", ROWS)
    place.google.page = 2
    place.google.meddle = every(first, meddling)
    with pytest.raises((DriveUnavailable, DriveDenied)):
        place.sheets()
    with pytest.raises((DriveUnavailable, DriveDenied)):
        place.drive.outcomes("nsss", ["o"]) if first == 0 else place.sheets()


def told(**changes: object) -> Meddling:
    """Answers with some of it changed."""

    def change(asked: Asked, forward: Forward) -> Answer:
        answer = forward(asked)
        if asked.path == "/token":
            return answer
        return Answer(answer.status, answer.headers, json.dumps({**json.loads(answer.body), **changes}).encode())

    return change


@pytest.mark.parametrize(
    "changes",
    [{"incompleteSearch": True}, {"nextPageToken": "page-0"}, {"files": None}, {"files": [{"id": "x"}]}, {"files": 1}],
)
def test_a_listing_that_is_not_whole_is_a_failure(place: OnGoogle, changes: dict[str, object]) -> None:
    place.drop("nsss", "one", ROWS)
    place.google.meddle = told(**changes)
    with pytest.raises(DriveUnavailable):
        place.sheets()


def test_a_folder_that_is_not_there_is_denied_and_not_empty(google: Google) -> None:
    folders = {"nsss": Folders("gone", google.files.folder("out")), "spl": Folders(google.files.folder("in"), "away")}
    drive = open_drive(f"gdrive://{google.host}", folders)
    for work in (
        lambda: drive.sheets(["nsss"], google.files.tick()),
        lambda: drive.outcomes("spl", ["o"]),
        lambda: drive.write("spl", "o", TABS),
    ):
        with pytest.raises(DriveDenied, match="is not there, or is not shared with us"):
            work()


def test_a_native_sheet_is_taken_once_nobody_types_in_it_for_minutes(place: OnGoogle, tmp_path: Path) -> None:
    place.drop("nsss", "one", ROWS)
    (sheet,) = place.sheets()
    folders = ",".join(f"{feed}={pair.inbound}:{pair.outbound}" for feed, pair in place.folders.items())
    at = f"gdrive://{place.google.host}"
    settings = Environment(home=tmp_path, drive=at, aae="https://a.test", here_to_help="https://h.test/api")
    drive = configured_drive(settings.model_copy(update={"drive_folders": folders}))
    assert list(drive.sheets(["nsss"], sheet.modified + timedelta(seconds=119))) == []
    assert list(drive.sheets(["nsss"], sheet.modified + timedelta(seconds=120))) == [sheet]


@pytest.mark.parametrize(("locale", "is_read"), [("en_GB", True), ("de_DE", True), ("", True), ("en_US", False)])
def test_a_sheet_that_takes_the_first_figure_of_a_date_for_its_month_is_refused(
    place: OnGoogle, locale: str, is_read: bool
) -> None:
    """Its 2/1/1990 is shown as it was typed, and stored as the 1st of February or the 2nd of January: who knows?"""
    place.drop("nsss", "one", ROWS)
    place.file(place.sheets()[0]).locale = locale
    if is_read:
        assert len(read(place)) == 2
    else:
        with pytest.raises(SheetUnreadable, match="its locale en_US takes"):
            read(place)


def test_a_token_that_has_expired_is_renewed(place: OnGoogle) -> None:
    place.drop("nsss", "one", ROWS)
    assert len(place.sheets()) == 1
    place.google.tokens.clear()
    assert read(place) == [("a", "b"), ("1", "2")]
    assert place.google.minted == 2


@pytest.mark.parametrize(("status", "kind"), [(503, DriveUnavailable), (400, DriveDenied)])
def test_an_identity_that_gets_no_token_is_told(place: OnGoogle, status: int, kind: type[DriveError]) -> None:
    error = {"error": "server_error" if status == 503 else "invalid_grant", "error_description": "Jane"}
    place.google.meddle = lambda *_: Answer(status, {"Content-Type": "application/json"}, json.dumps(error).encode())
    with pytest.raises(DriveError) as raised:
        place.sheets()
    assert type(raised.value) is kind
    assert "Jane" not in str(raised.value)


def test_no_identity_at_all_is_told_and_only_when_it_is_needed(
    place: OnGoogle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "Jane Canary.json"))
    drive = open_drive(f"gdrive://{place.google.host}", place.folders)
    with pytest.raises(DriveDenied, match=r"^Google does not know who we are: DefaultCredentialsError$"):
        drive.sheets(["nsss"], place.now)
    assert place.google.asked == []


def test_a_server_that_is_gone_is_unavailable(google: Google) -> None:
    place = OnGoogle(google, "native")
    place.sheets()

    def gone(*_: object) -> Answer:
        return Answer(200, {"Content-Length": "100"}, b"{}" * 20, whole=False)

    google.meddle = gone
    with pytest.raises(DriveUnavailable):
        place.sheets()


def after(part: str, change: Callable[[], object]) -> Meddling:
    """Lets something happen right after a request of that kind is answered."""

    def meddle(asked: Asked, forward: Forward) -> Answer:
        answer = forward(asked)
        if part in asked.path:
            change()
        return answer

    return meddle


CHANGES: dict[str, tuple[type[DriveError], Callable[[OnGoogle, Sheet], object]]] = {
    "edited": (SheetChanged, lambda place, sheet: place.edit(sheet, [["a", "c"]])),
    "trashed": (SheetGone, lambda place, sheet: place.remove(sheet)),
    "deleted": (SheetGone, lambda place, sheet: place.google.files.remove(sheet.id)),
    "moved": (SheetGone, lambda place, sheet: place.file(sheet).parents.__setitem__(0, "elsewhere")),
}


@pytest.mark.parametrize("kind", ["native", "xlsx"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_while_a_sheet_is_read_is_told_before_the_end(google: Google, kind: str, change: str) -> None:
    place = OnGoogle(google, kind)
    place.drop("nsss", "one", ROWS)
    sheet = place.sheets()[0]
    error, happen = CHANGES[change]
    google.meddle = after(":batchGetByDataFilter" if kind == "native" else "alt=media", lambda: happen(place, sheet))
    with pytest.raises(error), place.drive.read(sheet) as rows:
        list(rows)


def test_rows_that_are_deleted_while_the_sheet_is_read_are_a_change(
    place: OnGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(google_sheets, "_READ", 26 * 300)
    place.drop("nsss", "one", [["x"]] * 900)
    sheet = place.sheets()[0]

    def shorten() -> None:
        file = place.file(sheet)
        file.grids[0].rows = 200
        place.google.files.changed(file)

    place.google.meddle = after(":batchGetByDataFilter", shorten)
    with pytest.raises(SheetChanged), place.drive.read(sheet) as rows:
        list(rows)


def test_an_upload_whose_bytes_are_not_what_drive_says_is_not_read(uploads: OnGoogle) -> None:
    """A proxy, or a cache, that gives the bytes of another version."""
    uploads.drop("nsss", "one", ROWS)
    stale = xlsx([["a", "old"]])

    def old(asked: Asked, forward: Forward) -> Answer:
        return Answer(200, {}, stale) if "alt=media" in asked.path else forward(asked)

    uploads.google.meddle = old
    with pytest.raises(SheetChanged):
        read(uploads)


def test_a_download_that_breaks_off_is_unavailable(uploads: OnGoogle) -> None:
    uploads.drop("nsss", "one", ROWS)
    uploads.google.meddle = lambda asked, forward: (
        cutting(asked, forward) if "alt=media" in asked.path else forward(asked)
    )
    with pytest.raises(DriveUnavailable, match="broke off"):
        read(uploads)


def changing(asked: Asked) -> bool:
    return asked.path != "/token" and asked.method in {"POST", "PATCH"}


STEPS = 7  # create, look, new tabs, rows, cells, name; and one more, where nothing happens


@pytest.mark.parametrize("step", range(STEPS))
@pytest.mark.parametrize("lost", ["request", "reply"])
def test_a_write_that_is_cut_anywhere_shows_nothing_unfinished_and_is_made_good_by_the_next(
    place: OnGoogle, step: int, lost: str
) -> None:
    """Killed, as far as Google can tell: nothing follows the request, or the reply, that was lost."""
    place.drive.write("nsss", "o", [Tab("cases", ["a", "b"], [["old", "x"]])])
    seen = 0
    dead = False

    def dying(asked: Asked, forward: Forward) -> Answer:
        nonlocal seen, dead
        if dead:
            return refusal(503, "backendError")
        if changing(asked):
            seen += 1
            if seen == step + 1:
                dead = True
                return cutting(asked, forward) if lost == "reply" else refusal(503, "backendError")
        return forward(asked)

    place.google.meddle = dying
    try:
        place.drive.write("nsss", "o", TABS)
    except DriveUnavailable:
        assert dead
    place.google.meddle = lambda asked, forward: forward(asked)
    shown = [name for name in place.outcomes("nsss") if not name.startswith(".unfinished")]
    assert shown in ([], ["o"])
    if shown:
        assert place.tabs("nsss", "o")["cases"] in ([["a", "b"], ["old", "x"]], [["a", "b"], ["1", "2"]])
    place.drive.write("nsss", "o", TABS)
    assert place.outcomes("nsss") == ["o"]
    assert place.tabs("nsss", "o")["cases"] == [["a", "b"], ["1", "2"]]


def test_of_two_who_write_one_outcome_at_once_one_is_left(place: OnGoogle) -> None:
    """A run that lost its lease does not know it yet."""
    other = open_drive(f"gdrive://{place.google.host}", place.folders)
    started = False

    def meddle(asked: Asked, forward: Forward) -> Answer:
        nonlocal started
        if not started and asked.path.endswith("/values:batchUpdate"):
            started = True
            other.write("nsss", "o", [Tab("cases", ["a", "b"], [["other", "x"]])])
        return forward(asked)

    place.google.meddle = meddle
    place.drive.write("nsss", "o", TABS)
    assert started
    assert place.outcomes("nsss") == ["o"]
    assert len(place.tabs("nsss", "o")["cases"]) == 2


def test_twins_of_one_name_become_one(place: OnGoogle) -> None:
    for _ in range(2):
        place.google.files.add("o", NATIVE, [place.folders["nsss"].outbound])
    place.drive.write("nsss", "o", TABS)
    assert place.outcomes("nsss") == ["o"]
    assert place.tabs("nsss", "o")["cases"] == [["a", "b"], ["1", "2"]]


def test_names_are_in_no_address_and_in_no_log(place: OnGoogle, caplog: pytest.LogCaptureFixture) -> None:
    """Addresses are logged by libraries, proxies and servers; bodies are not."""
    with caplog.at_level(logging.DEBUG):
        place.drop("nsss", "Jane Canary", [["Jane", "Canary"]])
        read(place)
        place.drive.write("nsss", "PROCESSED_Jane Canary", TABS)
        assert place.drive.outcomes("nsss", ["PROCESSED_Jane Canary"])
    assert caplog.records
    assert "Canary" not in caplog.text
    assert not [asked.path for asked in place.google.asked if "Canary" in asked.path]


@pytest.mark.parametrize("folder", ["a b", "a' or '1' = '1", "", "a/b"])
def test_an_id_that_is_none_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="an id of a folder"):
        open_drive("gdrive://", {"nsss": Folders(folder, "x")})


def test_one_folder_for_two_purposes_is_refused() -> None:
    with pytest.raises(ValueError, match="two folders of its own"):
        open_drive("gdrive://", {"nsss": Folders("a", "a")})


@pytest.fixture
def session(google: Google) -> Iterator[requests.Session]:
    google.tokens.add("known")
    with requests.Session() as session:
        session.headers["Authorization"] = "Bearer known"
        yield session


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("GET", "drive/v3/files?q=trashed = false&pageSize=1001", None, 400),
        ("GET", "drive/v3/files?q=trashed = false&supportsAllDrives=True", None, 400),
        ("GET", "drive/v3/files?q=trashed = false&corpora=user&order=name", None, 400),
        ("GET", "drive/v3/files?q=name contains 'x'", None, 400),
        ("GET", "drive/v3/files?q=trashed = false&fields=files(id,title)", None, 400),
        ("GET", "drive/v3/files?q=trashed = false&fields=files(id", None, 400),
        ("GET", "drive/v3/nothing", None, 404),
        ("POST", "drive/v3/files?supportsAllDrives=true", {"title": "x"}, 400),
        ("POST", "drive/v3/files?supportsAllDrives=true", {"name": 1}, 400),
        ("POST", "v4/spreadsheets/x:batchUpdate", {"requests": [{"addSheets": {}}]}, 400),
        ("POST", "v4/spreadsheets/x/values:batchUpdate", {"valueInputOption": "TYPED", "data": []}, 400),
        ("POST", "v4/spreadsheets/x/values:batchUpdate", None, 400),
        ("GET", "v4/spreadsheets/x?ranges=A1&ranges=B2&includeGridData=false", None, 404),
    ],
)
def test_the_stand_in_refuses_what_google_s_documents_don_t_know(
    google: Google, session: requests.Session, verb: str, path: str, body: Any, status: int
) -> None:
    answer = session.request(verb, f"{google.endpoint}/{path}", json=body, timeout=10)
    assert answer.status_code == status


def test_the_stand_in_knows_its_tokens_and_can_tell_another_key(google: Google) -> None:
    request = Request(f"{google.endpoint}/drive/v3/files", headers={"Authorization": "Bearer guessed"})
    with pytest.raises(OSError, match="401"):
        urlopen(request, timeout=10)
