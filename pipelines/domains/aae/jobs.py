"""What people do about deliveries: send dead letters again, pause and resume a feed."""

from enum import StrEnum
from typing import Self

import dagster as dg
from pydantic import Field, field_validator, model_validator

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import Reason
from pipelines.domains.aae.exports import EVENTS, EXPORTS, PACKAGES
from pipelines.domains.aae.replaying import replay
from pipelines.jobs import Asked, Pausing, Tried, journaled, moment, pause, resume

_EXPORTS = {export.name: export for export in EXPORTS}


class Feed(StrEnum):
    """The feeds that are delivered."""

    packages = PACKAGES.name
    events = EVENTS.name


class ReplayConfig(Tried):
    """Which dead letters are sent again."""

    feed: Feed = Field(description="The feed.")
    reasons: list[str] = Field(
        default=[], description="Only those that died of one of these reasons, as the checks name them; empty is all."
    )
    since: str = Field(default="", description="Only those that died at or after this moment: 2026-03-01T12:00 (UTC).")
    until: str = Field(default="", description="Only those that died before this moment.")

    @field_validator("reasons")
    @classmethod
    def _are_known(cls, reasons: list[str]) -> list[str]:
        unknown = set(reasons).difference(Reason)
        if unknown:
            raise ValueError(
                f"no reason of these: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(Reason))}"
            )
        return reasons

    @field_validator("since", "until")
    @classmethod
    def _is_a_moment(cls, text: str) -> str:
        try:
            moment(text)
        except ValueError:
            raise ValueError("a moment is written as 2026-03-01T12:00, in UTC unless it says otherwise") from None
        return text

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        since, until = moment(self.since), moment(self.until)
        if since and until and until <= since:
            raise ValueError("until does not lie after since: nothing could have died between them")
        return self


@dg.op
def aae_replay(context: dg.OpExecutionContext, config: ReplayConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Make dead letters due again; the next delivery sends them under their names, with their bytes."""
    since, until = moment(config.since), moment(config.until)
    scope = {"feed": config.feed.value, "reasons": config.reasons, "since": config.since, "until": config.until}
    with journaled(context, ledger, config, scope) as effect:
        export = _EXPORTS[config.feed.value]
        replayed = replay(export, ledger, config.reasons, since, until, utc_now(), dry_run=config.dry_run)
        effect |= {
            "objects": replayed.objects if config.dry_run else replayed.reopened,
            "bytes": replayed.bytes,
            "reasons": dict(replayed.reasons),
        }


@dg.job(description="Send dead letters again.", tags={"domain": "aae"})
def aae_replay_dead_letters() -> None:
    """Send dead letters again."""
    aae_replay()


class PauseConfig(Pausing):
    """Which feed is paused."""

    feed: Feed = Field(description="The feed to pause.")


@dg.op
def aae_pause(context: dg.OpExecutionContext, config: PauseConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Deliver nothing more of a feed; what waits is kept, and what is on its way is finished."""
    pause(context, config, ledger, _EXPORTS[config.feed.value].queue)


@dg.job(description="Pause a feed without losing anything.", tags={"domain": "aae"})
def aae_pause_feed() -> None:
    """Pause a feed without losing anything."""
    aae_pause()


class ResumeConfig(Asked):
    """Which feed is resumed."""

    feed: Feed = Field(description="The feed to resume.")


@dg.op
def aae_resume(context: dg.OpExecutionContext, config: ResumeConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Deliver a paused feed again; what waits is taken with the next tick."""
    resume(context, config, ledger, _EXPORTS[config.feed.value].queue)


@dg.job(description="Resume a paused feed.", tags={"domain": "aae"})
def aae_resume_feed() -> None:
    """Resume a paused feed."""
    aae_resume()


operations = [aae_replay_dead_letters, aae_pause_feed, aae_resume_feed]
