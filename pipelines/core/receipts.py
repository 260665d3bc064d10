"""The receipts of deliveries: which folder of the lake they are in, and how a day of them is asked for.

Here: what every part of the platform has to know of them. Not here: what they tell, and who writes them.
"""

from __future__ import annotations

from pipelines.core.work import Item, NewItem

RECEIPTS = "aae/receipts"
"""The folder of the lake that tells of deliveries; also the queue of the days that have to be written anew."""

DAY = len("YYYY-MM-DD")
"""So much of an hour's partition is that of its day."""


def receipts_request(item: Item | NewItem, version: str | None = None) -> NewItem:
    """The receipts of an item's day of arrival have to be written anew; a request that waits already will do.

    Args:
        item: what they have to tell of.
        version: of the request, where that of the item's present claim is another one's, or there is no claim.
    """
    if version is None:
        version = f"{item.id} {item.fence}" if isinstance(item, Item) else item.version
    day = item.partition[:DAY]
    return NewItem(RECEIPTS, day, version, day, 0, cause=item.queue, joins=True)
