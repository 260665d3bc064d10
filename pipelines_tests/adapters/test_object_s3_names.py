"""Names in a bucket that are no keys: anyone who may upload can make them, and they hide nothing beside them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipelines.adapters.objects import Objects, ObjectsUnavailable, open_objects
from pipelines.adapters.objects.s3_listing import list_by_hand
from pipelines_tests.servers.aws import Account

ODD = ["b\x01.json", "b\x7f.json", "b//c.json"]
GOOD = [f"hour/{number:04}.json" for number in range(1_001)]  # more than a page


@pytest.fixture(params=["seaweedfs", "moto"])
def account(request: pytest.FixtureRequest) -> Any:
    account: Account = request.getfixturevalue(request.param)
    with account.in_use():
        yield account


@pytest.fixture
def objects(account: Account, tmp_path: Path) -> Objects:
    return open_objects(f"s3://{account.bucket}/{tmp_path.name}")


def put_oddly(account: Account, key: str) -> None:
    """Past all that looks at keys."""
    boto3.client("s3").put_object(Bucket=account.bucket, Key=key, Body=b"")


@pytest.mark.parametrize("odd", ODD)
def test_what_lies_beside_them_is_listed_and_they_are_counted_without_their_names(
    account: Account, objects: Objects, tmp_path: Path, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("hour/a.json", "hour/z.json"):
        objects.put(key, b"what is in it")
    put_oddly(account, f"{tmp_path.name}/hour/{odd}")
    expected = [objects.head("hour/a.json"), objects.head("hour/z.json")]
    with caplog.at_level(logging.WARNING):
        assert [info for info in objects.list("hour/") if info.size] == expected
        assert [info for info in objects.list("", after="hour/a.json") if info.size] == expected[1:]
    assert odd not in caplog.text


def test_a_listing_goes_on_where_it_met_the_first_of_them(moto: Account, tmp_path: Path) -> None:
    with moto.in_use():
        objects = open_objects(f"s3://{moto.bucket}/{tmp_path.name}")
        for key in GOOD:
            objects.put(key, b"1")
        put_oddly(moto, f"{tmp_path.name}/hour/1000//.json")
        assert [info.key for info in objects.list("hour/")] == GOOD


def test_a_bucket_that_is_gone_is_not_empty_by_hand_either(account: Account) -> None:
    with pytest.raises(ObjectsUnavailable, match=r"^hour/: NoSuchBucket$"):
        list(list_by_hand("not-there", "", "hour/", None))


def test_nor_is_a_server_that_is_not_reached(account: Account) -> None:
    with account.at("http://127.0.0.1:9").in_use(), pytest.raises(ObjectsUnavailable, match=r"^hour/: Endpoint"):
        list(list_by_hand(account.bucket, "", "hour/", None))
