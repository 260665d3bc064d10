"""A file's records that are rejected still: what lies in its quarantine, without those that were processed again.

The quarantine is rewritten after the ledger, and by whoever filters the file anew: the two may disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.adapters.objects import ObjectChanged, ObjectMissing, Objects
from pipelines.core.work import Item
from pipelines.domains.mobile import feeds
from pipelines.domains.mobile.carried import MOVED
from pipelines.domains.mobile.line_numbers import LineNumbers
from pipelines.domains.mobile.quarantine import DamagedQuarantine, Reject, read_rejects


def still_rejected(landing: Objects, item: Item) -> Iterator[Reject]:
    """These records, lazily, in the order in which they stood.

    Raises:
        ObjectMissing: there is no quarantine.
        ObjectChanged: it was rewritten meanwhile.
        DamagedQuarantine: at the first line that is not what was written.
    """
    moved = LineNumbers.read(item.detail.get(MOVED, ()))
    for reject in read_rejects(landing.stream(feeds.quarantine_key(item))):
        if reject.line not in moved:
            yield reject


def count(landing: Objects, item: Item) -> Counter[str]:
    """How many they are, by reason; none if the quarantine does not tell, since it is missing, damaged or rewritten."""
    try:
        return Counter(reject.reason for reject in still_rejected(landing, item))
    except (ObjectMissing, ObjectChanged, DamagedQuarantine):
        return Counter()


def is_as_counted(landing: Objects, item: Item) -> bool:
    """Whether the quarantine of a settled file holds as many of each reason as the ledger says."""
    return count(landing, item) == Counter(item.detail["rejected"])
