"""Reference files by path or URL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipelines.domains.mobile.files import read_mapping, read_population


def test_without_settings_the_shipped_samples_are_read() -> None:
    mapping, population = read_mapping(""), read_population("", "")
    assert mapping.sha256 == hashlib.sha256(mapping.raw).hexdigest()
    assert population is not None
    assert population.raw != mapping.raw


@pytest.mark.parametrize("name", ["mapping.csv", "a mapping, 50%.csv"])
def test_a_path_and_its_url_name_one_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"content")
    assert read_mapping(str(file)) == read_mapping(file.as_uri())
    assert read_mapping(str(file)).raw == b"content"


def test_a_mapping_of_ones_own_is_not_judged_by_the_samples_populations(tmp_path: Path) -> None:
    assert read_population("", str(tmp_path / "mapping.csv")) is None


def test_populations_that_are_named_are_read_whatever_the_mapping(tmp_path: Path) -> None:
    file = tmp_path / "population.csv"
    file.write_bytes(b"content")
    for mapping in ("", "mapping.csv"):
        read = read_population(str(file), mapping)
        assert read is not None
        assert read.raw == b"content"


def test_a_scheme_that_is_not_read_here_is_refused() -> None:
    with pytest.raises(ValueError, match="file://"):
        read_mapping("ftp://host/mapping.csv")


def test_a_file_that_is_not_there_is_an_error_and_not_the_sample(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_mapping(str(tmp_path / "absent.csv"))
