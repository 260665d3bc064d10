"""How sensors and schedules ask for runs: all through the one planner, at most one run for each job at a time."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.assets import ALARM
from pipelines.core.planning import Request, plan
from pipelines.core.retry import RetryPolicy
from pipelines.core.summary import summarise
from pipelines.core.work import Pause, State
from pipelines.environment import Environment, at_load

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RUNNING = dg.DefaultSensorStatus.RUNNING if at_load().automation else dg.DefaultSensorStatus.STOPPED
SCHEDULED = dg.DefaultScheduleStatus.RUNNING if at_load().automation else dg.DefaultScheduleStatus.STOPPED

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""Dagster's tags of a run over several partitions."""

_STREAK = 6
"""Failed runs in a row that are looked at: after so many the pause has reached its cap."""

LIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""A run that is under way, or whose process was killed."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A queue, the job that works on it, and where its items are bound for."""

    queue: str
    job: str
    asset: dg.AssetKey
    enabled: bool = True
    destination: str = ""
    stays: float = 0.0
    """How long a run stays for more work, in seconds."""
    shares: bool = False
    """Whether other feeds share the job. One run may work on several of them, a step each; its tags say on which."""

    @property
    def tags(self) -> Mapping[str, str]:
        """What tells runs of a shared job that work on this feed from the others."""
        return {self.queue: "due"} if self.shares else {}


def sensor(**options: Any) -> Callable[[Callable[..., Any]], dg.SensorDefinition]:
    """Dagster's decorator, which takes no description from the function by itself."""
    return lambda function: dg.sensor(description=inspect.getdoc(function), **options)(function)


def schedule(**options: Any) -> Callable[[Callable[..., Any]], dg.ScheduleDefinition]:
    """The same for schedules."""
    return lambda function: dg.schedule(description=inspect.getdoc(function), **options)(function)


def due_job(assets: Sequence[dg.AssetsDefinition], name: str, description: str) -> UnresolvedAssetJobDefinition:
    """The job in which a sensor's runs take what is due of an asset, or of several."""
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets).without_checks(),
        description=description,
        tags={"domain": assets[0].key.path[0]},
    )


def due_run(
    feed: Feed, ledger: Ledger, instance: dg.DagsterInstance, environment: Environment, now: datetime, trigger: str
) -> dg.RunRequest | dg.SkipReason:
    """The run that a feed needs now, or why it needs none."""
    if not feed.enabled:
        return dg.SkipReason("switched off by a setting; what is due is kept")
    held, request = _plan(feed, ledger, now)
    if request is not None:  # most ticks have nothing to ask for, and Dagster takes longer to answer than all else
        if is_live(feed.job, instance, now, timedelta(seconds=2 * environment.run_seconds), feed.tags):
            return dg.SkipReason("a run is under way and takes what is due")
        held, request = _plan(feed, ledger, now)  # one that has just ended may have taken it
    if request is None:
        return dg.SkipReason(held or _told_of_idleness(feed, ledger))
    resumes_at = pause_after_failures(feed.job, instance, request.oldest_due or EPOCH, feed.tags)
    if resumes_at is not None and now < resumes_at:
        failed = f"the last run left due work behind and failed; the next is asked for at {resumes_at}"
        return dg.SkipReason(held or failed)
    return dg.RunRequest(
        job_name=feed.job,
        run_config=_config(feed),
        asset_selection=[feed.asset] if feed.shares else None,
        tags={
            RANGE_START: request.first,
            RANGE_END: request.last,
            "domain": feed.asset.path[0],
            "feed": feed.queue,
            "trigger": trigger,
            **feed.tags,
        },
    )


def _plan(feed: Feed, ledger: Ledger, now: datetime) -> tuple[str | None, Request | None]:
    """Why nothing may be taken, and what a run would have to do: one that may take nothing records what others did."""
    held = _held(feed, ledger, now)
    due = [one for one in ledger.backlog(now) if one.queue == feed.queue and one.destination == feed.destination]
    return held, plan([] if held else due, ledger.unrecorded(feed.queue))


def _told_of_idleness(feed: Feed, ledger: Ledger) -> str:
    standings = ledger.standings(feed.queue, destination=feed.destination, unsettled=True)
    if in_hand := sum(one.items for one in standings if one.state is State.CLAIMED):
        return f"nothing else is due; a run has {in_hand:,} in hand"
    following = ledger.next_due(feed.queue)
    return "nothing is due" + (f"; the next at {following}" if following else "")


def one_run(requests: Sequence[dg.RunRequest], also: Collection[Feed] = ()) -> dg.RunRequest:
    """The run of a shared job that does what several feeds need: to start one costs seconds.

    It works on these feeds ``also``, of which something may be due by the time that it has begun.
    """
    first, *_ = requests
    configs = [_config(feed)["ops"] for feed in also] + [request.run_config["ops"] for request in requests]
    tags = {name: value for feed in also for name, value in feed.tags.items()}
    tags |= {name: value for request in requests for name, value in request.tags.items()}
    tags[RANGE_START] = min(request.tags[RANGE_START] for request in requests)
    tags[RANGE_END] = max(request.tags[RANGE_END] for request in requests)
    keys = [*(key for request in requests for key in request.asset_selection or ()), *(feed.asset for feed in also)]
    tags["feed"] = ", ".join(request.tags["feed"] for request in requests)
    return dg.RunRequest(
        job_name=first.job_name,
        run_config={"ops": {name: config for ops in configs for name, config in ops.items()}},
        tags=tags,
        asset_selection=list(dict.fromkeys(keys)),
        asset_check_keys=[],  # those of what changed are evaluated with it
    )


def _config(feed: Feed) -> dict[str, Any]:
    return {"ops": {"__".join(feed.asset.path): {"config": {"only_due": True, "stays": feed.stays}}}}


def _held(feed: Feed, ledger: Ledger, now: datetime) -> str | None:
    """Why nothing of a feed may be taken now, whatever is due."""
    pause = ledger.paused(feed.queue, now)
    if pause is not None:
        return told_of_pause(pause, ledger, now)
    circuit = ledger.circuit(f"{feed.queue} {feed.destination}")
    if circuit.allowance(now) == 0:
        return f"the other side is out of order ({circuit.reason}); next probe {circuit.probe_at}"
    return None


def told_of_pause(pause: Pause, ledger: Ledger, now: datetime) -> str:
    """Who paused a queue and until when, what waits, since when, and how many days it may still wait."""
    standing = summarise(ledger.standings(pause.queue, unsettled=True))
    waits = f"{standing.waiting:,} wait"
    if standing.oldest:
        age = (now - standing.oldest) / timedelta(hours=1)
        waits += f", the oldest since {standing.oldest:%Y-%m-%d %H:%M} UTC, {age:.1f} hours ago"
    days = (pause.until - now) / timedelta(days=1)
    return f"paused by {pause.who} until {pause.until:%Y-%m-%d %H:%M} UTC, {days:.1f} days left; {waits}"


def pause_after_failures(
    job: str, instance: dg.DagsterInstance, oldest_due: datetime, tags: Mapping[str, str] | None = None
) -> datetime | None:
    """When to ask again after runs that failed without taking what was due; each one makes the pause longer.

    A run that did its work and then failed, to raise an alarm, holds nothing up. With ``tags``, only runs that have
    them count.
    """
    records = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags), limit=_STREAK)
    streak = list(takewhile(_failed, records))
    if not streak or oldest_due > streak[0].create_timestamp:
        return None
    return streak[0].create_timestamp + RetryPolicy().pause(len(streak), 0.0)


def _failed(record: dg.RunRecord) -> bool:
    run = record.dagster_run
    return run.status is dg.DagsterRunStatus.FAILURE and ALARM not in run.tags


def is_live(
    job: str, instance: dg.DagsterInstance, now: datetime, longest: timedelta, tags: Mapping[str, str] | None = None
) -> bool:
    """Whether a run of the job, with these tags, waits or is under way.

    One that is older than any run can be has died without a word.
    """
    waiting = dg.RunsFilter(job_name=job, tags=tags, statuses=[dg.DagsterRunStatus.QUEUED])
    running = dg.RunsFilter(job_name=job, tags=tags, statuses=LIVE, created_after=now - longest)
    return any(instance.get_run_records(filters, limit=1) for filters in (waiting, running))
