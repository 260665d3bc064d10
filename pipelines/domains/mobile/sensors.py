"""What makes the mobile domain run: files that land, hours whose table is out of date, a new privacy mapping."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects, ObjectsUnavailable
from pipelines.adapters.uploads import Uploads, UploadsUnavailable
from pipelines.domains.mobile import accepted, feeds, files, intake
from pipelines.domains.mobile.assets import MAPPING, privacy_mapping
from pipelines.domains.mobile.events.assets import events, events_table, landed_events
from pipelines.domains.mobile.jobs import mobile_delete, mobile_delete_landed
from pipelines.domains.mobile.packages.assets import landed_packages, packages
from pipelines.environment import Environment
from pipelines.lost import is_lost
from pipelines.sensors import (
    EPOCH,
    RUNNING,
    SCHEDULED,
    Feed,
    due_job,
    due_run,
    is_live,
    pause_after_failures,
    schedule,
    sensor,
)

_LANDED = {feeds.PACKAGES.queue: landed_packages.key, feeds.EVENTS.queue: landed_events.key}

filter_packages = due_job([packages], "mobile_filter_packages", "Filter the landed packages that are due.")
filter_events = due_job([events], "mobile_filter_events", "Filter the landed events that are due.")
make_events_table = due_job([events_table], "mobile_make_events_table", "Make the hours of the events' table anew.")
accept_mapping = dg.define_asset_job(
    "mobile_accept_mapping",
    selection=dg.AssetSelection.assets(privacy_mapping),
    description="Check the privacy mapping's file and put it in force.",
    tags={"domain": "mobile"},
)


@sensor(job=filter_packages, minimum_interval_seconds=5, default_status=RUNNING)
def mobile_packages_uploaded(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
    lake: dg.ResourceParam[Objects],
    uploads: dg.ResourceParam[Uploads],
) -> dg.SensorResult:
    """Take landed packages into the ledger, then ask for a run if any are due."""
    feed = Feed(feeds.PACKAGES.queue, filter_packages.name, packages.key, environment.mobile_packages_enabled)
    return _take_in(context, feed, environment, ledger, lake, uploads)


@sensor(job=filter_events, minimum_interval_seconds=5, default_status=RUNNING)
def mobile_events_uploaded(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
    lake: dg.ResourceParam[Objects],
    uploads: dg.ResourceParam[Uploads],
) -> dg.SensorResult:
    """Take landed events into the ledger, then ask for a run if any are due."""
    stays = environment.events_stay_seconds
    feed = Feed(feeds.EVENTS.queue, filter_events.name, events.key, environment.mobile_events_enabled, stays=stays)
    return _take_in(context, feed, environment, ledger, lake, uploads)


def _take_in(
    context: dg.SensorEvaluationContext,
    feed: Feed,
    environment: Environment,
    ledger: Ledger,
    lake: Objects,
    uploads: Uploads,
) -> dg.SensorResult:
    """The two halves of a tick: what landed into the ledger, then the plan, from the ledger alone."""
    if is_lost(ledger, lake):
        raise dg.DagsterError("the ledger is lost: run `pipelines ledger restore`, else all would be sent again")
    now = utc_now()
    kind = feeds.FEEDS[feed.queue]
    try:
        taken = intake.take_in(kind, uploads, ledger, environment.start, now, environment.uploads_tick_seconds)
    except (ObjectsUnavailable, UploadsUnavailable):
        due = due_run(feed, ledger, context.instance, environment, now, "sensor")
        if isinstance(due, dg.SkipReason):
            raise
        context.log.exception("not all that landed can be found")  # what is known already is worked on all the same
        return dg.SensorResult([due])
    observed = [one for queue, of in taken.items() for one in _observations(of, ledger, queue, now)]
    if accepted.named(lake) is None:
        return dg.SensorResult(skip_reason="no privacy mapping is accepted yet", asset_events=observed)
    due = due_run(feed, ledger, context.instance, environment, now, "sensor")
    if isinstance(due, dg.SkipReason):
        own = taken[feed.queue]
        reason = f"{due.skip_message}; {own.seen} files seen, {own.new.total()} of them new"
        return dg.SensorResult(skip_reason=reason, asset_events=observed)
    return dg.SensorResult([due], asset_events=observed)


def _observations(taken: intake.Intake, ledger: Ledger, queue: str, now: datetime) -> list[dg.AssetObservation]:
    """What this tick found new of a feed: hour by hour, and in all."""
    if not (taken.new or taken.aside or taken.unreadable or taken.foreign):
        return []
    landed = _LANDED[queue]
    metadata: dict[str, Any] = {
        "files": taken.new.total(),
        "bytes": taken.bytes,
        "newest": taken.newest.isoformat() if taken.newest else None,
        "waiting": sum(one.items for one in ledger.backlog(now) if one.queue == queue),
        "set_aside": taken.aside,
        "messages_unreadable": taken.unreadable,
        "objects_of_no_feed": taken.foreign,
    }
    hours = [
        dg.AssetObservation(landed, partition=hour, metadata={"files": files})
        for hour, files in sorted(taken.new.items())
    ]
    return [*hours, dg.AssetObservation(landed, metadata=metadata)]


@sensor(job=make_events_table, minimum_interval_seconds=300, default_status=RUNNING)
def mobile_events_table_outdated(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Ask every five minutes for the tables of the hours in which events were filtered."""
    feed = Feed(events_table.key.to_user_string(), make_events_table.name, events_table.key)
    return due_run(feed, ledger, context.instance, environment, utc_now(), "sensor")


@sensor(job=accept_mapping, minimum_interval_seconds=30, default_status=RUNNING)
def mobile_privacy_mapping_changed(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run when the mapping's file is not the version in force; ever less often if it is refused."""
    version = files.read_mapping(environment.privacy_mapping).sha256
    if accepted.named(lake) == version:
        return dg.SkipReason(f"version {version[:12]} is in force")
    now, job, tags = utc_now(), accept_mapping.name, {"mapping": version[:12]}
    if is_live(job, context.instance, now, timedelta(seconds=environment.run_seconds)):
        return dg.SkipReason("a run is under way")
    again_at = pause_after_failures(job, context.instance, EPOCH, tags)
    if again_at is not None and now < again_at:
        return dg.SkipReason(
            f"version {version[:12]} was not accepted, as its checks say; the next try is at {again_at}"
        )
    return dg.RunRequest(tags=tags | {"domain": "mobile", "feed": MAPPING.to_user_string(), "trigger": "sensor"})


@schedule(job=mobile_delete_landed, cron_schedule="40 2 * * *", default_status=SCHEDULED)
def mobile_raw_retention(
    context: dg.ScheduleEvaluationContext, environment: dg.ResourceParam[Environment]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Delete, each night, the landed files that have been settled for long enough."""
    if not environment.mobile_raw_hours:
        yield dg.SkipReason("PIPELINES_MOBILE_RAW_HOURS is 0: landed files are kept for good")
        return
    for feed in feeds.FEEDS.values():
        name = feed.queue.rpartition("/")[-1]
        asked = {"feed": name, "who": "the schedule", "why": "retention of raw files", "dry_run": False}
        yield dg.RunRequest(
            run_key=name,  # of several requests without one, only the first of a tick becomes a run
            run_config={"ops": {mobile_delete.name: {"config": asked}}},
            tags={"domain": "mobile", "feed": feed.queue, "trigger": "schedule"},
        )
