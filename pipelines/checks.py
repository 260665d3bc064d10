"""How checks of partitioned assets report, one evaluation for each partition of a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Ledger, Span
from pipelines.core.work import OPEN, Item, State

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


TABLE_CHECKS = {
    "nothing_pending": "The table holds all that it is made from, as far as that is settled.",
    "was_made": "The last making of the table was not given up.",
}


def judge_table(items: Iterable[Item]) -> Iterator[Evaluation]:
    """Each check of a partition of a table that follows what it is made from."""
    states = [item.state for item in items]
    waiting = sum(state in OPEN for state in states)
    yield "nothing_pending", waiting == 0, {"waiting": waiting}
    yield "was_made", State.DEAD not in states, {"given_up": states.count(State.DEAD)}


def table_checks(asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str]) -> dg.AssetChecksDefinition:
    """The checks of a table that follows what it is made from."""

    @dg.multi_asset_check(
        name=f"{'_'.join(asset.path)}_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=partitions)
            for name, text in TABLE_CHECKS.items()
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, ledger: dg.ResourceParam[Ledger]
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the partitions by what the ledger holds now."""
        yield from evaluate_partitions(context, lambda span: judge_table(ledger.items(asset.to_user_string(), span)))

    return check
