"""Secrets that are kept by AWS: from the reference to one to what it says.

Here: the forms of a reference, and reading what it names. Not here: which variables may hold one, and what for. By
boto3 alone: the resources of dagster-aws list and describe before they read, which needs more rights, know texts only,
and load a thousand modules.
"""
# ruff: noqa: N818  # the exception here says what is the case, and reads as a sentence where it is caught

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import cached_property
from time import monotonic
from typing import Any

import orjson

from pipelines.adapters.aws import client

FORMS = "secretsmanager://name, ssm://parameter/path, either with #field"

_REFERENCE = re.compile(r"(?:secretsmanager|ssm)://", re.ASCII)
_PARSED = re.compile(
    r"(?P<store>secretsmanager|ssm)://(?P<name>[A-Za-z0-9/_+=.@:!-]{1,2048})(?:#(?P<field>.+))?", re.ASCII
)

_ABSENT = {"ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"}
_DENIED = {"AccessDenied", "AccessDeniedException", "DecryptionFailure", "UnrecognizedClientException"}
_DENIED |= {"ExpiredTokenException", "InvalidClientTokenId", "InvalidSignatureException", "401", "403"}
"""The numbers are for what stands between us and the store, and has no word of its own."""


class SecretUnavailable(Exception):
    """The secret can't be had. The message says why, and nothing of the secret, its reference included."""


def is_reference(value: str) -> bool:
    """Whether a variable's value says where the secret is, and is not the secret, which may be any other text."""
    return _REFERENCE.match(value) is not None


class SecretStores:
    """AWS Secrets Manager and the Parameter Store of AWS Systems Manager.

    Args:
        seconds: how long what was read is good for. A run reads all that it needs in less, so each secret once; a
            process that stays, and opens the ledger at every tick, asks no more often, and has a new value that late.
        clock: seconds from some moment on.
    """

    def __init__(self, seconds: float = 30, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, bytes]] = {}

    def read(self, reference: str) -> bytes:
        """What the secret says, or one field of it, if it is a JSON object.

        ``secretsmanager://name#field`` takes a name or an ARN; ``ssm://parameter/path`` is ``/parameter/path``, with
        ``:label`` or ``:version`` behind it if wanted, and ``ssm://parameter`` is one that is in no path.

        Raises:
            SecretUnavailable: it is none, empty, not there, not ours to read, or the store was not reached.
        """
        found = _PARSED.fullmatch(reference)
        if found is None:
            raise SecretUnavailable(f"no reference to a secret that is known; those are {FORMS}")
        content = self._content(found["store"], found["name"])
        content = content if found["field"] is None else _field(content, found["field"])
        if not content:
            raise SecretUnavailable("it is empty")
        return content

    def _content(self, store: str, name: str) -> bytes:
        read_at, content = self._kept.get((store, name), (None, b""))
        if read_at is None or self._clock() - read_at >= self._seconds:
            began = self._clock()
            content = _answer(self._secret if store == "secretsmanager" else self._parameter, name)
            self._kept[store, name] = began, content
        return content

    def _secret(self, name: str) -> bytes:
        found: Mapping[str, Any] = self._secrets.get_secret_value(SecretId=name)
        return bytes(found["SecretBinary"]) if "SecretBinary" in found else str(found["SecretString"]).encode()

    def _parameter(self, name: str) -> bytes:
        path = f"/{name}" if "/" in name and not name.startswith(("/", "arn:")) else name
        found = self._parameters.get_parameter(Name=path, WithDecryption=True)
        return str(found["Parameter"]["Value"]).encode()

    @cached_property
    def _secrets(self) -> Any:
        return client("secretsmanager")

    @cached_property
    def _parameters(self) -> Any:
        return client("ssm")


def decoded(content: bytes) -> bytes:
    """What a file holds that is kept as a secret: a store of texts has a binary one in base64."""
    try:
        return b64decode(b"".join(content.split()), validate=True)
    except ValueError:
        return content


def _answer(ask: Callable[[str], bytes], name: str) -> bytes:
    """What a store said is not handed on: it may repeat what was signed."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415 (as boto3)

    try:
        return ask(name)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        kind = "not found" if code in _ABSENT else "denied" if code in _DENIED else "refused"
        raise SecretUnavailable(f"{kind} ({code})") from None
    except NoCredentialsError:
        raise SecretUnavailable("denied: there are no credentials of AWS") from None
    except BotoCoreError as error:
        raise SecretUnavailable(f"not reached ({type(error).__name__})") from None


def _field(content: bytes, name: str) -> bytes:
    try:
        document = orjson.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise SecretUnavailable("it has no fields: it is no JSON object")
    value = document.get(name)
    if not isinstance(value, str):
        raise SecretUnavailable("it has no such field, or one that is no text")
    return value.encode()
