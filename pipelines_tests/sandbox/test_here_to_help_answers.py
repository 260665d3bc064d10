"""What the API answers to each call, to the letter; and who is let in."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.sandbox.here_to_help import Call, Counts, HereToHelp, Received, running
from pipelines_tests.sandbox.plain_calls import KEY, call, get, note, post


@pytest.fixture
def api(tmp_path: Path) -> Iterator[HereToHelp]:
    with running(tmp_path / "api", KEY) as started:
        yield started


@pytest.fixture
def samples(reference_data: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A reply of version 3, and an entry of a list of version 4, as the real API gave them."""
    folder = reference_data / "residents"
    (listed,) = json.loads((folder / "resident_help_requests.json").read_text())
    return json.loads((folder / "help_request.json").read_text()), listed


def cases(resident_id: int) -> str:
    return f"v4/residents/{resident_id}/help-requests"


# Samples


def test_a_sample_that_was_sent_comes_back_field_by_field(
    api: HereToHelp, samples: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    sample, _ = samples
    own = {"Id", "ResidentId", "AssignedTo", "HelpRequestCalls", "CaseNotes"}
    sent = {name: value for name, value in sample.items() if name not in own}
    request_id = post(api.url, **sent | {"Metadata": json.loads(sample["Metadata"])})
    resident_id = get(api.url, request_id)["ResidentId"]
    texts = sample["CaseNotes"][1:-1].split("}, {")
    for text in (texts[0] + "}", "{" + texts[1]):
        assert note(api.url, resident_id, request_id, text).status == 201
    said = call(api.url, "GET", f"v3/help-requests/{request_id}")
    assert said.headers["Content-Type"] == "application/json; charset=utf-8"
    expected = sample | {"Id": request_id, "ResidentId": resident_id, "HelpNeededSubtype": None}
    assert said.json == expected
    # The subtype came later than the sample, behind the kind.
    assert [name for name in said.json if name != "HelpNeededSubtype"] == list(sample)
    names = list(said.json)
    assert names[names.index("HelpNeeded") + 1] == "HelpNeededSubtype"


def test_a_listed_sample_comes_back_field_by_field(
    api: HereToHelp, samples: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    _, sample = samples
    own = {"Id", "ResidentId", "AssignedTo", "HelpRequestCalls", "CaseNotes"}
    sent = {name: value for name, value in sample.items() if name not in own}
    request_id = post(api.url, FirstName="A", NhsNumber="1", Postcode="E8", **sent)
    resident_id = get(api.url, request_id)["ResidentId"]
    said = call(api.url, "GET", cases(resident_id))
    (listed,) = said.json
    later = {"HelpNeededSubtype": None, "Metadata": None}  # than the sample
    assert listed == sample | {"Id": request_id, "ResidentId": resident_id} | later
    assert [name for name in listed if name not in later] == list(sample)
    names = list(listed)
    assert names[names.index("HelpNeeded") + 1] == "HelpNeededSubtype"
    assert names[names.index("AssignedTo") + 1] == "Metadata"


# Version 3


def test_the_answer_to_what_is_new_and_to_what_is_there_is_one(api: HereToHelp) -> None:
    fields = {"NhsNumber": "1", "Metadata": {"spl_id": "s"}}
    answers = [call(api.url, "POST", "v3/help-requests", fields) for _ in range(2)]
    assert [(each.status, each.text) for each in answers] == [(201, '{"Id":1}')] * 2
    assert {each.headers["Location"] for each in answers} == {"api/v3/help-requests/1"}


def test_what_is_not_said_gets_its_default(api: HereToHelp) -> None:
    before = datetime.now(UTC)
    stored = get(api.url, post(api.url, FirstName="A"))
    assert stored["CallbackRequired"] is True
    assert before <= datetime.fromisoformat(stored["DateTimeRecorded"] + "Z") <= datetime.now(UTC)
    filled = {name for name, value in stored.items() if value not in (None, [])}
    assert filled == {"Id", "ResidentId", "FirstName", "CallbackRequired", "DateTimeRecorded", "CaseNotes"}


def test_names_are_read_in_any_case_and_unknown_ones_are_passed_over(api: HereToHelp) -> None:
    stored = get(api.url, post(api.url, firstNAME="A", Unknown=[1], callbackrequired=False, Id=77))
    assert (stored["FirstName"], stored["CallbackRequired"], stored["Id"]) == ("A", False, 1)
    assert "Unknown" not in stored


@pytest.mark.parametrize(
    ("sent", "printed"),
    [
        ("2021-02-17T09:29:24.814513", "2021-02-17T09:29:24.814513"),
        ("2021-02-17T09:29:24.500000", "2021-02-17T09:29:24.5"),
        ("2021-02-17T09:29:20", "2021-02-17T09:29:20"),
        ("2021-02-17T09:29:24+01:00", "2021-02-17T08:29:24"),
    ],
)
def test_moments_are_printed_without_a_zone(api: HereToHelp, sent: str, printed: str) -> None:
    assert get(api.url, post(api.url, DateTimeRecorded=sent))["DateTimeRecorded"] == printed


@pytest.mark.parametrize(
    ("notes", "joined"),
    [
        ([], "[]"),
        (["", ""], "[, ]"),
        (['{"note": "a"}', "plain"], '[{"note": "a"}, plain]'),
        (['a "quote"\nand ]'], '[a "quote"\nand ]]'),
    ],
)
def test_notes_are_joined_as_they_are(api: HereToHelp, notes: list[str], joined: str) -> None:
    request_id = post(api.url, NhsNumber="1", Metadata={"spl_id": "s"})
    for text in notes:
        post(api.url, NhsNumber="1", Metadata={"spl_id": "s"}, CaseNotes=text)
    assert get(api.url, request_id)["CaseNotes"] == joined


def test_metadata_comes_back_as_a_text(api: HereToHelp) -> None:
    request_id = post(api.url, Metadata={"nsss_id": "n", "é": [1]})
    assert get(api.url, request_id)["Metadata"] == '{"é": [1], "nsss_id": "n"}'


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"NhsNumber": 1112223333}, "$.NhsNumber"),
        ({"dobday": 9}, "$.DobDay"),
        ({"CaseNotes": ["a"]}, "$.CaseNotes"),
        ({"FirstName": True}, "$.FirstName"),
        ({"CallbackRequired": "true"}, "$.CallbackRequired"),
        ({"HelpWithHealth": 1}, "$.HelpWithHealth"),
        ({"DateTimeRecorded": "yesterday"}, "$.DateTimeRecorded"),
        ({"DateTimeRecorded": 1}, "$.DateTimeRecorded"),
        (b'{"Metadata": NaN}', "$"),
        (b'{"FirstName": "A"', "$"),
        (b'"text"', "$"),
        (b"", "$"),
    ],
)
def test_json_of_another_type_is_a_problem(api: HereToHelp, body: object, path: str) -> None:
    said = call(api.url, "POST", "v3/help-requests", body)
    assert (said.status, said.headers["Content-Type"]) == (400, "application/problem+json")
    assert (said.json["status"], list(said.json["errors"])) == (400, [path])
    assert api.count() == Counts(0, 0, 0)


@pytest.mark.parametrize("body", [{"FirstName": "a\0"}, {"Metadata": {"x": ["\0"]}}, {"CaseNotes": "\0"}])
def test_what_the_database_does_not_keep_is_a_text(api: HereToHelp, body: object) -> None:
    said = call(api.url, "POST", "v3/help-requests", body)
    assert said.status == 400
    assert said.text.startswith("Record not created. ")
    assert api.count() == Counts(0, 0, 0)


@pytest.mark.parametrize(
    ("request_id", "status"), [("99", 404), ("x", 400), ("99999999999", 400), ("-1", 400), ("%D9%A3", 400)]
)
def test_a_request_that_is_not_there_is_a_problem(api: HereToHelp, request_id: str, status: int) -> None:
    said = call(api.url, "GET", f"v3/help-requests/{request_id}")
    assert (said.status, said.headers["Content-Type"]) == (status, "application/problem+json")
    assert said.json["status"] == status


# Version 4


def test_a_note_is_added_each_time(api: HereToHelp) -> None:
    request_id = post(api.url, NhsNumber="1", HelpNeeded="Shielding")
    answers = [note(api.url, 1, request_id, "same").json for _ in range(2)]
    shape = {"ResidentId": 1, "HelpRequestId": request_id, "CaseNote": "same", "HelpNeeded": "Shielding"}
    assert answers == [{"Id": 1} | shape, {"Id": 2} | shape]
    assert list(answers[0]) == ["Id", "ResidentId", "HelpRequestId", "CaseNote", "HelpNeeded"]
    assert get(api.url, request_id)["CaseNotes"] == "[same, same]"


def test_a_note_may_name_a_resident_that_the_request_is_not_of(api: HereToHelp) -> None:
    post(api.url, NhsNumber="1")
    second = post(api.url, NhsNumber="2")
    assert note(api.url, 1, second, "n").status == 201


@pytest.mark.parametrize(("resident_id", "request_id"), [(9, 1), (1, 9)])
def test_a_note_of_nobody_is_an_error_of_the_server(api: HereToHelp, resident_id: int, request_id: int) -> None:
    post(api.url, NhsNumber="1")
    assert note(api.url, resident_id, request_id, "n").status == 500
    assert api.count().case_notes == 0


def test_a_note_is_a_text(api: HereToHelp) -> None:
    post(api.url, NhsNumber="1")
    said = call(api.url, "POST", f"{cases(1)}/1/case-notes", {"CaseNote": {"note": "n"}})
    assert (said.status, list(said.json["errors"])) == (400, ["$.CaseNote"])


def test_one_more_case_is_a_bare_number_and_has_neither_metadata_nor_notes(api: HereToHelp) -> None:
    post(api.url, NhsNumber="1")
    body = {"CallbackRequired": False, "HelpNeeded": "Shielding", "Metadata": {"spl_id": "s"}, "CaseNotes": "n"}
    answers = [call(api.url, "POST", cases(1), body) for _ in range(2)]
    assert [(each.status, each.text) for each in answers] == [(201, "2"), (201, "3")]
    stored = get(api.url, 3)
    assert (stored["ResidentId"], stored["HelpNeeded"], stored["CallbackRequired"]) == (1, "Shielding", False)
    assert (stored["Metadata"], stored["CaseNotes"]) == (None, "[]")
    assert api.count() == Counts(residents=1, help_requests=3, case_notes=0)
    assert call(api.url, "POST", cases(9), body).status == 500


def test_a_residents_requests_are_listed_and_eusss_only_by_name(api: HereToHelp) -> None:
    for kind in ("Shielding", "EUSS", None):
        post(api.url, NhsNumber="1", HelpNeeded=kind)

    def kinds(query: str) -> list[str | None]:
        return [each["HelpNeeded"] for each in call(api.url, "GET", cases(1) + query).json]

    assert kinds("") == kinds("?includeType=") == kinds("?includeType=euss") == ["Shielding", None]
    assert kinds("?includeType=EUSS") == ["Shielding", "EUSS", None]


def test_an_unknown_resident_has_no_requests(api: HereToHelp) -> None:
    said = call(api.url, "GET", cases(9))
    assert (said.status, said.text) == (200, "[]")


def test_two_fields_of_a_list_are_mixed_up(api: HereToHelp) -> None:
    fields = {"HelpWithAccessingFood": True, "HelpWithAccessingInternet": False}
    texts = {"UrgentEssentials": "a", "UrgentEssentialsAnythingElse": "b"}
    request_id = post(api.url, NhsNumber="1", **fields, **texts)
    (listed,) = call(api.url, "GET", cases(1)).json
    assert (listed["HelpWithAccessingInternet"], listed["UrgentEssentialsAnythingElse"]) == (True, "a")
    stored = get(api.url, request_id)
    assert {name: stored[name] for name in fields | texts} == fields | texts


# The door


@pytest.mark.parametrize("key", [None, "", "another", KEY + "x", "clé"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "v3/help-requests"), ("GET", cases(1)), ("GET", "v3/healthcheck/ping")]
)
def test_nobody_is_let_in_without_the_key(api: HereToHelp, key: str | None, method: str, path: str) -> None:
    said = call(api.url, method, path, {"NhsNumber": "1"}, key)
    assert (said.status, said.text) == (403, '{"message":"Forbidden"}')
    assert api.count() == Counts(0, 0, 0)
    (received,) = api.received()
    assert (received.status, received.carried_out) == (403, False)


def test_it_is_well(api: HereToHelp) -> None:
    said = call(api.url, "GET", "v3/healthcheck/ping")
    assert (said.status, said.json) == (200, {"success": True})
    assert api.received() == [Received(Call.PING, 200, carried_out=True)]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PUT", "v3/help-requests", 405),
        ("GET", "v3/help-requests", 405),
        ("POST", "v2/help-requests", 404),
        ("GET", "v4/residents/1", 404),
    ],
)
def test_no_other_call_is_known(api: HereToHelp, method: str, path: str, status: int) -> None:
    assert call(api.url, method, path, {}).status == status


def test_what_it_stored_is_the_owners_alone(api: HereToHelp, tmp_path: Path) -> None:
    post(api.url, NhsNumber="1")
    assert stat.S_IMODE((tmp_path / "api").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "api").iterdir()} == {0o600}
