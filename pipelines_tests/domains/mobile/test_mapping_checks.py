import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.domains.mobile.mapping import Entry, MappingError, Place, PrivacyMapping
from pipelines.domains.mobile.mapping_checks import (
    SPECIAL_VALUES,
    Finding,
    check_mapping,
    groups_are_closed,
    keys_are_unique,
    members_are_right,
    parse_population,
    populations_over_bounds,
    special_values_are_known,
)

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "pipelines/domains/mobile"
SAMPLE = PrivacyMapping.parse((SHIPPED / "sample_mapping.csv").read_bytes())
POPULATIONS = parse_population((SHIPPED / "sample_population.csv").read_bytes())
CHECKS = (
    "keys_are_unique",
    "groups_are_closed",
    "members_are_right",
    "special_values_are_known",
    "populations_over_bounds",
)


def read_reference(name: str) -> bytes:
    path = ROOT / os.environ.get("PIPELINES_REFERENCE_DATA", "../shared/data") / "mobile" / name
    if not path.exists():
        pytest.skip("THE REFERENCE MAPPING IS ABSENT: set PIPELINES_REFERENCE_DATA, nothing real was checked")
    return path.read_bytes()


@pytest.fixture(scope="module")
def reference() -> PrivacyMapping:
    return PrivacyMapping.parse(read_reference("PD_LA_to_MergedPD_LA.csv"))


@pytest.fixture(scope="module")
def reference_populations() -> dict[Place, int]:
    return parse_population(read_reference("analytics-postcode-demographic-geographic-lookup.csv"))


def build(entries: Sequence[Entry]) -> PrivacyMapping:
    return PrivacyMapping(tuple(entries), "0" * 64)


def test_the_reference_passes_every_check(reference: PrivacyMapping, reference_populations: dict[Place, int]) -> None:
    assert check_mapping(reference, reference_populations) == {check: [] for check in CHECKS}


def test_the_bounds_are_the_least_populations_of_the_reference(
    reference: PrivacyMapping, reference_populations: dict[Place, int]
) -> None:
    """No document states the bounds: they are read from the list, so a tighter bound must fail here."""
    cells = {entry.answer for entry in reference.entries if entry.merged_district not in SPECIAL_VALUES}
    assert min(reference_populations[cell] for cell in cells if cell[1]) == 1_000
    assert min(reference_populations[cell] for cell in cells if not cell[1]) == 5_032

    findings = populations_over_bounds(reference, reference_populations, with_authority=1_001, district_alone=5_033)

    assert sorted(finding.detail for finding in findings) == [
        "the population is below 1,001",
        "the population is below 5,033",
    ]


def test_the_sample_passes_every_check_and_shows_every_kind_of_row() -> None:
    assert check_mapping(SAMPLE, POPULATIONS) == {check: [] for check in CHECKS}

    merged = {entry.merged_district for entry in SAMPLE.entries}
    assert SPECIAL_VALUES - merged == {"UNKNOWN"}
    assert any(entry.authority and "_" in entry.merged_district for entry in SAMPLE.entries)
    assert any(entry.authority is None and "_" in entry.merged_district for entry in SAMPLE.entries)


def test_the_sample_has_no_place_of_the_reference(reference: PrivacyMapping) -> None:
    assert {entry.district for entry in SAMPLE.entries} & {entry.district for entry in reference.entries} == {""}


def test_without_populations_their_check_is_not_claimed_to_pass() -> None:
    assert "populations_over_bounds" not in check_mapping(SAMPLE)


def find(district: str, authority: str | None) -> Entry:
    return next(entry for entry in SAMPLE.entries if entry.key == (district, authority))


IN_GROUP = find("QA2", "E99000001")
ALONE = find("QA2", None)
TERMINATED = find("QA20", None)
NOT_SET = find("", "")


def put(row: Entry) -> PrivacyMapping:
    return build([row if entry.line == row.line else entry for entry in SAMPLE.entries])


@pytest.mark.parametrize(
    ("check", "broken", "lines"),
    [
        (keys_are_unique, build([*SAMPLE.entries, replace(ALONE, line=99)]), {ALONE.line, 99}),
        (groups_are_closed, put(replace(ALONE, merged_district="QA2_QA3")), {ALONE.line}),
        (groups_are_closed, put(replace(ALONE, merged_district="QA2_QA2")), {ALONE.line}),
        (groups_are_closed, put(replace(NOT_SET, merged_district="QA1")), {NOT_SET.line}),
        (groups_are_closed, put(replace(ALONE, merged_district="QA2_TERMINATED")), {ALONE.line}),
        (members_are_right, put(replace(ALONE, merged_district="QA3")), {ALONE.line}),
        (members_are_right, put(replace(NOT_SET, merged_district="QA1")), {NOT_SET.line}),
        (members_are_right, put(replace(IN_GROUP, merged_authority="E99000002")), {IN_GROUP.line}),
        (members_are_right, put(replace(IN_GROUP, merged_authority="-")), {IN_GROUP.line}),
        (members_are_right, put(replace(IN_GROUP, merged_authority="")), {IN_GROUP.line}),
        (members_are_right, put(replace(IN_GROUP, merged_authority=None)), {IN_GROUP.line}),
        (special_values_are_known, put(replace(TERMINATED, merged_district="RETIRED")), {TERMINATED.line}),
        (special_values_are_known, put(replace(TERMINATED, merged_district="terminated")), {TERMINATED.line}),
        (special_values_are_known, put(replace(IN_GROUP, merged_district="TERMINATED")), {IN_GROUP.line}),
    ],
)
def test_a_breach_is_found_in_its_lines(
    check: Callable[[PrivacyMapping], list[Finding]], broken: PrivacyMapping, lines: set[int]
) -> None:
    findings = check(broken)

    assert findings == check_mapping(broken)[check.__name__]
    assert {finding.check for finding in findings} == {check.__name__}
    assert lines <= {line for finding in findings for line in finding.lines}


@pytest.mark.parametrize(
    "lost", [entry for entry in SAMPLE.entries if "_" in entry.merged_district], ids=lambda entry: f"line {entry.line}"
)
def test_a_group_that_lost_a_district_is_open(lost: Entry) -> None:
    """The lost district then counts elsewhere, and the difference of both cells is that district alone."""
    findings = groups_are_closed(build([entry for entry in SAMPLE.entries if entry is not lost]))

    assert len(findings) == 1
    assert lost.line not in findings[0].lines


def test_a_district_may_be_merged_otherwise_in_each_authority() -> None:
    merged = {entry.answer for entry in SAMPLE.entries if entry.district == "QA2"}

    assert merged == {("QA2_QA3", "E99000001"), ("QA2_QA4_QA5", "E99000002"), ("QA2", None)}
    assert not groups_are_closed(SAMPLE)


@pytest.mark.parametrize(
    ("cell", "people", "detail"),
    [
        (("QA2_QA3", "E99000001"), 999, "the population is below 1,000"),
        (("QA2", None), 4_999, "the population is below 5,000"),
        (("QA2", None), None, "the population is not known"),
    ],
)
def test_a_cell_of_too_few_or_unknown_people_is_found(cell: Place, people: int | None, detail: str) -> None:
    populations = {key: value for key, value in POPULATIONS.items() if key != cell}
    if people is not None:
        populations[cell] = people

    findings = populations_over_bounds(SAMPLE, populations)

    assert [finding.detail for finding in findings] == [detail]
    assert findings[0].lines == tuple(entry.line for entry in SAMPLE.entries if entry.answer == cell)


def test_findings_name_no_place() -> None:
    broken = build([replace(entry, merged_district="QA1_XX", merged_authority="E0") for entry in SAMPLE.entries])

    details = " ".join(finding.detail for findings in check_mapping(broken, {}).values() for finding in findings)

    assert details
    assert "QA" not in details
    assert "E9" not in details


def test_a_population_belongs_to_a_merged_district_and_its_authority_if_any() -> None:
    raw = b"\xef\xbb\xbflad20cd,name,postcode,merged_postcode_district_population\r\nE1,a,QA1,12\r\n,a,QA1,34\r\n"

    assert parse_population(raw) == {("QA1", "E1"): 12, ("QA1", None): 34}


POPULATION_HEADER = b"postcode,merged_postcode_district_population,lad20cd\n"
PEOPLE = "merged_postcode_district_population"


@pytest.mark.parametrize(
    ("raw", "faults"),
    [
        (b"", [(1, None)]),
        (b"postcode,lad20cd\nQA1,\n", [(1, PEOPLE)]),
        (b"postcode,postcode,merged_postcode_district_population\n,,\n", [(1, "postcode"), (1, "lad20cd")]),
        (
            POPULATION_HEADER + b"QA1,,\nQA2,-5,\nQA3,1.5,\nQA4,\xc2\xb2,\n",
            [(2, PEOPLE), (3, PEOPLE), (4, PEOPLE), (5, PEOPLE)],
        ),
        (POPULATION_HEADER + b"QA1,5,\nQA1,6,E1\nQA1,6,\n", [(4, "postcode")]),
        (POPULATION_HEADER + b"QA1,x,\nQA1,6\n", [(2, PEOPLE), (3, None)]),
    ],
)
def test_a_faulty_population_table_is_refused_with_its_lines(raw: bytes, faults: list[tuple[int, str | None]]) -> None:
    with pytest.raises(MappingError) as caught:
        parse_population(raw)

    assert sorted((fault.line, fault.column) for fault in caught.value.faults) == sorted(faults)
    assert str(caught.value).startswith("population table: ")
