"""What assets of file grain share: which partitions a run covers, and how each of them is recorded.

Such an asset works on the items of its queue in the ledger and reports what the ledger then holds. A run that a sensor
starts takes what is due and records only the partitions that it touched; a run that a person starts covers just the
partitions asked for, each recorded as it finishes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.working import Held, Shift, work_through
from pipelines.adapters.objects import ObjectsUnavailable
from pipelines.checks import judge_table
from pipelines.core.retry import RetryPolicy, store_unavailable
from pipelines.core.work import Item, NewItem, Outcome, Reason, State
from pipelines.environment import Environment, at_load

OWNERS = ["team:data-platform"]

ALARM = "alarm"
"""The tag of a run that did its work and then failed, to call a person."""

# Each run would print them; what they warn of is held by tests against the locked version of Dagster.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`")
warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec")

hours = dg.HourlyPartitionsDefinition(f"{at_load().start:%Y-%m-%d}-00:00", end_offset=1)
"""Hours of arrival in UTC, the present one included."""

days = dg.DailyPartitionsDefinition(f"{at_load().start:%Y-%m-%d}", end_offset=1)
"""Days of arrival in UTC, the present one included."""


class Scope(dg.Config):
    """What a run takes."""

    only_due: bool = Field(
        default=False,
        description="Take only what is due, as the sensors ask for, and record only the partitions that changed. "
        "Off, what is settled already is looked at too, and every partition asked for is recorded.",
    )
    stays: float = Field(
        default=0.0,
        description="With only_due: how long after its start the run waits for more when nothing is due, in seconds.",
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of one partition: metadata, the version of its data and of what it was made from, and checks."""

    metadata: Mapping[str, Any]
    data_version: str
    inputs: Mapping[str, str]
    checks: Iterable[tuple[str, bool, Mapping[str, Any]]]


class Recorder:
    """Tells Dagster of the partitions of a queue that changed, whichever run changed them.

    The ledger keeps which ones Dagster was not told of yet, so that a run that ends without a word leaves nothing
    unsaid. In one run a check of one partition can be evaluated once: that is done at the end.
    """

    def __init__(
        self, context: dg.AssetExecutionContext, ledger: Ledger, queue: str, report: Callable[[str], Report]
    ) -> None:
        self._context, self._ledger, self._queue, self._report = context, ledger, queue, report
        self._told: dict[str, int] = {}

    def catch_up(self) -> None:
        """Record the partitions that changed since they were last recorded."""
        for partition, changes in sorted(self._ledger.unrecorded(self._queue).items()):
            if self._told.get(partition) != changes:
                materialise(self._context, partition, self._report(partition))
                self._told[partition] = changes

    def finish(self) -> None:
        """Record what changed, with its checks; from then on the ledger need not remember it."""
        self.catch_up()
        for partition in self._told:
            evaluate(self._context, partition, self._report(partition))
        self._ledger.recorded(self._queue, self._told)


def materialise(context: dg.AssetExecutionContext, partition: str, report: Report) -> None:
    """Record one finished partition now: a later failure does not take it back."""
    versions = {"dagster/code_version": code_version(context), "dagster/data_version": report.data_version}
    tags = versions | _provenance(context, partition, report.inputs)
    context.log_event(
        dg.AssetMaterialization(context.asset_key, partition=partition, metadata=report.metadata, tags=tags)
    )


def evaluate(context: dg.AssetExecutionContext, partition: str, report: Report) -> None:
    """Record the checks of one partition; where other assets wait for this one, they have a step of their own."""
    if is_waited_for(context):
        return
    for name, passed, metadata in report.checks:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=context.asset_key, check_name=name, passed=passed, metadata=metadata, partition=partition
            )
        )


def record_each(
    context: dg.AssetExecutionContext,
    ledger: Ledger,
    queue: str,
    work: Callable[[str], None],
    report: Callable[[str], Report],
    *,
    is_all: bool = True,
) -> Iterator[dg.MaterializeResult[None]]:
    """Work on each partition that a person asked for, and record it as it finishes, with its checks.

    Only where other assets of the run wait for this one is it yielded as well: else they would be skipped, and so
    would the checks, which then have a step of their own.

    If nobody can say that what was found is all, each is worked on and reported, but none recorded by this run: Dagster
    holds a partition that was recorded for made even if its run fails in the end.
    """
    waited_for = is_waited_for(context)
    single = len(context.partition_keys) == 1
    for partition in context.partition_keys:
        work(partition)
        changes = ledger.unrecorded(queue).get(partition, 0)
        made = report(partition)
        if not is_all:
            continue
        if waited_for:
            context.add_asset_metadata(dict(made.metadata), partition_key=partition)
        if waited_for and single:
            yield dg.MaterializeResult(data_version=dg.DataVersion(made.data_version))
        else:
            materialise(context, partition, made)
            evaluate(context, partition, made)
        ledger.recorded(queue, {partition: changes})
    if waited_for and not single and is_all:
        yield dg.MaterializeResult()


Make = Callable[[str], Mapping[str, Any]]
"""Writes the table of a partition, whole, and gives its facts: at least its ``version``, ``rows`` and ``bytes``."""


def remake(
    item: Item,
    held: Held,
    *,
    ledger: Ledger,
    make: Make,
    policy: RetryPolicy,
    made_with: str,
    now: Callable[[], datetime],
) -> Outcome:
    """Write the table that a claimed item asks for, and say what became of it; only an error of our own raises."""
    if policy.exhausted(item.attempts):
        return Outcome(item.id, item.fence, State.DEAD, attempted=False, reason=Reason.CRASHED)
    try:
        facts = make(item.partition)
    except ObjectsUnavailable:
        return store_unavailable(item, policy, now())
    if not held(item):  # another run may have written since, of more than was seen here: what is right comes last
        again = NewItem(item.queue, item.partition, f"{item.version} {item.fence}", item.partition, 0, joins=True)
        ledger.take_in([again], now())
    return Outcome(item.id, item.fence, State.SETTLED, made_with=made_with, detail=facts)


def make_tables(
    context: dg.AssetExecutionContext,
    config: Scope,
    ledger: Ledger,
    make: Make,
    environment: Environment,
    policy: RetryPolicy,
    metadata: Mapping[str, Any],
) -> Iterator[dg.MaterializeResult[None]]:
    """One run over the partitions of a table that is made anew when what it is made from changed.

    The queue is named like the asset; each of its items asks for one partition.
    """
    queue = context.asset_key.to_user_string()

    outcome = partial(remake, ledger=ledger, make=make, policy=policy, made_with=code_version(context), now=utc_now)

    def report(partition: str) -> Report:
        items = list(ledger.items(queue, Span(partition, partition)))
        made = [dict(item.detail) for item in items if item.state is State.SETTLED]
        facts: dict[str, Any] = made[-1] if made else {"version": "", "rows": 0, "bytes": 0}
        told = {name: value for name, value in facts.items() if name not in ("version", "rows")}
        told |= {"dagster/row_count": facts["rows"], **metadata}
        return Report(told, facts["version"], {}, judge_table(items))

    shift = Shift(owner=context.run.run_id, lease=timedelta(seconds=environment.lease_seconds))

    def work(partition: str) -> None:
        asked = NewItem(queue, partition, context.run.run_id, partition, 0, cause="asked for", joins=True)
        ledger.take_in([asked], utc_now())
        for _ in work_through(ledger, queue, lambda: outcome, policy, shift, Span(partition, partition)):
            pass

    if config.only_due:
        recorder = Recorder(context, ledger, queue, report)
        due = replace(shift, seconds=environment.run_seconds, idle=recorder.catch_up)
        try:
            for _ in work_through(ledger, queue, lambda: outcome, policy, due):
                pass
        finally:
            recorder.finish()
        return
    yield from record_each(context, ledger, queue, work, report)


def _provenance(context: dg.AssetExecutionContext, partition: str, known: Mapping[str, str]) -> dict[str, str]:
    """What the partition was made from, as Dagster itself would tag it: else it would call the partition unsynced."""
    tags: dict[str, str] = {}
    for dependency in context.assets_def.get_asset_spec(context.asset_key).deps:
        key = dependency.asset_key
        found = (
            context.instance.fetch_materializations(
                dg.AssetRecordsFilter(key, asset_partitions=[partition]), limit=1
            ).records
            or context.instance.fetch_materializations(dg.AssetRecordsFilter(key), limit=1).records
        )
        made = found[0].asset_materialization if found else None
        version = (made.tags or {}).get("dagster/data_version", "INITIAL") if made else "INITIAL"
        name = key.to_user_string()
        tags[f"dagster/input_data_version/{name}"] = known.get(name, version)
        tags[f"dagster/input_event_pointer/{name}"] = str(found[0].storage_id) if found else "NULL"
    return tags


def is_waited_for(context: dg.AssetExecutionContext) -> bool:
    """Whether the run has assets that are made from this one: they would be skipped if it yielded nothing."""
    made_from_this = context.job_def.asset_layer.asset_graph.get(context.asset_key).child_keys
    return not made_from_this.isdisjoint(context.run.asset_selection or ())


def share_of(context: dg.AssetExecutionContext, config: Scope, seconds: float) -> float:
    """How much of a run's time an asset has: those that a sensor has made in one run share it."""
    assets = len(context.run.asset_selection or ()) if config.only_due else 1
    return seconds / max(1, assets)


def code_version(context: dg.AssetExecutionContext) -> str:
    """The code version that the running asset declares."""
    return context.assets_def.get_asset_spec(context.asset_key).code_version or ""
