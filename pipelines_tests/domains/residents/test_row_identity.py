from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.sources import labelled
from pipelines.domains.residents.identity import Identity, identify
from pipelines.domains.residents.sheet import Line, read_sheet
from pipelines_tests.domains.residents.people import (
    CONTACT_TRACING,
    GENERIC,
    NSSS,
    SECRET,
    SELF_ISOLATION,
    cells,
    mapped,
)

ALL = pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS)
texts = st.text(max_size=6)
answers = st.fixed_dictionaries(dict.fromkeys(GENERIC.mapped_columns, texts))


def identity(feed: Feed, changes: dict[str, str] | None = None, secret: bytes = SECRET) -> Identity:
    return identify(feed, cells(feed, changes), mapped(feed, changes).key, secret)


@ALL
def test_an_identity_does_not_follow_from_where_a_row_stands(feed: Feed) -> None:
    row = cells(feed)
    for order in (feed.needed, feed.needed[::-1]):
        lines = [Line(("extra", *order)), Line(()), Line(("a", *(f" {row[column]} " for column in order)))]
        sheet = read_sheet(lines if not feed.marks else [Line(()), *lines], feed)
        *_, last = sheet.rows
        assert identify(feed, sheet.cells(last), mapped(feed).key, SECRET) == identity(feed)


@ALL
def test_each_mapped_cell_changes_it_and_no_other_does(feed: Feed) -> None:
    base = identify(feed, cells(feed), "k", SECRET)
    for column in feed.needed:
        changed = identify(feed, cells(feed, {column: "changed"}), "k", SECRET)
        assert (changed != base) is (column in feed.mapped_columns), column
        assert changed.key == base.key


@given(answers, answers)
def test_two_rows_have_one_identity_only_if_they_say_the_same(one: dict[str, str], other: dict[str, str]) -> None:
    identities = [identify(GENERIC, row, "EUSS", SECRET) for row in (one, other)]
    assert (identities[0] == identities[1]) is (one == other)


@given(st.lists(texts, min_size=2, max_size=2))
def test_what_moves_from_one_cell_to_the_next_is_another_row(parts: list[str]) -> None:
    whole = {"Case Note 1": parts[0] + parts[1], "Case Note 2": ""}
    split = {"Case Note 1": parts[0], "Case Note 2": parts[1]}
    one, other = (identify(GENERIC, cells(GENERIC, changes), "EUSS", SECRET) for changes in (whole, split))
    assert (one == other) is (whole == split)


def test_the_key_is_part_of_it_and_a_blank_one_is_none() -> None:
    assert identity(NSSS, {"ID": "1"}).key != identity(NSSS, {"ID": "2"}).key
    assert identity(NSSS, {"ID": ""}).key == ""
    assert identity(NSSS, {"first_name": "Wilma"}).key == identity(NSSS).key


def test_one_key_in_two_feeds_is_two() -> None:
    tracing, isolation = identity(CONTACT_TRACING, {"Account ID": "1"}), identity(SELF_ISOLATION, {"ID": "1"})
    assert tracing.key != isolation.key


def test_one_content_in_two_feeds_is_two() -> None:
    other = dataclasses.replace(GENERIC, name="other")
    assert identify(other, cells(GENERIC), "EUSS", SECRET).content != identity(GENERIC).content


def test_a_column_that_is_new_to_a_feed_changes_no_row_that_leaves_it_blank() -> None:
    """Else every sheet of before would be sent again."""
    wider = dataclasses.replace(
        GENERIC, columns=("New", *GENERIC.columns), notes=(*GENERIC.notes, labelled("New", "New"))
    )
    assert identify(wider, cells(GENERIC) | {"New": ""}, "EUSS", SECRET) == identity(GENERIC)
    assert identify(wider, cells(GENERIC) | {"New": "x"}, "EUSS", SECRET) != identity(GENERIC)


@ALL
def test_without_the_installations_key_nobody_can_look_a_person_up(feed: Feed) -> None:
    one, other = identity(feed), identity(feed, secret=bytes(32))
    assert one.content != other.content
    assert one.key != other.key
    assert set(str(one)) <= set("0123456789abcdef-")


def test_a_short_key_is_refused_without_being_named() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes") as refused:
        identity(NSSS, secret=b"hunter2")
    assert "hunter2" not in str(refused.value)
