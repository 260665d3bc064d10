"""What people do about deliveries: send dead letters again, pause and resume a feed."""

from enum import StrEnum

import dagster as dg
from pydantic import Field

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.domains.aae.exports import EVENTS, EXPORTS, PACKAGES
from pipelines.domains.aae.replaying import replay
from pipelines.jobs import Tried, journaled, moment, pausing_jobs

_EXPORTS = {export.name: export for export in EXPORTS}


class Feed(StrEnum):
    """The feeds that are delivered."""

    PACKAGES = PACKAGES.name
    EVENTS = EVENTS.name


class ReplayConfig(Tried):
    """Which dead letters are sent again."""

    feed: Feed = Field(description="The feed.")
    reasons: list[str] = Field(
        default=[], description="Only those that died of one of these reasons, as the checks name them; empty is all."
    )
    since: str = Field(default="", description="Only those that died at or after this moment: 2026-03-01T12:00 (UTC).")
    until: str = Field(default="", description="Only those that died before this moment.")


@dg.op
def aae_replay(context: dg.OpExecutionContext, config: ReplayConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Make dead letters due again; the next delivery sends them under their names, with their bytes."""
    since, until = moment(config.since), moment(config.until)
    scope = {"feed": config.feed.value, "reasons": config.reasons, "since": config.since, "until": config.until}
    with journaled(context, ledger, config, scope) as effect:
        export = _EXPORTS[config.feed.value]
        replayed = replay(export, ledger, config.reasons, since, until, utc_now(), dry_run=config.dry_run)
        effect |= {"objects": replayed.objects, "bytes": replayed.bytes, "reasons": dict(replayed.reasons)}


@dg.job(description="Send dead letters again.", tags={"domain": "aae"})
def aae_replay_dead_letters() -> None:
    """Send dead letters again."""
    aae_replay()


operations = [aae_replay_dead_letters, *pausing_jobs("aae", {e.name: e.queue for e in EXPORTS})]
