"""A lost ledger rebuilt from the receipts and the lake, so that nothing is sent again and nothing is forgotten.

What the receipts tell of is restored as it was. An output in the lake that no receipt tells of may or may not have
been delivered since the receipts were last written: it becomes a dead letter, for a person to judge and to replay.
Landed files that are still there are found by the next listing and made again, to the same bytes and the same names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

import pyarrow.parquet as pq
from pyarrow import BufferReader

from pipelines.adapters.ledger import Family, Ledger
from pipelines.adapters.objects import ObjectInfo, Objects
from pipelines.core.periods import hour_of_hive_path
from pipelines.core.work import NewItem, Reason, State
from pipelines.domains.aae import receipts
from pipelines.domains.mobile import accepted, feeds
from pipelines.environment import Environment
from pipelines.lost import RESTORE, is_half_restored


class LedgerInUse(ValueError):  # noqa: N818 (it says what is the case)
    """The ledger holds work: there is nothing to restore."""


@dataclass(frozen=True, slots=True)
class Restored:
    """How many landed files and deliveries came back, and how many outputs are to be judged by a person."""

    landed: int = 0
    delivered: int = 0
    doubtful: int = 0


def restore(ledger: Ledger, lake: Objects, environment: Environment, who: str, why: str, now: datetime) -> Restored:
    """Rebuild the ledger; what is done already stays, so that it can be begun again after a crash.

    Raises:
        LedgerInUse: the ledger holds work of its own.
    """
    if ledger.queues() and not is_half_restored(ledger):
        raise LedgerInUse("the ledger holds work: only an empty one is restored")
    entry = ledger.begin(RESTORE, who, why, "", {}, now)
    restored, known = Restored(), set[str]()
    for families in _groups(receipts.read_all(lake)):
        ledger.restore(families, now)
        sent = [one for family in families for one in family.releases]
        known.update(one.detail["key"] for one in sent)
        landed = sum(family.item is not None for family in families)
        restored = replace(restored, landed=restored.landed + landed, delivered=restored.delivered + len(sent))
    for doubtful in _groups(_doubtful(lake, known, environment)):
        ledger.restore(doubtful, now)
        restored = replace(restored, doubtful=restored.doubtful + len(doubtful))
    effect = {"landed": restored.landed, "delivered": restored.delivered, "doubtful": restored.doubtful}
    ledger.finish(entry, effect, now)
    return restored


def _groups(families: Iterator[Family], size: int = 500) -> Iterator[list[Family]]:
    while group := list(islice(families, size)):
        yield group


def _doubtful(lake: Objects, known: set[str], environment: Environment) -> Iterator[Family]:
    for feed in feeds.FEEDS.values():
        destination = environment.aae_url(feed.exports.rpartition("/")[-1])
        for info in lake.list(f"{feed.queue}/"):
            partition = hour_of_hive_path(info.key)
            if info.key not in known and partition is not None:
                yield Family(None, (_dead_letter(feed, lake, info, partition, destination),))


def _dead_letter(feed: feeds.Feed, lake: Objects, info: ObjectInfo, partition: str, destination: str) -> NewItem:
    body = lake.get(info.key)
    name = feeds.exported_as(feed, partition, info.key)
    return NewItem(
        feed.exports,
        name,
        hashlib.sha256(body).hexdigest(),
        partition,
        info.size,
        destination=destination,
        state=State.DEAD,
        reason=Reason.MAY_HAVE_LEFT,
        cause="restored",
        detail={
            "key": info.key,
            "name": name,
            "content_type": feed.content_type,
            "mapping": _mapping_of(lake, info, body),
        },
        uncertain=True,
    )


def _mapping_of(lake: Objects, info: ObjectInfo, body: bytes) -> str:
    """The mapping that an output was made with: as it says itself, else the one that was in force then."""
    if info.key.endswith(".parquet"):
        return (pq.read_metadata(BufferReader(body)).metadata or {}).get(b"mapping_sha256", b"").decode()
    return accepted.in_force_at(lake, info.modified) or ""
