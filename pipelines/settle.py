"""The platform without a daemon: the same sensors, the same plan, the same jobs, until nothing is due."""

from __future__ import annotations

import fcntl
import logging
import math
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import dagster as dg

from pipelines.adapters.drive import DriveError
from pipelines.adapters.installation import OtherKey
from pipelines.adapters.ledger import Ledger, LedgerUnavailable, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import ObjectsUnavailable
from pipelines.adapters.uploads import UploadsUnavailable
from pipelines.core.summary import summarise
from pipelines.core.work import State
from pipelines.definitions import build
from pipelines.environment import Environment, ledger_password
from pipelines.sensors import LIVE
from pipelines.supervisor import prepare_dagster_home

SETTLED, FAILED, REMAINS = 0, 1, 3
_SETTLED_IN = "settled_in"
"""The tag that tells in which home a run was made: Dagster's own records may be shared by several."""

_OUTSIDE = (DriveError, OtherKey, LedgerUnavailable, ObjectsUnavailable, UploadsUnavailable)
"""What a sensor may fail of that is no fault of its own, nor a reason to stop all the others."""

_NAP = timedelta(seconds=0.5)


@dataclass(slots=True)
class _Round:
    """What ticks leave for the next ones.

    Attributes:
        cursors: of the sensors.
        failed: jobs and sensors that are not asked for again in this round.
        told: why a sensor failed last, until it does not: while it waits that is said once.
    """

    cursors: dict[str, str | None] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run that was made: its job, whether it succeeded, how long it took in seconds, why a person is called.

    Or a sensor, by its name, that could not tell whether one is needed; or that now can again, which ``mends`` that.
    """

    job: str
    success: bool
    seconds: float
    words: str = ""
    mends: bool = False

    def __str__(self) -> str:
        told = f"{self.job}: {'done' if self.success else 'failed'} in {self.seconds:.1f} s"
        return f"{told}: {self.words}" if self.words else told


def settle(environment: Environment, wait: timedelta = timedelta(0)) -> Iterator[Ran]:
    """Tick every sensor and make the runs that it asks for, again and again, until none asks for any.

    A job whose run failed is not run again before the next wait: it would be asked for as long as its work is due. A
    sensor that failed since something outside is out of order is not asked again either, and keeps no other from it.

    Args:
        environment: where everything is.
        wait: also wait for what becomes due within this time.
    """
    gives_up = utc_now() + wait
    # Nobody waits here for what may follow: the next tick comes at once.
    environment = environment.model_copy(update={"events_stay_seconds": 0.0, "residents_tick_seconds": math.inf})
    defs = dg.Definitions.merge(build(environment), dg.Definitions(loggers={"console": _console}))
    sensors = list(defs.sensors or [])
    opened = open_ledger(environment.ledger, ledger_password(), waits=True)
    with closing(opened) as ledger, _instance(environment) as instance, _settling(environment, instance) as here:
        so_far = _Round()
        while True:
            ran = [made for sensor in sensors for made in _tick(sensor, defs, instance, here, so_far)]
            yield from ran
            if ran:
                continue
            so_far.failed.clear()
            now = utc_now()
            active = [queue for queue in ledger.queues() if ledger.paused(queue, now) is None]
            following = min((due for queue in active if (due := ledger.next_due(queue)) is not None), default=None)
            # What is due and yet was not asked for is held: by a switch, by a pause, or till the next probe.
            if following is None or following > gives_up or now >= gives_up:
                return
            time.sleep(min(max(_NAP, following - now), gives_up - now).total_seconds())


def verdict(ledger: Ledger) -> tuple[list[list[str]], int]:
    """How everything stands: a row for each queue, state and reason; and an exit status.

    The status is 0 if all is settled, 1 if something is dead, 3 if work remains.
    """
    standings = {queue: ledger.standings(queue) for queue in ledger.queues()}
    pauses = {queue: pause for queue in standings if (pause := ledger.paused(queue, utc_now())) is not None}
    rows = [
        [queue, str(one.state), one.reason or "", f"{one.items:,}", f"{one.size:,}"]
        for queue, found in standings.items()
        for one in found
    ]
    rows += [
        [queue, "paused", f"by {pause.who} until {pause.until:%Y-%m-%d %H:%M} UTC", "", ""]
        for queue, pause in pauses.items()
    ]
    summaries = [summarise(found) for found in standings.values()]
    if any(summary.items[State.DEAD] for summary in summaries):
        return rows, FAILED
    return rows, REMAINS if any(summary.waiting for summary in summaries) else SETTLED


def recorded_partitions(environment: Environment, asset: str) -> int:
    """How many partitions of an asset Dagster has recorded."""
    with _instance(environment) as instance:
        return len(instance.get_materialized_partitions(dg.AssetKey.from_user_string(asset)))


@contextmanager
def _instance(environment: Environment) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(environment))) as instance:
        yield instance


def _tick(
    sensor: dg.SensorDefinition,
    defs: dg.Definitions,
    instance: dg.DagsterInstance,
    here: str,
    so_far: _Round,
) -> Iterator[Ran]:
    if sensor.name in so_far.failed:
        return
    started = time.monotonic()
    needed = {name: one for name, one in (defs.resources or {}).items() if name in sensor.required_resource_keys}
    try:
        with dg.build_sensor_context(
            instance=instance, cursor=so_far.cursors.get(sensor.name), definitions=defs, resources=needed
        ) as context:
            tick = sensor.evaluate_tick(context)
    except (dg.DagsterError, *_OUTSIDE) as error:
        fault = error.__cause__ or error
        if not isinstance(fault, _OUTSIDE):
            raise
        so_far.failed.add(sensor.name)
        if so_far.told.get(sensor.name) != str(fault):
            so_far.told[sensor.name] = str(fault)
            yield Ran(sensor.name, False, time.monotonic() - started, str(fault))
        return
    # One that asks for a run does so for what it can see; of what it can't it tells once nothing of that is due.
    if not tick.run_requests and so_far.told.pop(sensor.name, None) is not None:
        yield Ran(sensor.name, True, time.monotonic() - started, "in order again", mends=True)
    for event in tick.asset_events:
        instance.report_runless_asset_event(event)
    so_far.cursors[sensor.name] = tick.cursor
    for request in tick.run_requests or []:
        job = defs.resolve_job_def(request.job_name or sensor.job.name)
        if job.name in so_far.failed:
            continue
        started = time.monotonic()
        success, words = _run(job, request, instance, here)
        if not success:
            so_far.failed.add(job.name)
        yield Ran(job.name, success, time.monotonic() - started, words)


@contextmanager
def _settling(environment: Environment, instance: dg.DagsterInstance) -> Iterator[str]:
    """Be one who settles in this home, by the name that it has; if the only one, see to what a killed one left.

    No daemon notices that such a run is over: its job would not be asked for again before it is older than any run.
    """
    environment.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (environment.home / "settling").open("a+") as place:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            fcntl.flock(place, fcntl.LOCK_SH)
            alone = False
        place.seek(0)
        here = place.read()
        if not here:
            here = uuid4().hex
            place.write(here)
            place.flush()
        for run in instance.get_runs(dg.RunsFilter(tags={_SETTLED_IN: here}, statuses=LIVE)) if alone else ():
            instance.report_run_canceled(run, message="The process that this run was in is gone.")
        fcntl.flock(place, fcntl.LOCK_SH)
        yield here


def _run(job: dg.JobDefinition, request: dg.RunRequest, instance: dg.DagsterInstance, here: str) -> tuple[bool, str]:
    """Whether the run succeeded, and if not, why, where one line says it."""
    if request.asset_selection:
        checks = frozenset(request.asset_check_keys or ())
        job = job.get_subset(asset_selection=frozenset(request.asset_selection), asset_check_selection=checks)
    try:
        result = job.execute_in_process(
            run_config={**request.run_config, "loggers": {"console": {}}},
            tags={**request.tags, _SETTLED_IN: here},
            instance=instance,
            raise_on_error=False,
        )
    except dg.DagsterError as error:
        return False, str(error.__cause__ or error)
    return result.success, next(filter(None, map(_words, result.all_events)), "")


def _words(event: dg.DagsterEvent | None) -> str:
    """What a failure says that needs no traceback: a resource that can't be opened, a call for a person."""
    if event is not None and event.event_type is dg.DagsterEventType.RESOURCE_INIT_FAILURE:
        error = event.engine_event_data.error
        return error.message.removeprefix(f"{error.cls_name}: ").strip() if error else ""
    if event is not None and event.is_step_failure and (failure := event.step_failure_data.user_failure_data):
        return failure.description or ""
    return ""


def _is_told_in_full(record: logging.LogRecord) -> bool:
    """Whether a line of Dagster's says more than the run's own one does."""
    event: dg.DagsterEvent | None = getattr(record, "dagster_meta", {}).get("dagster_event")
    return not (event is not None and (event.is_run_failure or _words(event)))


@dg.logger
def _console(_: dg.InitLoggerContext) -> logging.Logger:
    """Warnings and errors of a run, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(_is_told_in_full)
    logger = logging.Logger("pipelines.settle", logging.WARNING)
    logger.addHandler(handler)
    return logger
