"""A listing of S3 that gets past names which are no keys, as those with control characters or two slashes in a row.

Anyone who may upload can make one, and obstore, which is several times as fast, gives up a whole page for it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC

from botocore.exceptions import BotoCoreError, ClientError

from pipelines.adapters.aws import client
from pipelines.adapters.objects.contract import ObjectInfo, ObjectsUnavailable, check_key

logger = logging.getLogger(__name__)


def list_by_hand(bucket: str, root: str, prefix: str, after: str | None) -> Iterator[ObjectInfo]:
    """List a folder below a root (or none) of a bucket, after a key; what can't be read by its name is left out.

    Raises:
        ObjectsUnavailable: it can't be listed.
    """
    base = f"{root}/" if root else ""
    left_out = 0
    try:
        pages = client("s3").get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=base + prefix, StartAfter=base + after if after else ""):
            for found in page.get("Contents", ()):
                key = found["Key"].removeprefix(base)
                try:
                    check_key(key)
                except ValueError:
                    left_out += 1
                    continue
                yield ObjectInfo(key, found["Size"], found["ETag"].strip('"'), found["LastModified"].astimezone(UTC))
    except ClientError as error:
        raise ObjectsUnavailable(f"{prefix}: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise ObjectsUnavailable(f"{prefix}: {type(error).__name__}") from None
    if left_out:
        logger.warning("%d names in %r are no keys: left out", left_out, prefix)
