"""What people do about landed files: process quarantined records again, map old hours anew, delete raw files."""

from datetime import timedelta
from enum import StrEnum

import dagster as dg
from pydantic import Field

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.domains.mobile import accepted, feeds
from pipelines.domains.mobile.remapping import remap
from pipelines.domains.mobile.reprocessing import reprocess
from pipelines.domains.mobile.retention import delete_landed
from pipelines.environment import Environment
from pipelines.jobs import Hours, Tried, journaled, pausing_jobs

_FEEDS = {feed.queue.rpartition("/")[-1]: feed for feed in feeds.FEEDS.values()}


class Feed(StrEnum):
    """The feeds that land."""

    PACKAGES = "packages"
    EVENTS = "events"


class ReprocessConfig(Hours):
    """Which quarantined records are processed again."""

    feed: Feed = Field(description="The feed.")
    reasons: list[str] = Field(
        default=[], description="Only records rejected for one of these reasons, as the checks name them; empty is all."
    )


@dg.op
def mobile_reprocess(
    context: dg.OpExecutionContext,
    config: ReprocessConfig,
    landing: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> None:
    """Move quarantined records into files of their own, which are filtered like any other; each is counted once."""
    span, feed = config.span, _FEEDS[config.feed.value]
    scope = {"feed": config.feed.value, "first": span.first, "last": span.last, "reasons": config.reasons}
    with journaled(context, ledger, config, scope) as effect:
        found = reprocess(feed, landing, ledger, span, config.reasons, utc_now(), dry_run=config.dry_run)
        effect |= {"files": found.files, "records": dict(found.records), "left in quarantine": dict(found.left)}


@dg.job(description="Process quarantined records again, after what rejected them is mended.", tags={"domain": "mobile"})
def mobile_reprocess_quarantine() -> None:
    """Process quarantined records again."""
    mobile_reprocess()


class RemapConfig(Hours):
    """Which hours are mapped anew."""

    feed: Feed = Field(description="The feed.")
    consequences_accepted: bool = Field(
        default=False,
        description="The dry run says what it means that two releases of one record exist under two mappings. Needed "
        "to do it.",
    )


@dg.op
def mobile_remap(
    context: dg.OpExecutionContext,
    config: RemapConfig,
    landing: dg.ResourceParam[Objects],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> None:
    """Make files that have left under an earlier mapping once more, under the one in force, and release them."""
    span, feed = config.span, _FEEDS[config.feed.value]
    version = accepted.named(lake)
    if version is None:
        raise dg.Failure("no privacy mapping is accepted yet: materialise mobile/privacy_mapping first")
    if not (config.dry_run or config.consequences_accepted):
        raise dg.Failure("the consequences are not accepted: make a dry run, read them, then set consequences_accepted")
    scope = {"feed": config.feed.value, "first": span.first, "last": span.last, "mapping": version}
    with journaled(context, ledger, config, scope) as effect:
        found = remap(feed, landing, ledger, span, version, utc_now(), dry_run=config.dry_run)
        effect |= {
            "files": found.files,
            "records": found.records,
            "files without landed bytes": found.without_raw,
            "consequences": found.consequences,
        }


@dg.job(description="Map old hours anew; its consequences are named by the dry run.", tags={"domain": "mobile"})
def mobile_remap_hours() -> None:
    """Map old hours anew."""
    mobile_remap()


class DeleteConfig(Tried):
    """Which landed files are deleted."""

    feed: Feed = Field(description="The feed.")
    older_than_hours: float = Field(
        default=0.0, ge=0, description="Settled for so many hours; 0 is the setting PIPELINES_MOBILE_RAW_HOURS."
    )


@dg.op
def mobile_delete(
    context: dg.OpExecutionContext,
    config: DeleteConfig,
    environment: dg.ResourceParam[Environment],
    landing: dg.ResourceParam[Objects],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> None:
    """Delete landed files whose output is delivered and intact."""
    hours = config.older_than_hours or environment.mobile_raw_hours
    before = utc_now() - timedelta(hours=hours)
    with journaled(
        context, ledger, config, {"feed": config.feed.value, "settled_before": before.isoformat()}
    ) as effect:
        feed = _FEEDS[config.feed.value]
        deleted = delete_landed(feed, landing, lake, ledger, before, dry_run=config.dry_run)
        effect |= {"files": deleted.files, "bytes": deleted.bytes, "kept": dict(deleted.kept)}


@dg.job(description="Delete landed files that are settled for long enough.", tags={"domain": "mobile"})
def mobile_delete_landed() -> None:
    """Delete landed files that are settled for long enough."""
    mobile_delete()


operations = [
    mobile_reprocess_quarantine,
    mobile_remap_hours,
    mobile_delete_landed,
    *pausing_jobs("mobile", {name: feed.queue for name, feed in _FEEDS.items()}),
]
