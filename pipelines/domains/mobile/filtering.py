"""One landed file, from its bytes to a verified output in the lake: what is read, written, checked and released.

The order matters. Quarantine and output are written to files without a name, the output is read back and verified,
only then is it published, and only then does the ledger release it, in the same transaction that settles the file. A
crash before that leaves nothing that could be delivered; doing it all again gives the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import IO, Any

import orjson

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects, ObjectsUnavailable
from pipelines.core.lines import BrokenStream, gunzip, split_lines
from pipelines.core.periods import HOUR, hour_start
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Outcome, Reason, State
from pipelines.domains.mobile import accepted, releases
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.packages.filter import PackageFilter, Reject, Tally
from pipelines.domains.mobile.packages.verification import VerificationError, open_writer, verify

_HASHED_AT_ONCE = 1 << 20

CODE_VERSION = "1"
"""Raise it when the same input and mapping give another output: what was not delivered yet is then made again."""


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a landed file."""

    tally: Tally
    broken: bool
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Filtering:
    """What filtering a file needs; ``still_held`` says whether the file is still ours to publish."""

    landing: Objects
    lake: Objects
    ledger: Ledger
    mapping: PrivacyMapping
    destination: str
    record_bytes: int
    policy: RetryPolicy
    cause: str
    now: Callable[[], datetime]
    still_held: Callable[[Item], bool]

    @property
    def made_with(self) -> str:
        """What outputs depend on beside the landed file."""
        return f"{self.mapping.sha256} {CODE_VERSION}"

    def renewed(self) -> Filtering:
        """The same with the mapping that is in force now: it may be another one since the run began."""
        in_force = accepted.named(self.lake)
        if in_force in (None, self.mapping.sha256):
            return self
        return replace(self, mapping=accepted.version(self.lake, str(in_force)))

    def outcome(self, item: Item) -> Outcome:
        """Filter one claimed file and say what became of it; only an error of our own raises."""
        if self.policy.exhausted(item.attempts) and item.reason != Reason.UNREADABLE:
            return self._given_up(item, Reason.CRASHED, attempted=False)
        try:
            return self._filter(item)
        except ObjectMissing:
            return self._without_raw(item)
        except ObjectChanged:
            # The newer version is, or will be, an item of its own.
            return Outcome(item.id, item.fence, State.SUPERSEDED, reason=Reason.CHANGED)
        except VerificationError:
            return self._again(item, Reason.UNVERIFIED)
        except ObjectsUnavailable:
            # The store is out of order, not the file: it is tried for as long as that lasts.
            pause = self.policy.pause(item.attempts + 1, 0.0)
            return Outcome(item.id, item.fence, State.PENDING, due_at=self.now() + pause, reason=Reason.UNREADABLE)

    def _filter(self, item: Item) -> Outcome:
        if self.landing.head(item.name).etag != item.detail["etag"]:
            raise ObjectChanged(item.name)
        exports = self.ledger.withhold(releases.EXPORTS, item.partition, releases.export_name(item), self.now())
        sent = [one for one in exports if one.uncertain or one.attempts or one.state in _LEFT]
        # What may have left keeps the mapping that it left with, rewritten or not: two releases of one record under
        # two mappings can be intersected.
        mapping = accepted.version(self.lake, sent[-1].detail["mapping"]) if sent else self.mapping
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as rejected:
            made = self._make(item, mapping, output, rejected)
            if not self.still_held(item):
                return Outcome(item.id, item.fence, State.PENDING, attempted=False)
            self._publish(self.landing, releases.quarantine_key(item), rejected, sum(made.tally.rejected.values()))
            self._publish(self.lake, releases.output_key(item), output, made.tally.written)
        here = [one for one in sent if one.parent == item.id and one.destination == self.destination]
        return self._settled(item, self._facts(item, made, mapping), here)

    def _make(self, item: Item, mapping: PrivacyMapping, output: IO[bytes], rejected: IO[bytes]) -> Made:
        """Write the output and the rejects, and verify the output."""
        packages = PackageFilter(mapping, judged_at=hour_start(item.partition) + HOUR)
        chunks: Iterator[bytes] = self.landing.stream(item.name, etag=item.detail["etag"])
        lines = split_lines(gunzip(chunks) if item.name.endswith(".gz") else chunks, self.record_bytes)
        broken = False
        provenance = {
            "mapping_sha256": mapping.sha256,
            "mapping_version": mapping.version,
            "code_version": CODE_VERSION,
        }
        with open_writer(output, provenance) as writer:
            try:
                for batch in packages.batches(lines):
                    writer.write_batch(batch.table)
                    rejected.writelines(_quarantined(reject) for reject in batch.rejects)
            except BrokenStream:
                broken = True
                for _ in chunks:
                    pass  # only at its end does a stream tell that the file was rewritten, which looks like damage too
        tally = packages.tally
        if tally.read != tally.written + tally.rejected.total():
            raise VerificationError("a record is neither accepted nor rejected")
        verify(output, mapping.targets, tally.written)
        output.seek(0)
        digest = hashlib.sha256()
        while chunk := output.read(_HASHED_AT_ONCE):
            digest.update(chunk)
        return Made(tally, broken, digest.hexdigest(), output.tell())

    @staticmethod
    def _publish(store: Objects, key: str, content: IO[bytes], records: int) -> None:
        """Give the content its name; no records leave nothing under it, what an earlier version had there included."""
        if records:
            content.seek(0)
            store.put_file(key, content)
        else:
            store.delete(key)

    def _settled(self, item: Item, facts: dict[str, Any], sent: list[Item]) -> Outcome:
        other = any(one.state in _LEFT and one.version != facts["sha256"] for one in sent)
        return Outcome(
            item.id,
            item.fence,
            State.SETTLED,
            reason=Reason.REBUILT_DIFFERENTLY if other else None,
            made_with=self.made_with,
            detail=facts,
            releases=() if other else releases.release(item, facts, self.destination, self.cause),
        )

    def _facts(self, item: Item, made: Made, mapping: PrivacyMapping) -> dict[str, Any]:
        tally = made.tally
        return {
            "etag": item.detail["etag"],
            "mapping": mapping.sha256,
            "code_version": CODE_VERSION,
            "output": releases.output_key(item) if tally.written else None,
            "sha256": made.sha256,
            "bytes": made.size,
            "read": tally.read,
            "written": tally.written,
            "rejected": {str(reason): count for reason, count in sorted(tally.rejected.items())},
            "zero_filled": sum(tally.zero_filled.values()),
            "unknown": tally.unknown,
            "broken": made.broken,
        }

    def _without_raw(self, item: Item) -> Outcome:
        """The landed file is gone: what was made of it stays if it is intact, else it is lost and says so."""
        if "output" not in item.detail:
            return Outcome(item.id, item.fence, State.DEAD, reason=Reason.GONE)
        if not intact(self.lake, item):
            return Outcome(item.id, item.fence, State.DEAD, reason=Reason.OUTPUT_LOST)
        return Outcome(
            item.id,
            item.fence,
            State.SETTLED,
            made_with=self.made_with,
            releases=releases.release(item, item.detail, self.destination, self.cause),
        )

    def _again(self, item: Item, reason: Reason) -> Outcome:
        if self.policy.exhausted(item.attempts + 1):
            return self._given_up(item, reason, attempted=True)
        due = self.now() + self.policy.pause(item.attempts + 1, 0.0)
        return Outcome(item.id, item.fence, State.PENDING, due_at=due, reason=reason)

    @staticmethod
    def _given_up(item: Item, reason: Reason, *, attempted: bool) -> Outcome:
        return Outcome(item.id, item.fence, State.DEAD, attempted, reason=reason)


_LEFT = frozenset({State.SETTLED, State.CLAIMED})


def intact(lake: Objects, item: Item) -> bool:
    """Whether a settled file's output is there, byte for byte; a file without an accepted record has none to lose."""
    facts = item.detail
    if facts["output"] is None:
        return True
    digest = hashlib.sha256()
    try:
        for chunk in lake.stream(facts["output"]):
            digest.update(chunk)
    except (ObjectMissing, ObjectChanged):
        return False
    return digest.hexdigest() == str(facts["sha256"])


def _quarantined(reject: Reject) -> bytes:
    """One rejected record as a line of JSON: where, why, and the record itself, as text where it is text."""
    entry: dict[str, Any] = {
        "line": reject.line,
        "field": reject.field or None,
        "reason": str(reject.reason),
        "length": reject.length,
    }
    try:
        entry["record"] = reject.raw.decode()
    except UnicodeDecodeError:
        entry["record_base64"] = base64.b64encode(reject.raw).decode()
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
