"""Objects in S3, or in what speaks like it, with the address and the identity that the tools of AWS would take.

Those are the variables, profiles and roles that botocore looks for: ``AWS_ENDPOINT_URL_S3`` and ``AWS_ENDPOINT_URL``,
``AWS_DEFAULT_REGION`` and ``AWS_REGION``, ``AWS_CA_BUNDLE``, ``AWS_PROFILE`` and its files, keys, web identities, the
roles of a container or of a machine. Buckets are part of the path, so that an endpoint needs one name only.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.configprovider import ConfiguredEndpointProvider
from botocore.session import get_session
from obstore.store import S3Store

from pipelines.adapters.objects.contract import check_key
from pipelines.adapters.objects.s3_listing import list_by_hand
from pipelines.adapters.objects.stored import StoredObjects

if TYPE_CHECKING:
    from botocore.session import Session
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")

RETRIES: RetryConfig = {
    "max_retries": 4,
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2},
    "retry_timeout": timedelta(seconds=30),
}
"""A short disturbance is waited for here; whatever lasts longer is the business of those who know what they work on."""

TIMES: ClientConfig = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(hours=1),  # a whole object, in the time of who reads it
}

_ASKED_AGAIN = timedelta(minutes=1)
"""Botocore renews what is temporary ten minutes before it expires, so what it says is good for this long."""


def open_s3(url: str, rest: str) -> StoredObjects:
    """The store in a bucket, or in a folder of it; nothing is asked of anyone before it is used."""
    bucket, folder = _place(rest)
    session = get_session()
    client: ClientConfig = {**TIMES}
    config: S3Config = {}
    if endpoint := _endpoint(session):
        config["aws_endpoint_url_s3"] = endpoint
        client["allow_http"] = urlsplit(endpoint).scheme == "http"
    if region := session.get_config_variable("region"):
        config["region"] = region
    if authorities := session.get_config_variable("ca_bundle"):
        client["root_certificate"] = Path(authorities).read_bytes()
    store = S3Store(
        bucket,
        prefix=folder or None,
        config=config,
        client_options=client,
        retry_config=RETRIES,
        credential_provider=_Identity(session),
    )
    return StoredObjects(url, store, missing="NoSuchKey", list_by_hand=partial(list_by_hand, bucket, folder))


class _Identity:
    """Asked before each request whose keys are of more than a moment ago; temporary ones are renewed in time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._one_at_a_time = Lock()

    def __call__(self) -> S3Credential:
        with self._one_at_a_time:
            found = self._session.get_credentials()
            keys = found and found.get_frozen_credentials()
        if not keys or not keys.access_key or not keys.secret_key:
            raise LookupError
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.now(UTC) + _ASKED_AGAIN,
        }


def _place(rest: str) -> tuple[str, str]:
    bucket, _, folder = rest.rstrip("/").partition("/")
    if not _BUCKET.fullmatch(bucket) or "?" in folder or "#" in folder:
        raise ValueError("objects: s3:// names a bucket and, if wanted, a folder, as in s3://bucket/folder")
    return bucket, check_key(folder) if folder else ""


def _endpoint(session: Session) -> str | None:
    """Where to, if not to AWS itself."""
    endpoint: str | None = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), "s3").provide()
    if endpoint is None:
        return None
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise ValueError("objects: the endpoint of S3 needs https://; http:// is for loopback hosts only")
    return endpoint


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
