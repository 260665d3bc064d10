"""What jobs for people share: who asks and why, a dry run first, an entry in the ledger's journal, pause and resume."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import dagster as dg
from pydantic import Field

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.periods import hour_key, hour_start
from pipelines.core.work import Pause
from pipelines.sensors import told_of_pause

LONGEST_PAUSE_DAYS = 14


class Asked(dg.Config):
    """Who asks for something, and why."""

    who: str = Field(min_length=1, description="Who asks for it, so that colleagues know whom to ask.")
    why: str = Field(min_length=1, description="Why, in a few words, without personal data: it is kept for good.")


class Tried(Asked):
    """What is tried before it is done."""

    dry_run: bool = Field(
        default=True, description="Only say what would be done. Switch it off to do it: then it is in the journal."
    )


class Hours(Tried):
    """Hours of arrival, both included."""

    first_hour: str = Field(description="The first hour, as its partition is called: 2026-03-01-12:00 (UTC).")
    last_hour: str = Field(default="", description="The last hour, included; empty is the first one alone.")

    @property
    def span(self) -> Span:
        """The partitions.

        Raises:
            ValueError: an hour is not written as a partition is called.
        """
        first, last = self.first_hour, self.last_hour or self.first_hour
        for hour in (first, last):
            if hour_key(hour_start(hour)) != hour:
                raise ValueError("an hour is written as its partition is called: 2026-03-01-12:00")
        if last < first:
            raise ValueError("last_hour lies before first_hour")
        return Span(first, last)


@contextmanager
def journaled(
    context: dg.OpExecutionContext, ledger: Ledger, config: Asked, scope: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Do something under an entry in the journal, written before it begins; what is put into the mapping is its effect.

    A dry run leaves no entry. The effect is shown in the run.
    """
    effect: dict[str, Any] = {}
    if isinstance(config, Tried) and config.dry_run:
        yield effect
        context.log.info("Dry run, nothing was done. It would: %s", effect)
    else:
        entry = ledger.begin(context.job_name, config.who, config.why, context.run.run_id, scope, utc_now())
        yield effect
        ledger.finish(entry, effect, utc_now())
        context.log.info("Done: %s", effect)
    context.add_output_metadata(effect)


def pausing_jobs(domain: str, queues: Mapping[str, str]) -> list[dg.JobDefinition]:
    """The jobs that pause and resume a domain's feeds.

    Args:
        domain: the domain's name.
        queues: the ledger's queue of each feed by the feed's name.
    """
    feeds = Enum(f"{domain.title()}Feed", {name: name for name in queues}, type=str)  # type: ignore[misc]  # made of a mapping

    class PauseConfig(Asked):
        feed: feeds = Field(description="The feed to pause.")  # type: ignore[valid-type]  # an enumeration made above
        days: float = Field(
            default=1.0,
            gt=0,
            le=LONGEST_PAUSE_DAYS,
            description="For how many days at most; then it resumes by itself. Pausing again begins anew.",
        )

    class ResumeConfig(Asked):
        feed: feeds = Field(description="The feed to resume.")  # type: ignore[valid-type]  # as above

    @dg.op(name=f"{domain}_pause")
    def pause(context: dg.OpExecutionContext, config: PauseConfig, ledger: dg.ResourceParam[Ledger]) -> None:
        """Stop taking work from a feed's queue; all of it is kept, and what is on its way is finished."""
        queue, now = queues[config.feed.value], utc_now()
        until = now + timedelta(days=config.days)
        with journaled(context, ledger, config, {"queue": queue, "until": until.isoformat()}) as effect:
            paused = Pause(queue, now, until, config.who, config.why)
            ledger.pause(paused)
            effect["paused"] = told_of_pause(paused, ledger, now)
            context.log_event(dg.AssetObservation(dg.AssetKey.from_user_string(queue), metadata=effect))

    @dg.op(name=f"{domain}_resume")
    def resume(context: dg.OpExecutionContext, config: ResumeConfig, ledger: dg.ResourceParam[Ledger]) -> None:
        """Go on with a paused feed; what waits is taken with the next tick."""
        queue = queues[config.feed.value]
        with journaled(context, ledger, config, {"queue": queue}) as effect:
            before = ledger.paused(queue, utc_now())
            ledger.resume(queue)
            effect["resumed"] = "was not paused" if before is None else f"was paused by {before.who}"
            context.log_event(dg.AssetObservation(dg.AssetKey.from_user_string(queue), metadata=effect))

    @dg.job(name=f"{domain}_pause_feed", description="Pause a feed without losing anything.", tags={"domain": domain})
    def pause_feed() -> None:
        pause()

    @dg.job(name=f"{domain}_resume_feed", description="Resume a paused feed.", tags={"domain": domain})
    def resume_feed() -> None:
        resume()

    return [pause_feed, resume_feed]


def moment(text: str) -> datetime | None:
    """A moment from its ISO form, in UTC unless it says otherwise; ``None`` for an empty text.

    Raises:
        ValueError: the text is no moment.
    """
    if not text:
        return None
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)
