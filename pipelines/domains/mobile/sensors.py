"""What makes the mobile domain run: files that land, and a new version of the privacy mapping."""

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects, ObjectsUnavailable
from pipelines.adapters.uploads import Uploads
from pipelines.domains.mobile import accepted, files, intake, releases
from pipelines.domains.mobile.assets import MAPPING, landed_packages, packages, privacy_mapping
from pipelines.environment import Environment
from pipelines.sensors import RUNNING, Feed, due_run, is_live, pause_after_failures

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

filter_packages = dg.define_asset_job(
    "mobile_filter_packages",
    selection=dg.AssetSelection.assets(packages).without_checks(),
    description="Filter the landed packages that are due.",
    tags={"domain": "mobile"},
)
accept_mapping = dg.define_asset_job(
    "mobile_accept_mapping",
    selection=dg.AssetSelection.assets(privacy_mapping),
    description="Check the privacy mapping's file and put it in force.",
    tags={"domain": "mobile"},
)


@dg.sensor(job=filter_packages, minimum_interval_seconds=5, default_status=RUNNING)
def mobile_packages_uploaded(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
    lake: dg.ResourceParam[Objects],
    uploads: dg.ResourceParam[Uploads],
) -> dg.SensorResult:
    """Take landed files into the ledger, then ask for a run if any are due."""
    now = utc_now()
    feed = Feed(releases.QUEUE, filter_packages.name, packages.key, environment.mobile_packages_enabled)
    try:
        taken = intake.take_in(uploads, ledger, environment.start, now, environment.uploads_tick_seconds)
    except ObjectsUnavailable:
        due = due_run(feed, ledger, context.instance, environment, now, "sensor")
        if isinstance(due, dg.SkipReason):
            raise
        context.log.exception("landing can't be listed")  # what is known already is worked on all the same
        return dg.SensorResult([due])
    events = _observations(taken, ledger, now)
    if accepted.named(lake) is None:
        return dg.SensorResult(skip_reason="no privacy mapping is accepted yet", asset_events=events)
    due = due_run(feed, ledger, context.instance, environment, now, "sensor")
    if isinstance(due, dg.SkipReason):
        reason = f"{due.skip_message}; {taken.seen} files seen, {sum(taken.new.values())} of them new"
        return dg.SensorResult(skip_reason=reason, asset_events=events)
    return dg.SensorResult([due], asset_events=events)


def _observations(taken: intake.Intake, ledger: Ledger, now: datetime) -> list[dg.AssetObservation]:
    """What this tick found new: hour by hour, and in all."""
    if not (taken.new or taken.aside):
        return []
    metadata: dict[str, Any] = {
        "files": taken.new.total(),
        "bytes": taken.bytes,
        "newest": taken.newest.isoformat() if taken.newest else None,
        "waiting": sum(one.items for one in ledger.backlog(now) if one.queue == releases.QUEUE),
        "set_aside": taken.aside,
    }
    hours = [
        dg.AssetObservation(landed_packages.key, partition=hour, metadata={"files": files})
        for hour, files in sorted(taken.new.items())
    ]
    return [*hours, dg.AssetObservation(landed_packages.key, metadata=metadata)]


@dg.sensor(job=accept_mapping, minimum_interval_seconds=30, default_status=RUNNING)
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
