"""What makes the mobile domain run: files that land, and a new version of the privacy mapping."""

from datetime import timedelta

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads import Uploads
from pipelines.core.summary import summarise
from pipelines.domains.mobile import accepted, files, intake, releases
from pipelines.domains.mobile.assets import MAPPING, landed_packages, packages, privacy_mapping
from pipelines.environment import Environment
from pipelines.sensors import RUNNING, Feed, due_run, is_live, pending_checks

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
    taken = intake.take_in(uploads, ledger, environment.start, now, environment.uploads_tick_seconds)
    events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
    if taken.new or taken.aside:
        landed = summarise(ledger.standings(releases.QUEUE))
        metadata = {
            "files": sum(landed.items.values()),
            "bytes": sum(landed.bytes.values()),
            "waiting": landed.waiting,
            "set_aside": taken.aside,
        }
        events.append(dg.AssetObservation(landed_packages.key, metadata=metadata))
        events.extend(pending_checks(packages.key, taken.new))
    if accepted.current(lake) is None:
        return dg.SensorResult(skip_reason="no privacy mapping is accepted yet", asset_events=events)
    feed = Feed(releases.QUEUE, filter_packages.name, packages.key, environment.mobile_packages_enabled)
    due = due_run(feed, ledger, context.instance, environment, now, "sensor")
    if isinstance(due, dg.SkipReason):
        reason = f"{due.skip_message}; {taken.seen} files seen, {sum(taken.new.values())} of them new"
        return dg.SensorResult(skip_reason=reason, asset_events=events)
    return dg.SensorResult([due], asset_events=events)


@dg.sensor(job=accept_mapping, minimum_interval_seconds=30, default_status=RUNNING)
def mobile_privacy_mapping_changed(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run when the mapping's file is neither the version in force nor one that was looked at already."""
    sha256 = files.read_mapping(environment.privacy_mapping).sha256
    in_force = accepted.current(lake)
    if in_force is not None and in_force.sha256 == sha256:
        return dg.SkipReason(f"version {in_force.version} is in force")
    if context.cursor == sha256:
        return dg.SkipReason(f"version {sha256[:12]} was looked at; its checks say what came of it")
    if is_live(accept_mapping.name, context.instance, utc_now(), timedelta(seconds=environment.run_seconds)):
        return dg.SkipReason("a run is under way")
    request = dg.RunRequest(tags={"domain": "mobile", "feed": MAPPING.to_user_string(), "trigger": "sensor"})
    return dg.SensorResult([request], cursor=sha256)
