"""How sensors and schedules ask for runs: all through the one planner, at most one run for each job at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.assets import ALARM
from pipelines.core.planning import plan
from pipelines.core.retry import RetryPolicy
from pipelines.environment import Environment, at_load

RUNNING = dg.DefaultSensorStatus.RUNNING if at_load().automation else dg.DefaultSensorStatus.STOPPED
SCHEDULED = dg.DefaultScheduleStatus.RUNNING if at_load().automation else dg.DefaultScheduleStatus.STOPPED

_STREAK = 6
"""Failed runs in a row that are looked at: after so many the pause has reached its cap."""

_LIVE = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dataclass(frozen=True, slots=True)
class Feed:
    """A queue, the job that works on it, and where its items are bound for."""

    queue: str
    job: str
    asset: dg.AssetKey
    enabled: bool
    destination: str = ""


def due_run(
    feed: Feed, ledger: Ledger, instance: dg.DagsterInstance, environment: Environment, now: datetime, trigger: str
) -> dg.RunRequest | dg.SkipReason:
    """The run that a feed needs now, or why it needs none."""
    if not feed.enabled:
        return dg.SkipReason("switched off by a setting; what is due is kept")
    if is_live(feed.job, instance, now, timedelta(seconds=2 * environment.run_seconds)):
        return dg.SkipReason("a run is under way and takes what is due")
    circuit = ledger.circuit(f"{feed.queue} {feed.destination}")
    if circuit.allowance(now) == 0:
        return dg.SkipReason(f"the other side is out of order ({circuit.reason}); next probe {circuit.probe_at}")
    due = [one for one in ledger.backlog(now) if one.queue == feed.queue and one.destination == feed.destination]
    requests = plan(due)
    if not requests:
        following = ledger.next_due(feed.queue)
        return dg.SkipReason("nothing is due" + (f"; the next at {following}" if following else ""))
    (request,) = requests
    resumes_at = pause_after_failures(feed.job, instance, min(one.oldest_due for one in due))
    if resumes_at is not None and now < resumes_at:
        return dg.SkipReason(f"the last run left due work behind and failed; the next is asked for at {resumes_at}")
    return dg.RunRequest(
        job_name=feed.job,
        run_config={"ops": {"__".join(feed.asset.path): {"config": {"only_due": True}}}},
        tags={
            "dagster/asset_partition_range_start": request.first,
            "dagster/asset_partition_range_end": request.last,
            "domain": feed.asset.path[0],
            "feed": feed.queue,
            "trigger": trigger,
        },
    )


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


def is_live(job: str, instance: dg.DagsterInstance, now: datetime, longest: timedelta) -> bool:
    """Whether a run of the job waits or is under way. One that is older than any run can be has died without a word."""
    waiting = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED])
    running = dg.RunsFilter(job_name=job, statuses=_LIVE, created_after=now - longest)
    return any(instance.get_run_records(filters, limit=1) for filters in (waiting, running))
