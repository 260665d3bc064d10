"""What jobs for people share: who asks and why, a dry run first, an entry in the ledger's journal, pause and resume."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import dagster as dg
from pydantic import Field, ValidationInfo, field_validator, model_validator

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

    @field_validator("who", "why")
    @classmethod
    def _says_something(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("it is blank: colleagues must be able to tell who asked, and why")
        return text.strip()


class Tried(Asked):
    """What is tried before it is done."""

    dry_run: bool = Field(
        default=True, description="Only say what would be done. Switch it off to do it: then it is in the journal."
    )


class Hours(Tried):
    """Hours of arrival, both included."""

    first_hour: str = Field(description="The first hour, as its partition is called: 2026-03-01-12:00 (UTC).")
    last_hour: str = Field(default="", description="The last hour, included; empty is the first one alone.")

    @field_validator("first_hour", "last_hour")
    @classmethod
    def _is_an_hour(cls, text: str, info: ValidationInfo) -> str:
        if not text and info.field_name == "last_hour":
            return text
        try:
            if hour_key(hour_start(text)) == text:
                return text
        except ValueError:
            pass
        raise ValueError("an hour is written as its partition is called: 2026-03-01-12:00")

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.last_hour and self.last_hour < self.first_hour:
            raise ValueError("last_hour lies before first_hour")
        return self

    @property
    def span(self) -> Span:
        """The partitions."""
        return Span(self.first_hour, self.last_hour or self.first_hour)


class Pausing(Asked):
    """For how long a feed is paused."""

    days: float = Field(
        default=1.0,
        gt=0,
        le=LONGEST_PAUSE_DAYS,
        description=f"For how many days, {LONGEST_PAUSE_DAYS} at most; then it resumes by itself. Pausing again begins "
        "anew.",
    )


@contextmanager
def journaled(
    context: dg.OpExecutionContext, ledger: Ledger, config: Asked, scope: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Do something under an entry in the journal, written before it begins; what is put into the mapping is its effect.

    What fails midway has an effect too, and says so. A dry run leaves no entry. The effect is shown in the run.
    """
    effect: dict[str, Any] = {}
    if isinstance(config, Tried) and config.dry_run:
        yield effect
        context.log.info("Dry run, nothing was done. It would: %s", effect)
    else:
        entry = ledger.begin(context.job_name, config.who, config.why, context.run.run_id, scope, utc_now())
        try:
            yield effect
        except BaseException as error:
            ledger.finish(entry, {**effect, "failed": type(error).__name__}, utc_now())
            raise
        ledger.finish(entry, effect, utc_now())
        context.log.info("Done: %s", effect)
    context.add_output_metadata(effect)


def pause(context: dg.OpExecutionContext, config: Pausing, ledger: Ledger, queue: str) -> None:
    """Stop taking work from a feed's queue; all of it is kept, and what is on its way is finished."""
    now = utc_now()
    until = now + timedelta(days=config.days)
    with journaled(context, ledger, config, {"queue": queue, "until": until.isoformat()}) as effect:
        paused = Pause(queue, now, until, config.who, config.why)
        ledger.pause(paused)
        effect["paused"] = told_of_pause(paused, ledger, now)
        context.log_event(dg.AssetObservation(dg.AssetKey.from_user_string(queue), metadata=effect))


def resume(context: dg.OpExecutionContext, config: Asked, ledger: Ledger, queue: str) -> None:
    """Go on with a paused feed; what waits is taken with the next tick."""
    with journaled(context, ledger, config, {"queue": queue}) as effect:
        before = ledger.paused(queue, utc_now())
        ledger.resume(queue)
        effect["resumed"] = "was not paused" if before is None else f"was paused by {before.who}"
        context.log_event(dg.AssetObservation(dg.AssetKey.from_user_string(queue), metadata=effect))


def moment(text: str) -> datetime | None:
    """A moment from its ISO form, in UTC unless it says otherwise; ``None`` for an empty text.

    Raises:
        ValueError: the text is no moment.
    """
    if not text:
        return None
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)
