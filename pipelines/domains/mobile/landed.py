"""One landed file, from its bytes to a verified output in the lake: what is read, written, checked and released.

The order matters. Quarantine and output are written to files without a name, the output is read back and verified,
only then is it published, and only then does the ledger release it, in the same transaction that settles the file. A
crash before that leaves nothing that could be delivered; doing it all again gives the same bytes. What a feed's files
hold and how they are made over is the recipe's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import IO, Any, Protocol

from msgspec import structs

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects, ObjectsUnavailable, exists
from pipelines.adapters.objects.scratch import measure, scratch
from pipelines.core.receipts import receipts_request
from pipelines.core.retry import RetryPolicy, store_unavailable
from pipelines.core.work import Item, Outcome, Reason, State
from pipelines.domains.mobile import accepted, feeds
from pipelines.domains.mobile.carried import (
    AGAIN,
    CHOSEN_AT,
    ELSEWHERE,
    MOVED,
    REMAP,
    REMAPPED,
    CopyMissingError,
    carry_over,
    is_fresh,
)
from pipelines.domains.mobile.feeds import Feed
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.rejected import is_as_counted


class VerificationError(Exception):
    """What was written is not what it must be; says what disagrees, by counts and known names only."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a recipe made of a landed file's records; ``counts`` holds whatever else the feed counts."""

    read: int
    written: int
    rejected: Mapping[str, int]
    broken: bool
    counts: Mapping[str, Any]


class Recipe(Protocol):
    """What is made of one kind of landed files."""

    @property
    def feed(self) -> Feed:
        """The feed whose files it reads."""

    @property
    def at_once(self) -> int:
        """How many files are worked on side by side."""

    def make(
        self, item: Item, mapping: PrivacyMapping, chunks: Iterator[bytes], output: IO[bytes], rejected: IO[bytes]
    ) -> Content:
        """Read a landed file, write its output and its rejects (each a line of ``quarantine``), and verify the output.

        Raises:
            VerificationError: the written output is not what it must be.
        """


@dataclass(frozen=True, slots=True)
class Filtering:
    """What filtering a file needs; ``still_held`` says whether the file is still ours to publish."""

    recipe: Recipe
    landing: Objects
    lake: Objects
    ledger: Ledger
    mapping: PrivacyMapping
    destination: str
    policy: RetryPolicy
    cause: str
    now: Callable[[], datetime]

    @property
    def made_with(self) -> str:
        """What outputs depend on beside the landed file."""
        return f"{self.mapping.sha256} {self.recipe.feed.code_version}"

    def renewed(self) -> Filtering:
        """The same with the mapping that is in force now: it may be another one since the run began."""
        in_force = accepted.named(self.lake)
        if in_force in (None, self.mapping.sha256):
            return self
        return replace(self, mapping=accepted.version(self.lake, str(in_force)))

    def outcome(self, item: Item, still_held: Callable[[Item], bool]) -> Outcome:
        """Filter one claimed file and say what became of it; only an error of our own raises."""
        outcome = self._outcome(item, still_held)
        if outcome.state in (State.SETTLED, State.DEAD):
            outcome = structs.replace(outcome, releases=outcome.releases + feeds.table_request(item))
        if outcome.detail is not None:  # of bytes that have left before there is no delivery that could ask for them
            outcome = structs.replace(outcome, releases=(*outcome.releases, receipts_request(item)))
        return outcome

    def _outcome(self, item: Item, still_held: Callable[[Item], bool]) -> Outcome:
        if self.policy.exhausted(item.attempts):
            return self._given_up(item, Reason.CRASHED, attempted=False)
        try:
            return self._filtered(item, still_held)
        except ObjectChanged:
            # The newer version is, or will be, an item of its own.
            return Outcome(item.id, item.fence, State.SUPERSEDED, reason=Reason.CHANGED)
        except VerificationError:
            return self._again(item, Reason.UNVERIFIED)
        except ObjectsUnavailable:
            return store_unavailable(item, self.policy, self.now())

    def _filtered(self, item: Item, still_held: Callable[[Item], bool]) -> Outcome:
        try:
            return self._filter(item, still_held)
        except ObjectMissing:
            return self._without_raw(item)

    def _filter(self, item: Item, still_held: Callable[[Item], bool]) -> Outcome:
        if self.landing.head(item.name).etag != item.detail["etag"]:
            raise ObjectChanged(item.name)
        try:  # before anything is withheld: should this file be given up, what was released before may still leave
            item = self._carried(item)
        except CopyMissingError:
            return self._given_up(item, Reason.COPY_MISSING, attempted=True)
        exports = self.ledger.withhold(self.recipe.feed.exports, item.partition, feeds.export_name(item), self.now())
        sent = [one for one in exports if may_have_left(one)]
        remapped = item.detail.get(REMAP)
        # What may have left keeps the mapping that it left with, rewritten or not: two releases of one record under
        # two mappings can be intersected. One that a person chose anew is kept even before that leaves.
        kept = remapped or item.detail.get(REMAPPED) or _last_mapping(sent)
        mapping = accepted.version(self.lake, kept) if kept else self.mapping
        with scratch() as output, scratch() as rejected:
            chunks = self.landing.stream(item.name, etag=item.detail["etag"])
            content = self.recipe.make(item, mapping, chunks, output, rejected)
            if content.read != content.written + sum(content.rejected.values()):
                raise VerificationError("a record is neither accepted nor rejected")
            for _ in chunks:
                pass  # only at its end does a stream tell that the file was rewritten, which looks like damage too
            sha256, size = measure(output)
            if not still_held(item):
                return Outcome(item.id, item.fence, State.PENDING, attempted=False)
            self._publish(self.landing, feeds.quarantine_key(item), rejected, sum(content.rejected.values()))
            self._publish(self.lake, feeds.output_key(item), output, content.written)
        facts = {
            **{name: item.detail[name] for name in (MOVED, AGAIN, REMAPPED, CHOSEN_AT) if name in item.detail},
            **({REMAPPED: mapping.sha256} if remapped else {}),
            "etag": item.detail["etag"],
            "mapping": mapping.sha256,
            "code_version": self.recipe.feed.code_version,
            "output": feeds.output_key(item) if content.written else None,
            "sha256": sha256,
            "bytes": size,
            "read": content.read,
            "written": content.written,
            "rejected": dict(sorted(content.rejected.items())),
            "broken": content.broken,
            **content.counts,
        }
        here = [one for one in sent if one.parent == item.id and one.destination == self.destination]
        if REMAPPED in item.detail:  # what left under another mapping differs since a person wanted it so
            here = [one for one in here if one.detail["mapping"] == mapping.sha256]
        other = not remapped and any(one.state in _LEFT and one.version != sha256 for one in here)
        releases = () if other else feeds.release(item, facts, self.destination, self.cause)
        if not remapped and any(one.state is State.DEAD and one.reason == Reason.MAY_HAVE_LEFT for one in sent):
            # What lay under this name may have left: it stays for a person to judge, whatever its bytes are now.
            doubtful = partial(structs.replace, state=State.DEAD, reason=Reason.MAY_HAVE_LEFT, uncertain=True)
            releases = tuple(map(doubtful, releases))
        return Outcome(
            item.id,
            item.fence,
            State.SETTLED,
            reason=Reason.REBUILT_DIFFERENTLY if other else None,
            made_with=self.made_with,
            detail=facts,
            releases=releases,
        )

    def _carried(self, item: Item) -> Item:
        feed = self.recipe.feed
        others = [one for one in self.ledger.versions(feed.queue, item.name) if one.id != item.id]
        return carry_over(feed, self.landing, item, others)

    @staticmethod
    def _publish(store: Objects, key: str, content: IO[bytes], records: int) -> None:
        """Give the content its name; no records leave nothing under it, what an earlier version had there included."""
        if records:
            content.seek(0)
            store.put_file(key, content)
        else:
            store.delete(key)

    def _without_raw(self, item: Item) -> Outcome:
        """The landed file is gone: what was made of it stays if it is intact, else it is lost and says so."""
        if not _is_made(item):
            return Outcome(item.id, item.fence, State.DEAD, reason=Reason.GONE)
        if not intact(self.lake, item):
            return Outcome(item.id, item.fence, State.DEAD, reason=Reason.OUTPUT_LOST)
        facts = {name: value for name, value in item.detail.items() if name != REMAP}
        releases = feeds.release(item, facts, self.destination, self.cause)
        return Outcome(item.id, item.fence, State.SETTLED, made_with=self.made_with, detail=facts, releases=releases)

    def _again(self, item: Item, reason: Reason) -> Outcome:
        if self.policy.exhausted(item.attempts + 1):
            return self._given_up(item, reason, attempted=True)
        due = self.now() + self.policy.pause(item.attempts + 1, 0.0)
        return Outcome(item.id, item.fence, State.PENDING, due_at=due, reason=reason)

    @staticmethod
    def _given_up(item: Item, reason: Reason, *, attempted: bool) -> Outcome:
        return Outcome(item.id, item.fence, State.DEAD, attempted, reason=reason)


_LEFT = frozenset({State.SETTLED, State.CLAIMED})


def may_have_left(release: Item) -> bool:
    """Whether what was released may be at its destination, or was there once."""
    return release.state in _LEFT or release.uncertain or release.attempts > 0 or release.status is not None


def _is_made(item: Item) -> bool:
    """Whether it was filtered since it was last seen to land: what was put back has lost its output to another."""
    return "output" in item.detail and not is_fresh(item.detail)


def _last_mapping(sent: Sequence[Item]) -> str:
    """The mapping of what was released last: bytes that were released before, too, keep the place of the first time."""
    return max(sent, key=lambda one: (one.seen_at, one.id)).detail["mapping"] if sent else ""


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


def _lacks_rejects(filtering: Filtering, item: Item) -> bool:
    """Whether making a settled file anew, to the same output, would bring back what its quarantine lost."""
    facts = item.detail
    if not facts["rejected"] or facts["code_version"] != filtering.recipe.feed.code_version:
        return False  # other code may give other bytes than those that left
    if is_as_counted(filtering.landing, item):
        return False
    copies = facts.get(ELSEWHERE, ())  # without one of these it would be given up
    return exists(filtering.landing, item.name, facts["etag"]) and all(exists(filtering.landing, key) for key in copies)


def reopen_damaged(filtering: Filtering, span: Span) -> tuple[int, int]:
    """Look whether the settled outputs of these partitions are intact, and make the others due again; the dead, too.

    So is, if its landed file is still there, what lacks rejected records: a run that processed those of an earlier
    version again, and was killed, may have written over its quarantine.

    Returns:
        How many are intact and kept, and how many are due again.
    """
    kept = 0
    damaged: list[int] = []
    for item in filtering.ledger.items(filtering.recipe.feed.queue, span, [State.SETTLED, State.DEAD]):
        is_intact = item.state is State.SETTLED and intact(filtering.lake, item)
        if is_intact and not _lacks_rejects(filtering, item):
            kept += 1
        else:
            damaged.append(item.id)
    filtering.ledger.reopen(damaged, filtering.now(), Reason.NOT_INTACT)
    return kept, len(damaged)
