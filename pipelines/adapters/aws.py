"""Clients of AWS's services. Region, endpoint and credentials come by boto3's own chains."""

from __future__ import annotations

from typing import Any, cast

_CONNECT_SECONDS, _ANSWER_SECONDS, _TRIES = 5, 5, 3


def client(service: str, wait: int = 0) -> Any:
    """A client of a service by its name, as ``sqs``; of an answer that may take ``wait`` seconds it is patient."""
    import boto3  # noqa: PLC0415 (a deployment on one machine needs none of it)
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=wait + _ANSWER_SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
    )
    # The default session must not be shared by threads, as those of a code server.
    return boto3.session.Session().client(cast(Any, service), config=config)
