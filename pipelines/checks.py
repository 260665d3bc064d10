"""How checks of partitioned assets report, one evaluation for each partition of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Span

EVERYTHING = Span("", "~")

Evaluation = tuple[str, bool, Mapping[str, Any]]


def evaluate_partitions(
    context: dg.AssetCheckExecutionContext, judge: Callable[[Span], Iterable[Evaluation]]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the selected checks of each partition that the run covers.

    A result that is yielded speaks of a run's one partition only; of several, each is logged with its own. A run of the
    checks alone covers no partition: then all of them are judged as one.
    """
    wanted = {key.name: key for key in context.selected_asset_check_keys}
    run = context.op_execution_context
    if not (run.has_partition_key or run.has_partition_key_range):
        for name, passed, metadata in judge(EVERYTHING):
            if name in wanted:
                yield dg.AssetCheckResult(
                    passed=passed, check_name=name, asset_key=wanted[name].asset_key, metadata=metadata
                )
        return
    keys = context.partition_keys
    for partition in keys:
        for name, passed, metadata in judge(Span(partition, partition)):
            if name not in wanted:
                continue
            if len(keys) == 1:
                yield dg.AssetCheckResult(
                    passed=passed, check_name=name, asset_key=wanted[name].asset_key, metadata=metadata
                )
            else:
                evaluation = dg.AssetCheckEvaluation(
                    asset_key=wanted[name].asset_key,
                    check_name=name,
                    passed=passed,
                    metadata=metadata,
                    partition=partition,
                )
                log_event = context.op_execution_context.log_event
                log_event(evaluation)  # type: ignore[arg-type]  # declared too narrowly: it takes evaluations as well
