"""What makes the residents domain run: sheets that are dropped, outcomes that are due or lost, days that changed."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from pipelines.adapters.drive import Drive, DriveError
from pipelines.adapters.installation import InstallationKey, hold_to
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Reason
from pipelines.domains.residents import intake
from pipelines.domains.residents.assets import drive as drive_asset
from pipelines.domains.residents.assets import outcomes, receipts, sheets
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS, contract
from pipelines.domains.residents.sheets import RECEIPTS, outcomes_queue
from pipelines.domains.residents.writing import Writing, find_missing
from pipelines.environment import Environment, at_load
from pipelines.lost import is_lost
from pipelines.sensors import RUNNING, Feed, due_job, due_run, one_run, sensor

send = due_job(sheets, "residents_send", "Send the sheets that are due.")
write_outcomes = due_job(outcomes, "residents_write_outcomes", "Write the outcomes that are due.")
write_receipts = due_job([receipts], "residents_write_receipts", "Write the receipts of the days that changed.")


_OFF = "every feed of residents is switched off"


def _is_enabled(environment: Environment, feed: str) -> bool:
    enabled: bool = getattr(environment, f"residents_{feed}_enabled")
    return enabled


def _begin(
    environment: Environment, ledger: Ledger, lake: Objects, key: InstallationKey, now: datetime
) -> list[contract.Feed]:
    """The feeds that are switched on, once the ledger is sure to know what was sent of them, by this key."""
    if is_lost(ledger, lake):
        raise dg.DagsterError("the ledger is lost: run `pipelines ledger restore`, else all would be sent again")
    feeds = [feed for feed in FEEDS.values() if _is_enabled(environment, feed.name)]
    if feeds:  # whoever sends none needs neither drive nor key, and may share a ledger with one who does
        hold_to(key, ledger, now)
    return feeds


@sensor(job=send, minimum_interval_seconds=at_load().residents_seconds, default_status=RUNNING)
def residents_sheets_dropped(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
    lake: dg.ResourceParam[Objects],
    drive: dg.ResourceParam[Drive],
    installation_key: dg.ResourceParam[InstallationKey],
) -> dg.SensorResult:
    """Take dropped sheets of all feeds into the ledger, then ask for one run over the feeds in which any are due."""
    now = utc_now()
    feeds = _begin(environment, ledger, lake, installation_key, now)
    if not feeds:
        return dg.SensorResult(skip_reason=_OFF)
    seconds = environment.residents_tick_seconds
    taken = intake.take_in(feeds, drive, ledger, environment.here_to_help, installation_key.secret, now, seconds)
    failed = [one.failed for one in taken.values() if one.failed is not None]
    asked = [
        due_run(
            Feed(
                sheets_queue(FEEDS[feed]),
                send.name,
                asset.key,
                _is_enabled(environment, feed),
                environment.here_to_help,
                shares=True,
            ),
            ledger,
            context.instance,
            environment,
            now,
            "sensor",
        )
        for feed, asset in zip(FEEDS, sheets, strict=True)
    ]
    due = [one for one in asked if isinstance(one, dg.RunRequest)]
    for error in failed:  # what is known is worked on all the same
        context.log.error("not all that was dropped can be seen: %s", error)
    observed = list(_observations(taken))
    if due:
        return dg.SensorResult([one_run(due)], asset_events=observed)
    seen, new = sum(one.seen for one in taken.values()), sum(one.new.total() for one in taken.values())
    skipped = {one.skip_message for one in asked if isinstance(one, dg.SkipReason)}
    left = sum(one.left for one in taken.values())
    told = f"{seen} sheets seen, {new} of them new" + (f", {left} left for the next tick" if left else "")
    reason = f"{'; '.join(sorted(filter(None, skipped)))}; {told}"
    if failed:
        failed[0].add_note(reason)  # why nothing is sent of what can be seen, as a pause, is not hidden by it
        raise failed[0]
    return dg.SensorResult(skip_reason=reason, asset_events=observed)


def _observations(taken: dict[str, intake.Intake]) -> Iterator[dg.AssetObservation]:
    """What this tick found new in the drive."""
    for feed, found in taken.items():
        if found.new or found.aside or found.left:
            metadata: dict[str, Any] = {
                "feed": feed,
                "sheets": found.new.total(),
                "bytes": found.bytes,
                "newest": found.newest.isoformat() if found.newest else None,
                "set_aside": found.aside,
                "left_for_the_next_tick": found.left,
            }
            yield dg.AssetObservation(drive_asset.key, metadata=metadata)


@sensor(job=write_outcomes, minimum_interval_seconds=5, default_status=RUNNING)
def residents_outcomes_due(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.SensorResult:
    """Ask for one run over all feeds as soon as outcomes are due of any."""
    now = utc_now()
    feeds = [
        Feed(outcomes_queue(FEEDS[feed]), write_outcomes.name, asset.key, shares=True)
        for feed, asset in zip(FEEDS, outcomes, strict=True)
    ]
    asked = [due_run(feed, ledger, context.instance, environment, now, "sensor") for feed in feeds]
    due = [one for one in asked if isinstance(one, dg.RunRequest)]
    return dg.SensorResult([one_run(due, feeds)]) if due else dg.SensorResult(skip_reason="no outcome is due")


@sensor(minimum_interval_seconds=600, default_status=RUNNING)
def residents_outcomes_lost(
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
    lake: dg.ResourceParam[Objects],
    drive: dg.ResourceParam[Drive],
    installation_key: dg.ResourceParam[InstallationKey],
) -> dg.SkipReason:
    """Look every ten minutes whether the outcomes of the last days are in their folders; the others become due."""
    now = utc_now()
    feeds = _begin(environment, ledger, lake, installation_key, now)
    if not feeds:
        return dg.SkipReason(_OFF)
    span = Span(intake.day_of(now - timedelta(days=environment.residents_outcome_days)), intake.day_of(now))
    policy = RetryPolicy(environment.residents_attempts)
    lost, failed = 0, None
    for feed in feeds:
        writing = Writing(feed, drive, ledger, policy, installation_key.secret, frozenset())
        try:
            lost += ledger.reopen(find_missing(writing, span), now, Reason.NOT_INTACT)
        except DriveError as error:  # one feed's folders keep nobody from looking into the others'
            failed = error
    if failed is not None:
        raise failed
    return dg.SkipReason(f"{lost} outcomes were lost and are written again")


@sensor(job=write_receipts, minimum_interval_seconds=600, default_status=RUNNING)
def residents_receipts_outdated(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Ask every ten minutes for the receipts of the days of which sheets were sent."""
    feed = Feed(RECEIPTS, write_receipts.name, receipts.key)
    return due_run(feed, ledger, context.instance, environment, utc_now(), "sensor")
