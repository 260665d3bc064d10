"""Secrets kept by moto, in the account in use, and a moto that asks who may read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import Request, urlopen

from pipelines_tests.servers.aws import Account
from pipelines_tests.servers.queues import client


def keep_secret(name: str, value: str | bytes) -> None:
    """In Secrets Manager; a new value takes the place of the one before."""
    what = {"SecretBinary": value} if isinstance(value, bytes) else {"SecretString": value}
    secrets = client("secretsmanager")
    try:
        secrets.create_secret(Name=name, **what)
    except secrets.exceptions.ResourceExistsException:
        secrets.put_secret_value(SecretId=name, **what)


def keep_parameter(name: str, value: str) -> None:
    """In the Parameter Store, encrypted; a new value takes the place of the one before."""
    client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)


@contextmanager
def only_with_rights(account: Account) -> Iterator[None]:
    """Meanwhile the server looks at who asks, and lets do what the policies of the one who asks allow."""
    _authorise(account, "0")
    try:
        yield
    finally:
        _authorise(account, "inf")


def new_user(account: Account, name: str, policies: list[dict[str, object]]) -> Account:
    """The account as someone with these policies and no others has it."""
    iam = account.client("iam")
    iam.create_user(UserName=name)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=str(number), PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Account(account.endpoint, key["AccessKeyId"], key["SecretAccessKey"], account.bucket)


def _authorise(account: Account, after: str) -> None:
    asked = Request(f"{account.endpoint}/moto-api/reset-auth", after.encode(), {"Content-Type": "text/plain"})
    urlopen(asked, timeout=5).close()
