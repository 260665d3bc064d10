"""What people do about landed files: process quarantined records again, map old hours anew, delete raw files."""

from datetime import timedelta
from enum import StrEnum

import dagster as dg
from pydantic import Field, field_validator

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.domains.mobile import accepted, feeds
from pipelines.domains.mobile.faults import Reason
from pipelines.domains.mobile.remapping import remap
from pipelines.domains.mobile.reprocessing import Reprocessed, reprocess
from pipelines.domains.mobile.retention import Deleted, delete_landed
from pipelines.environment import Environment
from pipelines.jobs import Asked, Hours, Pausing, Tried, journaled, pause, resume
from pipelines.lost import refuse_if_lost

_FEEDS = {feed.queue.rpartition("/")[-1]: feed for feed in feeds.FEEDS.values()}


class Feed(StrEnum):
    """The feeds that land."""

    packages = "packages"
    events = "events"


class ReprocessConfig(Hours):
    """Which quarantined records are processed again."""

    feed: Feed = Field(description="The feed.")
    reasons: list[str] = Field(
        default=[],
        description=f"Only records rejected for one of these reasons; empty is all. Known are: {', '.join(Reason)}.",
    )

    @field_validator("reasons")
    @classmethod
    def _are_known(cls, reasons: list[str]) -> list[str]:
        if not set(reasons) <= set(Reason):
            raise ValueError(f"an unknown reason; known are: {', '.join(Reason)}")
        return reasons


@dg.op
def mobile_reprocess(
    context: dg.OpExecutionContext,
    config: ReprocessConfig,
    landing: dg.ResourceParam[Objects],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> None:
    """Move quarantined records into files of their own, which are filtered like any other; each is counted once."""
    refuse_if_lost(ledger, lake)
    span, feed = config.span, _FEEDS[config.feed]
    scope = {"feed": config.feed.value, "first": span.first, "last": span.last, "reasons": config.reasons}
    found = Reprocessed()
    with journaled(context, ledger, config, scope) as effect:
        try:
            reprocess(feed, landing, ledger, span, config.reasons, utc_now(), found, dry_run=config.dry_run)
        finally:
            effect |= {
                "files": found.files,
                "records": dict(found.records),
                "left in quarantine": dict(found.left),
                "files left as they are": dict(found.skipped),
            }


@dg.job(description="Process quarantined records again, after what rejected them is mended.", tags={"domain": "mobile"})
def mobile_reprocess_quarantine() -> None:
    """Process quarantined records again."""
    mobile_reprocess()


class RemapConfig(Hours):
    """Which hours are mapped anew."""

    feed: Feed = Field(description="The feed.")
    consequences_accepted: bool = Field(
        default=False,
        description="Needed to do it. The dry run says what it means that two releases of one record exist under two "
        "mappings.",
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
    refuse_if_lost(ledger, lake)
    span, feed = config.span, _FEEDS[config.feed]
    version = accepted.named(lake)
    if version is None:
        raise dg.Failure("no privacy mapping is accepted yet: materialise mobile/privacy_mapping first")
    if not (config.dry_run or config.consequences_accepted):
        raise dg.Failure("the consequences are not accepted: make a dry run, read them, then set consequences_accepted")
    scope = {"feed": config.feed.value, "first": span.first, "last": span.last, "mapping": version}
    with journaled(context, ledger, config, scope) as effect:
        found = remap(feed, landing, ledger, span, version, utc_now(), dry_run=config.dry_run)
        effect |= {
            "files": found.files if config.dry_run else found.reopened,
            "records": found.records,
            "files that may have left": found.delivered,
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
        default=0.0, ge=0, description="Settled for so many hours; 0 stands for the setting PIPELINES_MOBILE_RAW_HOURS."
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
    refuse_if_lost(ledger, lake)
    hours = config.older_than_hours or environment.mobile_raw_hours
    if not hours:
        raise dg.Failure(
            "PIPELINES_MOBILE_RAW_HOURS is 0: landed files are kept for good, unless older_than_hours is set"
        )
    feed, before = _FEEDS[config.feed], utc_now() - timedelta(hours=hours)
    deleted = Deleted()
    with journaled(
        context, ledger, config, {"feed": config.feed.value, "settled_before": before.isoformat()}
    ) as effect:
        try:
            delete_landed(feed, landing, lake, ledger, before, deleted, dry_run=config.dry_run)
        finally:
            effect |= {"files": deleted.files, "bytes": deleted.bytes, "kept": dict(deleted.kept)}


@dg.job(description="Delete landed files that are settled for long enough.", tags={"domain": "mobile"})
def mobile_delete_landed() -> None:
    """Delete landed files that are settled for long enough."""
    mobile_delete()


class PauseConfig(Pausing):
    """Which feed is paused."""

    feed: Feed = Field(description="The feed to pause.")


@dg.op
def mobile_pause(context: dg.OpExecutionContext, config: PauseConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Filter nothing more of a feed; what lands is taken in and kept, and what is in hand is finished."""
    pause(context, config, ledger, _FEEDS[config.feed].queue)


@dg.job(description="Pause a feed without losing anything.", tags={"domain": "mobile"})
def mobile_pause_feed() -> None:
    """Pause a feed without losing anything."""
    mobile_pause()


class ResumeConfig(Asked):
    """Which feed is resumed."""

    feed: Feed = Field(description="The feed to resume.")


@dg.op
def mobile_resume(context: dg.OpExecutionContext, config: ResumeConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Filter a paused feed again; what waits is taken with the next tick."""
    resume(context, config, ledger, _FEEDS[config.feed].queue)


@dg.job(description="Resume a paused feed.", tags={"domain": "mobile"})
def mobile_resume_feed() -> None:
    """Resume a paused feed."""
    mobile_resume()


operations = [
    mobile_reprocess_quarantine,
    mobile_remap_hours,
    mobile_delete_landed,
    mobile_pause_feed,
    mobile_resume_feed,
]
