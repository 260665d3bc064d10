from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.domains.mobile.landed import VerificationError
from pipelines.domains.mobile.packages.columns import SCHEMA
from pipelines.domains.mobile.packages.verification import ROW_GROUP_ROWS, open_writer, verify

TARGETS = {("AL1", "E07000240"), ("AB13_AB14", None), ("UNKNOWN", "UNKNOWN")}
FIELDS = list(SCHEMA)
PROVENANCE = {"mapping_sha256": "0" * 64, "mapping_version": "0" * 12, "code_version": "1"}


def make_rows(places: Sequence[tuple[str | None, str | None]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [{"postaldistrict": district, "localauthority": authority} for district, authority in places], schema=SCHEMA
    )


def write(*batches: pa.RecordBatch, provenance: dict[str, str] = PROVENANCE) -> io.BytesIO:
    target = io.BytesIO()
    with open_writer(target, provenance) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return target


def test_a_file_of_mapped_places_passes_and_stays_open() -> None:
    with tempfile.TemporaryFile() as target:
        with open_writer(target, PROVENANCE) as writer:
            writer.write_batch(make_rows([*TARGETS, *TARGETS]))
        verify(target, TARGETS, 6)
        target.seek(0)
        assert pq.read_table(target).num_rows == 6


def test_a_file_without_rows_passes_if_none_were_accepted() -> None:
    verify(write(), TARGETS, 0)
    verify(write(make_rows([])), TARGETS, 0)
    with pytest.raises(VerificationError, match="0 rows are in the file, 1 were accepted"):
        verify(write(), TARGETS, 1)


@pytest.mark.parametrize(
    "place",
    [
        ("ZZ9Q", "E07000240"),
        ("AL1", None),
        ("AL1", "E06000051"),
        ("AB13_AB14", "E07000240"),
        ("AB13", None),
        (None, None),
        ("UNKNOWN", None),
        ("", ""),
    ],
)
def test_a_place_that_the_mapping_never_answers_fails_without_being_named(
    place: tuple[str | None, str | None],
) -> None:
    with pytest.raises(VerificationError) as caught:
        verify(write(make_rows([*TARGETS, place, place])), TARGETS, 5)
    assert str(caught.value) == "2 rows hold a postaldistrict and localauthority that the mapping never answers"


def test_a_stray_place_in_the_last_row_group_is_found() -> None:
    many = [("UNKNOWN", "UNKNOWN")] * ROW_GROUP_ROWS
    target = write(make_rows([*many, ("ZZ9Q", None)]))
    assert pq.ParquetFile(target).num_row_groups == 2
    with pytest.raises(VerificationError, match="1 rows hold"):
        verify(target, TARGETS, len(many) + 1)


@pytest.mark.parametrize("expected", [0, 2, 4])
def test_rows_lost_or_gained_fail(expected: int) -> None:
    with pytest.raises(VerificationError, match="3 rows are in the file"):
        verify(write(make_rows(list(TARGETS))), TARGETS, expected)


@pytest.mark.parametrize(
    "schema",
    [
        pa.schema(FIELDS[:-1]),
        pa.schema([*FIELDS, pa.field("late", pa.int32())]),
        pa.schema([FIELDS[1], FIELDS[0], *FIELDS[2:]]),
        pa.schema([*FIELDS[:-1], pa.field(FIELDS[-1].name, pa.int64())]),
    ],
)
def test_columns_missing_added_moved_or_retyped_fail(schema: pa.Schema) -> None:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([], schema=schema), target)
    with pytest.raises(VerificationError, match="columns"):
        verify(target, TARGETS, 0)


@pytest.mark.parametrize("damage", [lambda raw: b"", lambda raw: raw[:-1], lambda raw: b"not parquet" * 9])
def test_a_file_that_cannot_be_read_fails(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(VerificationError, match="read"):
        verify(io.BytesIO(damage(write(make_rows(list(TARGETS))).getvalue())), TARGETS, 3)


def test_a_file_says_what_it_was_made_with() -> None:
    metadata = pq.ParquetFile(write(make_rows(list(TARGETS)))).metadata.metadata
    assert metadata == {key.encode(): value.encode() for key, value in PROVENANCE.items()}


def test_bytes_depend_on_rows_and_provenance_alone() -> None:
    """Not on the batches in which the rows came, nor on the time."""
    places = [*TARGETS] * 10_000
    whole = write(make_rows(places)).getvalue()
    cuts = [0, 1, 5_000, 20_480, 20_481, 29_999, 30_000]
    parts = [make_rows(places[start:end]) for start, end in pairwise(cuts)]
    assert write(*parts).getvalue() == whole
    assert write(make_rows(places), provenance=PROVENANCE | {"code_version": "2"}).getvalue() != whole


def test_row_groups_are_bounded_and_full_but_the_last() -> None:
    batch = make_rows([("UNKNOWN", "UNKNOWN")] * 7_000)
    metadata = pq.ParquetFile(write(*[batch] * 7)).metadata
    groups = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
    assert groups == [ROW_GROUP_ROWS, ROW_GROUP_ROWS, 49_000 - 2 * ROW_GROUP_ROWS]


def test_an_error_while_writing_is_not_swallowed() -> None:
    with pytest.raises(RuntimeError, match="boom"), open_writer(io.BytesIO(), PROVENANCE):
        raise RuntimeError("boom")
