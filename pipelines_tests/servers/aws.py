"""What a process needs to know to work with a server as if it were AWS: the variables that AWS's own clients read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

from boto3.session import Session

REGION = "eu-west-2"

NOBODY = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_DEFAULT_REGION": REGION,
}
"""Whoever runs the tests is not to be met in them."""


@dataclass(frozen=True, slots=True)
class Account:
    """An endpoint with the keys that it accepts, and a bucket that is there."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str = ""

    @property
    def variables(self) -> Mapping[str, str]:
        """What a child process needs."""
        return NOBODY | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    def client(self, service: str) -> Any:
        """A client of boto3 with this account alone, in use or not."""
        session = Session(self.access_key, self.secret_key, region_name=REGION)
        return session.client(cast(Any, service), endpoint_url=self.endpoint)

    def at(self, endpoint: str) -> Account:
        """The same account, reached over another endpoint."""
        return replace(self, endpoint=endpoint)

    def make_bucket(self, name: str) -> None:
        """One more."""
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    @contextmanager
    def in_use(self, **more: str) -> Iterator[Account]:
        """This process uses the account, and ``more`` variables."""
        with variables({**self.variables, **more}):
            yield self


@contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """These variables of AWS and no others, until the end."""
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    try:
        _replace(wanted)
        yield
    finally:
        _replace(before)


def _replace(wanted: Mapping[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(wanted)
