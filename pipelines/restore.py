"""A lost ledger rebuilt from the receipts and the lake, so that nothing is sent again and nothing is forgotten.

What the receipts tell of is restored as it was. An output in the lake that no receipt tells of may or may not have
been delivered since the receipts were last written: it becomes a dead letter, for a person to judge and to replay.
A sheet that no receipt tells of, or that was given up, may have been sent: its requests are made as such that may be
there. From then on the ledger takes no other key than the one that residents' receipts were written with.
Landed files that are still there are found by the next listing and made again, to the same bytes and the same names;
those that no listing finds, since they hold records that are processed again, are taken in here. Pauses, the journal
and the state of circuits are in the ledger alone: they are lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, islice
from typing import TypeVar

import pyarrow.parquet as pq
from pyarrow import ArrowInvalid, BufferReader

from pipelines.adapters.installation import hold_to_told
from pipelines.adapters.ledger import Family, Ledger
from pipelines.adapters.objects import ObjectInfo, Objects
from pipelines.core.periods import hour_of_hive_path, hour_of_path
from pipelines.core.receipts import DAY, receipts_request
from pipelines.core.work import NewItem, Reason, State
from pipelines.domains.aae import receipts
from pipelines.domains.mobile import accepted, feeds, reprocessing
from pipelines.domains.mobile.copies import Copies
from pipelines.domains.residents import intake
from pipelines.domains.residents import receipts as resident_receipts
from pipelines.domains.residents.feeds import FEEDS as RESIDENT_FEEDS
from pipelines.environment import Environment
from pipelines.lost import begin_restoring, is_lost, make_whole

ACTION = "restore the ledger"
"""What the journal calls it."""

_AT_ONCE = 500
_T = TypeVar("_T")


class LedgerInUse(ValueError):  # noqa: N818 (it says what is the case)
    """The ledger holds work: there is nothing to restore."""


@dataclass(slots=True)
class Restored:
    """How many landed files and deliveries came back, and how many outputs are to be judged by a person."""

    landed: int = 0
    delivered: int = 0
    doubtful: int = 0


def restore(
    ledger: Ledger, landing: Objects, lake: Objects, environment: Environment, who: str, why: str, now: datetime
) -> Restored:
    """Rebuild the ledger; what is done already stays, so that it can be begun again after a crash.

    Raises:
        LedgerInUse: the ledger holds work, and all that the receipts tell of.
    """
    if ledger.queues() and not is_lost(ledger, lake):
        raise LedgerInUse("the ledger holds work: only a lost one is restored")
    begin_restoring(ledger, now)
    entry = ledger.begin(ACTION, who, why, "", {}, now)
    restored = Restored()
    for day in receipts.days(lake):
        landed = set[tuple[str, str]]()
        for families in _groups(receipts.read_day(lake, day)):
            ledger.restore(families, now)
            landed.update((one.item.name, one.item.version) for one in families if one.item is not None)
            restored.delivered += sum(len(one.releases) for one in families)
        restored.landed += len(landed)
    _restore_residents(ledger, lake, restored, now)
    for doubtful in _groups(_doubtful(lake, environment)):
        ledger.restore([Family(None, (one,)) for one in doubtful], now)
        ledger.take_in([receipts_request(one, "restored") for one in doubtful], now)
        restored.doubtful += len(doubtful)
    for waiting in _groups(_processed_again(ledger, landing, lake, now)):
        ledger.restore([Family(one) for one in waiting], now)
    for hours in _groups(_outdated_tables(lake)):
        ledger.take_in(hours, now)
    effect = {"landed": restored.landed, "delivered": restored.delivered, "doubtful": restored.doubtful}
    ledger.finish(entry, effect, now)
    make_whole(ledger, now)  # last: until then it is lost, and can be restored again
    return restored


def _restore_residents(ledger: Ledger, lake: Objects, restored: Restored, now: datetime) -> None:
    for day in resident_receipts.days(lake):
        if (key := resident_receipts.key_of(lake, day)) is not None:
            hold_to_told(key, ledger, now)
        for families in _groups(resident_receipts.read_day(lake, day)):
            ledger.restore(families, now)
            restored.landed += sum(not one.releases for one in families)
            restored.delivered += sum(len(one.releases) for one in families)
    for feed in RESIDENT_FEEDS.values():
        intake.doubt(ledger, feed)


def _groups(things: Iterable[_T]) -> Iterator[list[_T]]:
    remaining = iter(things)
    while group := list(islice(remaining, _AT_ONCE)):
        yield group


def _doubtful(lake: Objects, environment: Environment) -> Iterator[NewItem]:
    """What lies in the lake and no receipt tells of, as dead letters; day by day, so that memory stays flat."""
    for feed in feeds.FEEDS.values():
        destination = environment.aae_url(feed.exports.rpartition("/")[-1])
        for day, outputs in groupby(_by_hour(lake, f"{feed.queue}/"), lambda found: found[0][:DAY]):
            told = receipts.told_of(lake, day)
            for partition, info in outputs:
                if not _is_told(lake, info, told):
                    yield _dead_letter(feed, lake, info, partition, destination)


def _by_hour(lake: Objects, folder: str) -> Iterator[tuple[str, ObjectInfo]]:
    for info in lake.list(folder):
        partition = hour_of_hive_path(info.key)
        if partition is not None:
            yield partition, info


def _is_told(lake: Objects, info: ObjectInfo, told: Mapping[str, receipts.Told]) -> bool:
    """Whether a receipt tells of these very bytes: of a file that was rewritten it may tell of the bytes before."""
    known = told.get(info.key)
    if known is None:
        return False
    if info.modified <= known.released_at[known.last] and info.size == known.sizes[known.last]:
        return True
    return hashlib.sha256(lake.get(info.key)).hexdigest() in known.released_at


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
        try:
            return (pq.read_metadata(BufferReader(body)).metadata or {}).get(b"mapping_sha256", b"").decode()
        except (OSError, ArrowInvalid):  # it is damaged; the rest is restored all the same
            return ""
    return accepted.in_force_at(lake, info.modified) or ""


def _processed_again(ledger: Ledger, landing: Objects, lake: Objects, now: datetime) -> Iterator[NewItem]:
    """Records that were moved out of quarantine into files of their own, as work; what is known already stays.

    A file that was left behind before its records were moved is none of these: they would count twice.
    """
    for feed in feeds.FEEDS.values():
        copies = Copies(feed, landing, lake, ledger, now)
        found = landing.list(f"{reprocessing.FOLDER}/{feed.queue}/")
        for partition, infos in groupby(found, lambda info: hour_of_path(info.key)):
            if partition is not None:
                yield from copies.of_hour(partition, list(infos))


def _outdated_tables(lake: Objects) -> Iterator[NewItem]:
    """The tables of hours that are missing or older than what they are made of."""
    for feed in feeds.FEEDS.values():
        if feed.table is None:
            continue
        made = {partition: info.modified for partition, info in _by_hour(lake, f"{feed.table}/")}
        for partition, outputs in groupby(_by_hour(lake, f"{feed.queue}/"), lambda found: found[0]):
            newest = max(info.modified for _, info in outputs)
            if partition not in made or made[partition] < newest:
                yield NewItem(feed.table, partition, "restored", partition, 0, cause="restored", joins=True)
