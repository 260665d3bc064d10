"""What every form of a drive promises, over each form and each kind of sheet in it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.adapters.drive import (
    DriveDenied,
    DriveError,
    Row,
    Sheet,
    SheetChanged,
    SheetGone,
    Tab,
    open_drive,
)
from pipelines_tests.adapters.drives import FEEDS, Local, OnGoogle, Place, Values, older
from pipelines_tests.servers.google import Google

CANARY = "Jane Canary 485 777 3456"
HEADER = ["Account ID", "Phone", "Comments"]
TEXTS = [
    "07344211233",
    "+447344211233",
    "12e45678",
    "1.00083E+10",
    "nan",
    "None",
    "two\nlines",
    '"quoted", and; more',
    '=HYPERLINK("http://x","y")',
    "@SUM(1)",
    "-1",
    "1_0",
    "E9 5HX",
    "Zoë 日本 🦀",
    "  inner  space",
    "_x000D_",
    "<c t=\"s\"><v>0</v></c> & 'co'",
]

FORMS = ("file xlsx", "file ods", "file csv", "google native", "google xlsx", "google csv")
NUMERIC = ("file xlsx", "file ods", "google native", "google xlsx")


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def place(form: str, tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    system, kind = form.split()
    if system == "file":
        return Local(tmp_path / "the drive", kind)
    google: Google = request.getfixturevalue("google")
    return OnGoogle(google, kind)


def read(place: Place, sheet: Sheet) -> list[Row]:
    with place.drive.read(sheet) as rows:
        return list(rows)


def cells(place: Place, sheet: Sheet) -> list[tuple[str, ...]]:
    return [row.cells for row in read(place, sheet)]


def dropped(place: Place, rows: Values, name: str = CANARY) -> Sheet:
    place.drop("nsss", name, rows)
    (sheet,) = place.sheets()
    return sheet


def test_sheets_of_several_feeds_are_listed_with_what_tells_them_apart(place: Place) -> None:
    place.drop("nsss", "one", [["a", "b"], ["1", "2"]])
    place.drop("nsss", "two", [["a", "b"], ["1", "3"]])
    place.drop("spl", "one", [["a", "b"], ["1", "2"]])
    found = place.sheets()
    assert sorted((sheet.feed, sheet.stem) for sheet in found) == [("nsss", "one"), ("nsss", "two"), ("spl", "one")]
    assert len({sheet.id for sheet in found}) == 3
    assert [sheet.modified for sheet in found] == sorted(sheet.modified for sheet in found)
    assert {sheet.feed for sheet in place.sheets("spl")} == {"spl"}
    assert place.sheets() == found


def test_empty_folders_have_no_sheets(place: Place) -> None:
    assert place.sheets() == []
    assert place.drive.sheets([], place.now) in ([], ())


def test_what_is_not_quiet_yet_waits_unless_it_appeared_whole(place: Place, form: str) -> None:
    sheet = dropped(place, [["a", "b"]])
    early = list(place.drive.sheets(FEEDS, sheet.modified))
    assert early == ([sheet] if form in {"google xlsx", "google csv"} else [])


def test_texts_are_read_as_they_are_stored(place: Place) -> None:
    rows = [HEADER, *([text, "x", text] for text in TEXTS)]
    found = read(place, dropped(place, rows))
    assert [row.cells for row in found] == [tuple(row) for row in rows]
    assert [row.number for row in found] == list(range(1, len(rows) + 1))
    assert {row.numbers for row in found} == {()}


@pytest.mark.parametrize("form", NUMERIC, indirect=True)
def test_numbers_are_read_as_exact_decimals_and_known_to_be_numbers(place: Place) -> None:
    numbers: list[float] = [7344211233, 1.00083e10, 0.1, -2.50, 1e-7, 44242, 123456789012345]
    texts = ["7344211233", "10008300000", "0.1", "-2.5", "0.0000001", "44242", "123456789012345"]
    found = read(place, dropped(place, [["t", *numbers], ["", 5.0, "5"]]))
    assert found == [Row(1, ("t", *texts), tuple(range(1, 8))), Row(2, ("", "5", "5"), (1,))]


def test_blank_rows_between_others_count_and_those_at_the_end_don_t(place: Place) -> None:
    sheet = dropped(place, [["", ""], ["a", "b", "c"], ["", "", ""], ["", "x", ""], ["", "", ""]])
    assert cells(place, sheet) == [(), ("a", "b", "c"), (), ("", "x")]


@pytest.mark.parametrize("rows", [[], [["", ""]]], ids=["nothing", "blank"])
def test_a_sheet_without_a_cell_has_no_rows(place: Place, rows: Values) -> None:
    assert read(place, dropped(place, rows)) == []


def test_an_edit_is_a_new_version_of_the_same_sheet(place: Place) -> None:
    before = dropped(place, [["a", "b"], ["1", "2"]])
    checksum = place.drive.sha256(before)
    place.edit(before, [["a", "b"], ["1", "3"]])
    (after,) = place.sheets()
    assert after.id == before.id
    assert after.version != before.version
    assert cells(place, after) == [("a", "b"), ("1", "3")]
    with pytest.raises(SheetChanged):
        read(place, before)
    with pytest.raises(SheetChanged):
        place.drive.sha256(before)
    assert checksum is None or place.drive.sha256(after) != checksum


def test_an_edit_that_is_taken_back_is_a_third_version(place: Place) -> None:
    """Rows that were sent in between have to be sent again as they were."""
    versions = [dropped(place, [["a", "b"]]).version]
    for rows in ([["a", "c"]], [["a", "b"]]):
        place.edit(place.sheets()[0], rows)
        versions.append(place.sheets()[0].version)
    assert len(set(versions)) == 3


def test_a_renamed_sheet_keeps_its_id_or_is_known_by_its_checksum(place: Place, form: str) -> None:
    before = dropped(place, [["a", "b"], ["1", "2"]])
    checksum = place.drive.sha256(before)
    place.rename(before, "another")
    (after,) = place.sheets()
    assert after.stem == "another"
    assert (after.id == before.id) == place.drive.keeps_ids
    assert place.drive.sha256(after) == checksum
    assert (checksum is None) == (form == "google native")


def test_a_sheet_that_is_removed_is_gone(place: Place) -> None:
    sheet = dropped(place, [["a", "b"]])
    place.remove(sheet)
    assert place.sheets() == []
    with pytest.raises(SheetGone):
        read(place, sheet)
    with pytest.raises(SheetGone):
        place.drive.sha256(sheet)


def test_another_version_than_the_one_there_is_a_changed_sheet(place: Place) -> None:
    with pytest.raises(SheetChanged):
        read(place, older(dropped(place, [["a", "b"]])))


def test_a_feed_without_a_folder_is_refused_and_not_empty(place: Place) -> None:
    with pytest.raises(DriveDenied, match="folder of generic"):
        place.sheets("nsss", "generic")
    with pytest.raises(DriveDenied, match="folder of generic"):
        place.drive.outcomes("generic", ["x"])
    with pytest.raises(DriveDenied, match="folder of generic"):
        place.drive.write("generic", "x", tabs())


def tabs(*rows: list[str]) -> list[Tab]:
    return [Tab("email_list", ["Forename", "Email"], []), Tab("hackney_cases", HEADER, list(rows))]


def test_an_outcome_has_its_tabs_in_order_and_every_text_as_it_was_given(place: Place) -> None:
    name = f"PROCESSED_{CANARY}_2025-03-01"
    rows = [[text, "", text] for text in TEXTS]
    written = place.drive.write("nsss", name, tabs(*rows))
    assert place.outcomes("nsss") == [name]
    found = place.tabs("nsss", name)
    assert list(found) == ["email_list", "hackney_cases"]
    assert found == {"email_list": [["Forename", "Email"]], "hackney_cases": [HEADER, *rows]}
    assert place.drive.outcomes("nsss", [name]) == {name: written}
    assert place.outcomes("spl") == []


def test_a_second_outcome_of_a_name_takes_the_place_of_the_first(place: Place) -> None:
    for text in ("first", "second"):
        place.drive.write("nsss", "same", tabs([text, "", "x"]))
    place.drive.write("nsss", "other", tabs())
    assert place.outcomes("nsss") == ["other", "same"]
    assert place.tabs("nsss", "same")["hackney_cases"] == [HEADER, ["second", "", "x"]]


def test_an_outcome_that_was_removed_is_not_found_and_can_be_written_again(place: Place) -> None:
    assert place.drive.outcomes("nsss", ["o"]) == {}
    place.drive.write("nsss", "o", tabs())
    place.remove_outcome("nsss", "o")
    assert place.drive.outcomes("nsss", ["o"]) == {}
    place.drive.write("nsss", "o", tabs())
    assert place.outcomes("nsss") == ["o"]


def test_an_outcome_that_can_t_be_made_leaves_the_one_before_and_nothing_else(place: Place) -> None:
    def broken() -> Iterator[list[str]]:
        yield ["a", "b", "c"]
        raise RuntimeError("the lake is gone")

    place.drive.write("nsss", "o", tabs(["1", "2", "3"]))
    with pytest.raises(RuntimeError, match="the lake is gone"):
        place.drive.write("nsss", "o", [Tab("hackney_cases", HEADER, broken())])
    with pytest.raises(ValueError, match="row 2 of a tab has more cells"):
        place.drive.write("nsss", "o", tabs(["1", "2", "3", "4"]))
    assert place.outcomes("nsss") == ["o"]
    assert place.tabs("nsss", "o")["hackney_cases"] == [HEADER, ["1", "2", "3"]]


@pytest.mark.parametrize(
    "wrong",
    [[], [Tab("a", [], []), Tab("A", [], [])], [Tab("a/b", [], [])], [Tab("x" * 32, [], [])], [Tab("it's", [], [])]],
    ids=["no tabs", "same titles", "slash", "long", "quote"],
)
def test_what_is_no_workbook_is_refused(place: Place, wrong: list[Tab]) -> None:
    with pytest.raises(ValueError, match="tab"):
        place.drive.write("nsss", "o", wrong)
    assert place.outcomes("nsss") == []


def test_a_text_that_is_longer_than_a_cell_is_cut_and_says_so(place: Place, form: str) -> None:
    most = 50_000 if form.startswith("google") else 32_767
    rows = [["x" * most, "y" * (most + 1), "z"]]
    place.drive.write("nsss", "o", tabs(*rows))
    whole, cut, after = place.tabs("nsss", "o")["hackney_cases"][1]
    assert whole == rows[0][0]
    assert len(cut) <= most
    kept, _, said = cut.partition(" [cut here: ")
    assert set(kept) == {"y"}
    assert said == f"{most + 1 - len(kept)} characters more]"
    assert after == "z"


def test_many_rows_come_back_in_order(place: Place) -> None:
    rows = [[f"{number:06}", "", str(number)] for number in range(20_000)]
    assert cells(place, dropped(place, rows)) == [tuple(row) for row in rows]
    place.drive.write("nsss", "o", [Tab("cases", HEADER, iter(rows))])
    assert place.tabs("nsss", "o")["cases"] == [HEADER, *rows]


def test_no_error_and_no_repr_has_a_name(place: Place) -> None:
    """Neither in its message nor in anything that would be printed with it."""
    sheet = dropped(place, [["a", CANARY], ["x", "y"]])
    outcome = place.drive.write("nsss", CANARY, tabs())
    shown = [repr(sheet), repr(outcome), repr(read(place, sheet)), repr(tabs([CANARY, "", ""]))]
    place.remove(sheet)
    asks: list[Callable[[], object]] = [
        lambda: read(place, sheet),
        lambda: place.drive.sha256(sheet),
        lambda: place.drive.outcomes("generic", [CANARY]),
        lambda: place.drive.write("generic", CANARY, tabs()),
    ]
    for ask in asks:
        with pytest.raises(DriveError) as raised:
            ask()
        shown.append("".join(traceback.format_exception(raised.value)))
    assert len(shown) == 8
    assert not [text for text in shown if "Canary" in text or "485" in text]


@pytest.mark.parametrize("url", ["s3://x", "drive", "", "file://relative", "gdrive://example.org", "gdrive://[::1]"])
def test_a_url_that_names_no_drive_says_what_would(url: str) -> None:
    with pytest.raises(ValueError, match=r"file:///folder|known are file://|gdrive://127\.0\.0\.1:8080"):
        open_drive(url)
