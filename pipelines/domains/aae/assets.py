"""Delivery to the Advanced Analytics Environment: each released object sent, with a receipt or a reason."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.assets import ALARM, OWNERS, Report, Scope, hours, is_waited_for, record, result, span_of
from pipelines.core.retry import RetryPolicy
from pipelines.core.summary import Summary, summarise
from pipelines.core.work import State
from pipelines.domains.aae.alarms import alarms
from pipelines.domains.aae.checks import PACKAGES, judge_hour
from pipelines.domains.aae.delivering import Delivery, Terms
from pipelines.environment import Environment

QUEUE = "aae/packages"
CODE_VERSION = "1"

endpoint = dg.AssetSpec(
    ["aae", "endpoint"],
    group_name="aae",
    description="The Advanced Analytics Environment: where delivered objects are.",
    owners=OWNERS,
    kinds={"https"},
    deps=[PACKAGES],
)


@dg.asset(
    key=PACKAGES,
    group_name="aae",
    owners=OWNERS,
    kinds={"https"},
    deps=[dg.AssetKey(["mobile", "packages"])],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version=CODE_VERSION,
    pool="aae",
    output_required=False,
)
def packages(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
    aae_packages: dg.ResourceParam[Endpoint],
) -> Iterator[dg.MaterializeResult[None]]:
    """Receipts of packages delivered to AAE: every released file sent under its one name, or given up with a reason.

    Only files that are verified and released leave, whoever starts this. What fails for the moment is tried again
    later; what the other side refuses becomes a dead letter; while the other side is out of order all stays pending.
    """
    terms = Terms(
        connections=environment.aae_connections,
        lease=timedelta(seconds=environment.lease_seconds),
        send_seconds=environment.aae_connect_seconds + environment.aae_total_seconds,
        run_seconds=environment.run_seconds,
        policy=RetryPolicy(
            environment.aae_attempts,
            environment.aae_pause_start,
            environment.aae_pause_factor,
            environment.aae_pause_cap,
            environment.aae_pause_jitter,
        ),
    )

    def delivery() -> Delivery:
        return Delivery(ledger, lake, aae_packages, QUEUE, terms, owner=context.run.run_id)

    def report(partition: str) -> Report:
        standing = summarise(ledger.standings(QUEUE, Span(partition, partition)))
        version = f"{standing.items[State.SETTLED]} {standing.bytes[State.SETTLED]}"
        return Report(_metadata(standing), version, {}, judge_hour(standing))

    if config.only_due:
        due = delivery()
        try:
            due.run(span_of(context))
        finally:  # what was delivered is recorded, whatever else went wrong
            for partition in sorted(due.done.partitions):
                record(context, partition, report(partition))
        _finish(context, ledger, aae_packages, environment)
        return
    reports: dict[str, Report] = {}
    alone = not is_waited_for(context)
    for partition in context.partition_keys:
        delivered = delivery().run(Span(partition, partition))
        context.log.info("%s: %s", partition, dict(delivered.outcomes))
        reports[partition] = report(partition)
        if alone or len(context.partition_keys) > 1:
            # At once and with its checks: they would be skipped if the run then failed of an alarm.
            record(context, partition, reports[partition])
    if not alone:
        yield from result(context, reports)
    _finish(context, ledger, aae_packages, environment)


def _finish(context: dg.AssetExecutionContext, ledger: Ledger, aae: Endpoint, environment: Environment) -> None:
    """Observe the endpoint, and fail the run if what waits or is dead asks for a person."""
    standing = summarise(ledger.standings(QUEUE, destination=aae.destination))
    circuit = ledger.circuit(f"{QUEUE} {aae.destination}")
    elsewhere = summarise(ledger.standings(QUEUE)).waiting - standing.waiting
    metadata = _metadata(standing) | {
        "waiting_for_other_destinations": elsewhere,
        "destination": aae.destination,
        "in_order": not circuit.is_open,
    }
    context.log_event(dg.AssetObservation(endpoint.key, metadata=metadata))
    raised = alarms(
        standing, utc_now(), timedelta(seconds=environment.aae_backlog_seconds), environment.aae_dead_letters
    )
    for alarm in raised:
        context.log.error(alarm)
    if raised:
        context.instance.add_run_tags(context.run.run_id, {ALARM: "true"})
        raise dg.Failure("; ".join(raised))


def _metadata(standing: Summary) -> dict[str, Any]:
    return {
        "objects": sum(standing.items.values()) - standing.items[State.SUPERSEDED],
        "bytes": standing.bytes[State.SETTLED],
        "delivered": standing.items[State.SETTLED],
        "waiting": standing.waiting,
        "dead": standing.items[State.DEAD],
        "superseded": standing.items[State.SUPERSEDED],
        "oldest_age_seconds": (utc_now() - standing.oldest).total_seconds() if standing.oldest else 0.0,
        "reasons": dict(standing.reasons),
    }
