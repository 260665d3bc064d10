"""Delivery to the Advanced Analytics Environment: each released object sent, with a receipt or a reason."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.assets import ALARM, OWNERS, Recorder, Report, Scope, days, hours, make_tables, record_each
from pipelines.core.receipts import RECEIPTS
from pipelines.core.retry import RetryPolicy
from pipelines.core.summary import Summary, summarise
from pipelines.core.work import State
from pipelines.domains.aae.alarms import alarms
from pipelines.domains.aae.checks import judge_hour, told_of_circuit
from pipelines.domains.aae.delivering import Delivery, Terms
from pipelines.domains.aae.exports import EVENTS, PACKAGES, Export
from pipelines.domains.aae.receipts import SCHEMA, write_day
from pipelines.environment import Environment
from pipelines.lost import refuse_if_lost

endpoint = dg.AssetSpec(
    ["aae", "endpoint"],
    group_name="aae",
    description="The Advanced Analytics Environment: where delivered objects are.",
    owners=OWNERS,
    kinds={"https"},
    deps=[dg.AssetKey(["aae", export.name]) for export in (PACKAGES, EVENTS)],
)


@dg.asset(
    key_prefix="aae",
    group_name="aae",
    owners=OWNERS,
    kinds={"https"},
    deps=[dg.AssetKey(["mobile", "packages"])],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    pool="aae_packages",
    output_required=False,
    metadata={"queue": PACKAGES.queue},
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
    deliver = _open_delivery(context, config, PACKAGES, aae_packages, ledger, lake, environment)
    yield from _deliver(context, config, PACKAGES, deliver, ledger)
    _finish(context, ledger, PACKAGES, aae_packages.destination, environment)


@dg.asset(
    key_prefix="aae",
    group_name="aae",
    owners=OWNERS,
    kinds={"https"},
    deps=[dg.AssetKey(["mobile", "events"])],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    pool="aae_events",
    output_required=False,
    metadata={"queue": EVENTS.queue},
)
def events(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
    aae_events: dg.ResourceParam[Endpoint],
) -> Iterator[dg.MaterializeResult[None]]:
    """Receipts of epidemiological events delivered to AAE: each submission sent once, as soon as it is verified.

    The same rules as for packages hold. Events never wait for packages: they have connections, and runs, of their own.
    """
    deliver = _open_delivery(context, config, EVENTS, aae_events, ledger, lake, environment)
    yield from _deliver(context, config, EVENTS, deliver, ledger)
    _finish(context, ledger, EVENTS, aae_events.destination, environment)


@dg.asset(
    key_prefix="aae",
    group_name="aae",
    owners=OWNERS,
    kinds={"parquet"},
    deps=[packages, events],
    partitions_def=days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    pool="aae_receipts",
    output_required=False,
    metadata={
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in SCHEMA]),
        "queue": RECEIPTS,
    },
)
def receipts(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> Iterator[dg.MaterializeResult[None]]:
    """What became of every object that arrived on a day: delivered or given up, when, under which name and hash.

    No personal values. Reports read it, and `pipelines ledger restore` rebuilds a lost ledger from it.
    """
    refuse_if_lost(ledger, lake)
    policy = RetryPolicy(attempts=environment.aae_attempts)
    yield from make_tables(context, config, ledger, partial(write_day, lake, ledger), environment, policy, {})


def _open_delivery(
    context: dg.AssetExecutionContext,
    config: Scope,
    export: Export,
    aae: Endpoint,
    ledger: Ledger,
    lake: Objects,
    environment: Environment,
) -> Callable[[], Delivery]:
    """What makes the deliveries of a run."""
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
        stays=config.stays,
    )
    owner, query = context.run.run_id, export.query
    return lambda: Delivery(ledger, lake, aae, export.queue, terms, owner=owner, query=query)


def _deliver(
    context: dg.AssetExecutionContext,
    config: Scope,
    export: Export,
    deliver: Callable[[], Delivery],
    ledger: Ledger,
) -> Iterator[dg.MaterializeResult[None]]:
    """One run of deliveries: of what is due, or of the hours that were asked for."""

    def report(partition: str) -> Report:
        standing = summarise(ledger.standings(export.queue, Span(partition, partition)))
        version = f"{standing.items[State.SETTLED]} {standing.bytes[State.SETTLED]}"
        return Report(_metadata(standing), version, {}, judge_hour(standing))

    def work(partition: str) -> None:
        delivered = deliver().run(Span(partition, partition))
        context.log.info("%s: %s", partition, dict(delivered.outcomes))

    if not config.only_due:
        yield from record_each(context, ledger, export.queue, work, report)
        return
    recorder = Recorder(context, ledger, export.queue, report)
    try:
        deliver().run(idle=recorder.catch_up)
    finally:  # what was delivered is recorded, whatever else went wrong
        recorder.finish()


def _finish(
    context: dg.AssetExecutionContext, ledger: Ledger, export: Export, destination: str, environment: Environment
) -> None:
    """Observe the endpoint, and fail the run if what waits or is dead asks for a person."""
    standing = summarise(ledger.standings(export.queue, destination=destination, unsettled=True))
    elsewhere = summarise(ledger.standings(export.queue, unsettled=True)).waiting - standing.waiting
    metadata = {
        "feed": export.name,
        "destination": destination,
        "waiting": standing.waiting,
        "waiting_for_other_destinations": elsewhere,
        "dead": standing.items[State.DEAD],
        "oldest_age_seconds": (utc_now() - standing.oldest).total_seconds() if standing.oldest else 0.0,
        "reasons": dict(standing.reasons),
        **told_of_circuit(ledger.circuit(f"{export.queue} {destination}")),
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
