import os
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domains.mobile.mapping import UNKNOWN_PLACE, MappingError, Place, PrivacyMapping

ROOT = Path(__file__).parents[3]
SAMPLE = (ROOT / "pipelines/domains/mobile/sample_mapping.csv").read_bytes()
SAMPLE_MAPPING = PrivacyMapping.parse(SAMPLE)
HEADER = b'"Postcode_District_LAD_ID","LAD20CD","Merged_Postcode_District"\n'


@pytest.fixture(scope="module")
def reference_file() -> bytes:
    path = ROOT / os.environ.get("PIPELINES_REFERENCE_DATA", "../shared/data") / "mobile/PD_LA_to_MergedPD_LA.csv"
    if not path.exists():
        pytest.skip("THE REFERENCE MAPPING IS ABSENT: set PIPELINES_REFERENCE_DATA, nothing real was compared")
    return path.read_bytes()


@pytest.fixture(scope="module")
def reference(reference_file: bytes) -> PrivacyMapping:
    return PrivacyMapping.parse(reference_file)


UNKNOWN = UNKNOWN_PLACE
GOLDEN: list[tuple[str, str | None, Place]] = [
    ("AL1", "E07000240", ("AL1", "E07000240")),
    ("AL2", "E07000098", ("AL2_AL4_WD7", "E07000098")),
    ("AL2", "E07000240", ("AL2_HP2_HP3_WD5_WD7_WD25", "E07000240")),
    ("AL2", None, ("AL2", None)),
    ("AL2", "", ("AL2", None)),
    ("AL2", "UNKNOWN", ("AL2", None)),
    ("AL2", "E09000033", ("AL2", None)),
    ("AB13", None, ("AB13_AB14", None)),
    ("YO62", "E07000152", ("YO60_YO62", None)),
    ("YO62", "Houston", ("YO60_YO62", None)),
    ("CV23", "E07000151", ("CV21_CV23", "E07000151")),
    ("CV23", None, ("CV23", None)),
    ("SE1", "E09000028", ("SE1_SE1P", "E09000028")),
    ("E1", "E09000030", ("E1_EC2M", "E09000030")),
    ("W1A", "E09000033", ("W1A_W1K", "E09000033")),
    ("EC1N", "E09000033", ("EC1N_WC1A_WC1B_WC1E_WC1R_WC1V_WC2A", None)),
    ("BT1", "N09000003", ("BT1_BT3_BT7", None)),
    ("BT1", None, ("BT1_BT3_BT7", None)),
    ("B99", "E08000025", ("B6_B19_B99", "E08000025")),
    ("B99", None, UNKNOWN),
    ("", "", ("NOT SET", None)),
    ("", None, UNKNOWN),
    ("", "E07000240", UNKNOWN),
]
ANY_AUTHORITY: list[tuple[str, Place]] = [
    ("AB1", ("TERMINATED", None)),
    ("NPT", ("TERMINATED", None)),
    ("JE1", ("NON-GEOGRAPHIC", None)),
    ("GIR", ("NON-GEOGRAPHIC", None)),
    ("A1", ("DOES NOT EXIST", None)),
    ("EC1", ("DOES NOT EXIST", None)),
    ("a1", UNKNOWN),
    ("al1", UNKNOWN),
    (" AL1", UNKNOWN),
    ("AL1 ", UNKNOWN),
    ("F4KEP0STC0DE", UNKNOWN),
    ("UNKNOWN", UNKNOWN),
    ("AL2_AL4_WD7", UNKNOWN),
]


@pytest.mark.parametrize(("district", "authority", "place"), GOLDEN)
def test_a_known_pair_gets_the_answer_of_the_reference(
    reference: PrivacyMapping, district: str, authority: str | None, place: Place
) -> None:
    assert reference.lookup(district, authority) == place


@pytest.mark.parametrize("authority", [None, "", "UNKNOWN", "E07000240", "Houston"])
@pytest.mark.parametrize(("district", "place"), ANY_AUTHORITY)
def test_an_authority_does_not_change_a_place_that_has_none(
    reference: PrivacyMapping, district: str, place: Place, authority: str | None
) -> None:
    assert reference.lookup(district, authority) == place


def test_every_key_of_the_reference_gets_the_answer_of_the_two_level_algorithm(
    reference: PrivacyMapping, reference_file: bytes
) -> None:
    """The algorithm is written again here, plainly, over its own reading of the file."""
    rows = [line[1:-1].split('","') for line in reference_file.decode().splitlines()[1:]]
    answers: dict[tuple[str, str], Place] = {}
    for key, authority_of_answer, merged in rows:
        parts = [part for part in key.split("_", 1) if part]
        match parts:
            case [district, authority]:
                answers[district, authority] = (merged, authority_of_answer)
            case [district]:
                answers[district, "UNKNOWN"] = (merged, None)
            case _:
                answers["", ""] = (merged, None)

    def find(district: str, authority: str | None) -> Place:
        first = (district, "UNKNOWN" if authority is None else authority)
        return answers.get(first) or answers.get((district, "UNKNOWN")) or ("UNKNOWN", "UNKNOWN")

    pairs: set[tuple[str, str | None]] = set()
    for district, own in answers:
        pairs |= {(district, authority) for authority in (own, None, "", "UNKNOWN", "E07000240", "S12000033", "-")}
        pairs |= {(district.lower(), own), (f"{district} ", own), (f"{district}_", own)}

    assert len(answers) == reference.rows == 7_606
    wrong = [pair for pair in pairs if reference.lookup(*pair) != find(*pair)]
    assert not wrong


def test_a_version_is_the_beginning_of_the_hash_of_the_bytes(reference: PrivacyMapping) -> None:
    assert reference.sha256 == "01a114c5b29eece70de602a77658c2d0b9305659637700297a1df155e317bc15"
    assert reference.version == "01a114c5b29e"
    assert SAMPLE_MAPPING.sha256 == sha256(SAMPLE).hexdigest()


def test_targets_are_the_answers_of_every_key_and_unknown() -> None:
    asked = {SAMPLE_MAPPING.lookup(*entry.key) for entry in SAMPLE_MAPPING.entries}

    assert SAMPLE_MAPPING.targets == asked | {UNKNOWN}
    assert ("QA8_QA9", "E99000002") in SAMPLE_MAPPING.targets
    assert ("QA9", None) not in SAMPLE_MAPPING.targets


KNOWN_TEXTS = sorted({text for entry in SAMPLE_MAPPING.entries for text in (*entry.key, *entry.answer) if text})
TEXTS = st.sampled_from(KNOWN_TEXTS) | st.text(max_size=12)


@given(district=TEXTS, authority=TEXTS | st.none())
def test_whatever_is_asked_the_answer_is_a_target(district: str, authority: str | None) -> None:
    """The gate before publication allows targets only, so an answer beside them would stop a good file."""
    assert SAMPLE_MAPPING.lookup(district, authority) in SAMPLE_MAPPING.targets


def test_the_table_has_every_entry_and_null_where_a_district_stands_alone() -> None:
    table = SAMPLE_MAPPING.to_table()

    assert table.column_names == ["district", "authority", "merged_district", "merged_authority"]
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [(*entry.key, *entry.answer) for entry in SAMPLE_MAPPING.entries]
    assert rows[-1] == ("", "", "NOT SET", None)
    assert ("QA2", None, "QA2", None) in rows


def test_a_mapping_does_not_spill_its_rows_when_printed() -> None:
    assert "QA" not in repr(SAMPLE_MAPPING)


@pytest.mark.parametrize(
    "raw",
    [
        SAMPLE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + SAMPLE,
        SAMPLE.replace(b'"', b""),
        SAMPLE.replace(b'","', b'", "'),
        SAMPLE.rstrip(b"\n"),
    ],
    ids=["line ends of Windows", "byte order mark", "no quotes", "spaces before values", "no last line end"],
)
def test_the_dress_of_a_file_does_not_change_its_meaning(raw: bytes) -> None:
    assert [(*entry.key, *entry.answer) for entry in PrivacyMapping.parse(raw).entries] == [
        (*entry.key, *entry.answer) for entry in SAMPLE_MAPPING.entries
    ]


KEY, MERGED = "Postcode_District_LAD_ID", "Merged_Postcode_District"
ROW = b'"QA1_","-","QA1"\n'
BAD_HEADER = "header other than Postcode_District_LAD_ID, LAD20CD, Merged_Postcode_District"


@pytest.mark.parametrize(
    ("raw", "faults"),
    [
        (b"", [(1, "no rows", None)]),
        (b" \n\n", [(1, "no rows", None)]),
        (HEADER, [(1, "no rows", None)]),
        (ROW, [(1, "no rows", None)]),
        (ROW + ROW, [(1, BAD_HEADER, None)]),
        (HEADER.lower() + ROW, [(1, BAD_HEADER, None)]),
        (HEADER + ROW + b'"QA\xff_","-","QA1"\n', [(3, "not UTF-8", None)]),
        (HEADER + b'"QA2_","-"\n' + ROW, [(2, "wrong number of columns", None)]),
        (HEADER + ROW + b"\n", [(3, "wrong number of columns", None)]),
        (
            HEADER + ROW + b'"QA2_","-","QA2"x\n"QA3","-","QA3"\n',
            [(3, "malformed CSV", None), (4, "no underscore", KEY)],
        ),
        (HEADER + ROW + b'"QA2_","-","QA2\n', [(3, "malformed CSV", None)]),
        (HEADER + b'"QA2","-","QA2"\n' + ROW, [(2, "no underscore", KEY)]),
        (HEADER + ROW + b'"_E99000001","E99000001","QA1"\n', [(3, "no district", KEY)]),
        (HEADER + ROW + b'"QA2_UNKNOWN","UNKNOWN","QA2"\n', [(3, "reserved authority", KEY)]),
        (HEADER + ROW + b'"QA2_","-",""\n', [(3, "empty value", MERGED)]),
        (HEADER + ROW + b'"QA2_","-"," "\n', [(3, "empty value", MERGED)]),
        (HEADER + ROW + ROW, [(3, "duplicate key", KEY)]),
        (HEADER + b'"_","","NOT SET"\n' * 2, [(3, "duplicate key", KEY)]),
        (HEADER + b'"QA2_","-\n-","QA2"\n"QA3","-","QA3"\n', [(4, "no underscore", KEY)]),
    ],
)
def test_a_faulty_file_is_refused_with_the_line_and_the_kind(
    raw: bytes, faults: list[tuple[int, str, str | None]]
) -> None:
    """The line is where the row begins, also after a cell of several lines; the reference named its last record."""
    with pytest.raises(MappingError) as caught:
        PrivacyMapping.parse(raw)

    assert [(fault.line, fault.kind, fault.column) for fault in caught.value.faults] == faults


def test_one_refusal_tells_every_bad_row_and_no_value() -> None:
    raw = HEADER + b'"QA1","-","QA1"\n"QA2_","-"\n"QA3_","-",""\n"QA4_","-","QA4"\n"QA5","-","QA5"\n'

    with pytest.raises(MappingError) as caught:
        PrivacyMapping.parse(raw)

    assert str(caught.value) == (
        "privacy mapping: no underscore in Postcode_District_LAD_ID (lines 2, 6); "
        "wrong number of columns (line 3); empty value in Merged_Postcode_District (line 4)"
    )
