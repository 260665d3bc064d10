from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from pipelines.domains.mobile.packages.columns import COLUMNS, SCHEMA, Kind, Place, Presence

HERE = Path(__file__).parent
BYTE_COUNTERS = {column.source for column in COLUMNS if column.kind is Kind.INT64}


def test_released_columns_keep_their_place_name_and_type() -> None:
    """Readers rely on it. A new column is appended to the table, and to the released list once it is released."""
    released = (HERE / "columns_released.txt").read_text().splitlines()
    today = [f"{field.name} {field.type}" for field in SCHEMA]
    assert len(released) == 105
    assert today[: len(released)] == released


def test_columns_are_those_of_the_reference_in_its_order(reference_data: Path) -> None:
    reference = json.loads((reference_data / "mobile" / "glue_fields.json").read_text())["mobile_analytics"]
    types = {"string": pa.string(), "boolean": pa.bool_(), "int": pa.int32()}
    expected = [
        (name.lower(), pa.int64() if name in BYTE_COUNTERS else types[kind]) for name, kind in reference.items()
    ]
    assert [(field.name, field.type) for field in SCHEMA] == expected
    assert [column.source for column in COLUMNS] == list(reference)


def test_the_byte_counters_are_the_only_wide_columns() -> None:
    assert len(BYTE_COUNTERS) == 6
    assert all(name.startswith("cumulative") and name.endswith("Bytes") for name in BYTE_COUNTERS)


def test_columns_can_all_be_null_and_their_names_are_unique_and_lower_case() -> None:
    assert all(field.nullable for field in SCHEMA)
    assert len(set(SCHEMA.names)) == len(SCHEMA.names)
    assert all(name == name.lower() for name in SCHEMA.names)


def test_the_table_counts_as_the_contract_does() -> None:
    def count(presence: Presence) -> int:
        return sum(column.presence is presence for column in COLUMNS)

    assert count(Presence.DEAD) == 26
    assert count(Presence.ZERO) == 9
    assert count(Presence.NULLABLE) == 62
    assert [column.source for column in COLUMNS if column.presence is Presence.OPTIONAL] == ["localAuthority"]
    assert [column.source for column in COLUMNS if column.place is Place.TOP] == ["includesMultipleApplicationVersions"]
