"""What assets of file grain share: which partitions a run covers, and how each of them is recorded.

Such an asset works on the items of its queue in the ledger and reports what the ledger then holds. A run that a sensor
starts takes what is due and records only the partitions that it touched; a run that a person starts covers just the
partitions asked for, each recorded as it finishes.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import Field

from pipelines.adapters.ledger import Span
from pipelines.environment import at_load

OWNERS = ["team:data-platform"]

ALARM = "alarm"
"""The tag of a run that did its work and then failed, to call a person."""

# Each run would print them; what they warn of is held by tests against the locked version of Dagster.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`")
warnings.filterwarnings("ignore", "Specifying a partitions_def on an AssetCheckSpec")

hours = dg.HourlyPartitionsDefinition(f"{at_load().start:%Y-%m-%d}-00:00", end_offset=1)
"""Hours of arrival in UTC, the present one included."""


class Scope(dg.Config):
    """What a run takes."""

    only_due: bool = Field(
        default=False,
        description="Take only what is due, as the sensors ask for, and record only the partitions that it touched. "
        "Off, what is settled already is looked at too, and every partition asked for is recorded.",
    )


@dataclass(frozen=True, slots=True)
class Report:
    """What is said of one partition: metadata, the version of its data and of what it was made from, and checks."""

    metadata: Mapping[str, Any]
    data_version: str
    inputs: Mapping[str, str]
    checks: Iterable[tuple[str, bool, Mapping[str, Any]]]


def span_of(context: dg.AssetExecutionContext) -> Span:
    """The partitions that a run covers."""
    covered = context.partition_key_range
    return Span(covered.start, covered.end)


def record(context: dg.AssetExecutionContext, partition: str, report: Report) -> None:
    """Record one finished partition now: a later failure does not take it back."""
    versions = {"dagster/code_version": code_version(context), "dagster/data_version": report.data_version}
    tags = versions | _provenance(context, partition, report.inputs)
    context.log_event(
        dg.AssetMaterialization(context.asset_key, partition=partition, metadata=report.metadata, tags=tags)
    )
    if is_waited_for(context):
        return  # the checks then have a step of their own
    for name, passed, metadata in report.checks:
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=context.asset_key, check_name=name, passed=passed, metadata=metadata, partition=partition
            )
        )


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


def result(context: dg.AssetExecutionContext, reports: Mapping[str, Report]) -> Iterable[dg.MaterializeResult[None]]:
    """What the asset yields when all partitions of a run are done.

    One partition is recorded by Dagster itself. Several were recorded as they finished; they are yielded again only
    if another asset of this run waits for them.
    """
    if len(reports) > 1 and not is_waited_for(context):
        return
    for partition, report in reports.items():
        context.add_asset_metadata(dict(report.metadata), partition_key=partition)
    version = dg.DataVersion(next(iter(reports.values())).data_version) if len(reports) == 1 else None
    yield dg.MaterializeResult(data_version=version)


def is_waited_for(context: dg.AssetExecutionContext) -> bool:
    """Whether the run has other assets, which would be skipped if this one yielded nothing."""
    return len(context.run.asset_selection or ()) > 1


def code_version(context: dg.AssetExecutionContext) -> str:
    """The code version that the running asset declares."""
    return context.assets_def.get_asset_spec(context.asset_key).code_version or ""
