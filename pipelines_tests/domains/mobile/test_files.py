"""Reference files by path or URL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pipelines.adapters.objects import ObjectMissing, ObjectsUnavailable
from pipelines.domains.mobile.files import read_mapping, read_population
from pipelines_tests.servers.aws import Account


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


@pytest.mark.parametrize("server", ["seaweedfs", "moto"])
def test_an_object_is_read_by_its_url_and_never_replaced_by_the_sample(
    server: str, request: pytest.FixtureRequest
) -> None:
    account: Account = request.getfixturevalue(server)
    with account.in_use():
        s3 = account.client("s3")
        for key in ("mapping.csv", "reference/of 2026/mapping é, 50%.csv"):
            s3.put_object(Bucket=account.bucket, Key=key, Body=b"content")
            assert read_mapping(f"s3://{account.bucket}/{key}").raw == b"content"
        with pytest.raises(ObjectMissing):
            read_mapping(f"s3://{account.bucket}/reference/absent.csv")
        with pytest.raises(ObjectsUnavailable):
            read_mapping("s3://no-such-bucket/mapping.csv")
        for no_key in (f"s3://{account.bucket}", "s3://"):
            with pytest.raises(ValueError, match=r"s3://bucket/folder|unknown scheme|not a key"):
                read_mapping(no_key)


def test_a_file_that_is_not_there_is_an_error_and_not_the_sample(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_mapping(str(tmp_path / "absent.csv"))
