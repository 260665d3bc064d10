"""Which day's receipts are asked for, and which requests are one."""

from __future__ import annotations

from datetime import UTC, datetime

from pipelines.core.receipts import RECEIPTS, receipts_request
from pipelines.core.work import Item, NewItem, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FILE = NewItem("mobile/packages", "a.json", "etag 1", "2026-03-01-12:00", 1)
CLAIMED = Item(
    *(7, FILE.queue, "", FILE.name, FILE.version, FILE.partition, 1, State.CLAIMED, 0, NOW, "run", 3, NOW),
    *(False, None, None, None, "", "landed", NOW, NOW, None, {}),
)


def test_a_day_is_asked_for_once_for_each_claim_and_joins_what_waits() -> None:
    request = receipts_request(CLAIMED)
    assert (request.queue, request.name, request.partition, request.joins) == (
        RECEIPTS,
        "2026-03-01",
        "2026-03-01",
        True,
    )
    assert (request.version, request.cause) == ("7 3", "mobile/packages")


def test_what_is_no_claim_says_which_request_it_is() -> None:
    assert receipts_request(CLAIMED, "moved").version == "moved"
    assert receipts_request(FILE, "restored").version == "restored"
    assert receipts_request(FILE).version == "etag 1"
