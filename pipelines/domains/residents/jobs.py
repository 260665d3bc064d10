"""What people do about sheets: take one up again, send again what is over, pause and resume a feed."""

from enum import StrEnum

import dagster as dg
from pydantic import Field

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.resending import What, resend
from pipelines.jobs import Asked, Pausing, Tried, journaled, pause, resume


class Feed(StrEnum):
    """The feeds of sheets."""

    contact_tracing = "contact_tracing"
    nsss = "nsss"
    spl = "spl"
    self_isolation = "self_isolation"
    generic = "generic"


class Effects(StrEnum):
    """What of a sheet is had again, as a config names it."""

    given_up = What.GIVEN_UP
    refused = What.REFUSED
    unknown = What.UNKNOWN
    everything = What.EVERYTHING


class RetryConfig(Tried):
    """Which sheet is taken up again."""

    feed: Feed = Field(description="The feed.")
    sheet: str = Field(min_length=1, description="The sheet's id, as the day's table and `pipelines trace` show it.")
    effects: Effects = Field(
        default=Effects.given_up,
        description="Which effects are had again: those that were given up, or refused, or of which it is unknown "
        "whether they happened (those without a key may then be there twice), or everything (what is there is found, "
        "no note is added twice).",
    )


@dg.op
def residents_retry(context: dg.OpExecutionContext, config: RetryConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Make a sheet due again, with those effects; the next run reads it and sends what is not sent."""
    scope = {"feed": config.feed.value, "sheet": config.sheet, "effects": config.effects.value}
    with journaled(context, ledger, config, scope) as effect:
        feed = FEEDS[config.feed.value]
        what = What(config.effects.value)
        resent = resend(feed, ledger, config.sheet, what, utc_now(), dry_run=config.dry_run)
        effect |= {"sheets": resent.sheets, "effects": resent.effects, "reasons": dict(resent.reasons)}


@dg.job(description="Take one sheet up again, or send again what is over of it.", tags={"domain": "residents"})
def residents_retry_sheet() -> None:
    """Take one sheet up again."""
    residents_retry()


class PauseConfig(Pausing):
    """Which feed is paused."""

    feed: Feed = Field(description="The feed to pause.")


@dg.op
def residents_pause(context: dg.OpExecutionContext, config: PauseConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Take up no more sheets of a feed; they go on being noticed, and what is under way is finished."""
    pause(context, config, ledger, sheets_queue(FEEDS[config.feed.value]))


@dg.job(description="Pause a feed without losing anything.", tags={"domain": "residents"})
def residents_pause_feed() -> None:
    """Pause a feed without losing anything."""
    residents_pause()


class ResumeConfig(Asked):
    """Which feed is resumed."""

    feed: Feed = Field(description="The feed to resume.")


@dg.op
def residents_resume(context: dg.OpExecutionContext, config: ResumeConfig, ledger: dg.ResourceParam[Ledger]) -> None:
    """Send a paused feed's sheets again; what waits is taken with the next tick."""
    resume(context, config, ledger, sheets_queue(FEEDS[config.feed.value]))


@dg.job(description="Resume a paused feed.", tags={"domain": "residents"})
def residents_resume_feed() -> None:
    """Resume a paused feed."""
    residents_resume()


operations = [residents_retry_sheet, residents_pause_feed, residents_resume_feed]
