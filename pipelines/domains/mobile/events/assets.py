"""Epidemiological events: what lands, the submissions that are exported, and the table of all events of an hour."""

from collections.abc import Iterator
from functools import partial

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads import Uploads
from pipelines.assets import OWNERS, Scope, hours, make_tables
from pipelines.core.retry import RetryPolicy
from pipelines.domains.mobile.assets import MAPPING, filter_landed, open_filtering, places
from pipelines.domains.mobile.events.contract import SCHEMA
from pipelines.domains.mobile.events.hourly import make_hour
from pipelines.domains.mobile.events.recipe import EventRecipe
from pipelines.domains.mobile.feeds import EVENTS
from pipelines.environment import Environment
from pipelines.lost import refuse_if_lost

TABLE = dg.AssetKey(["mobile", "events_table"])

landed_events = dg.AssetSpec(
    ["mobile", "landed_events"],
    group_name="mobile",
    description="Submissions of epidemiological events as they land, under `mobile/events/YYYY/MM/DD/HH/`.",
    owners=OWNERS,
    kinds={"json"},
    partitions_def=hours,
)


@dg.asset(
    key_prefix="mobile",
    group_name="mobile",
    owners=OWNERS,
    kinds={"json"},
    deps=[landed_events, MAPPING],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version=EVENTS.code_version,
    pool="mobile_events",
    output_required=False,
    metadata={"queue": EVENTS.queue},
)
def events(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    landing: dg.ResourceParam[Objects],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
    uploads: dg.ResourceParam[Uploads],
) -> Iterator[dg.MaterializeResult[None]]:
    """Submissions of events, privacy-filtered: one verified JSON object for each landed file.

    District and authority are replaced by those of the privacy mapping, keys that the contract does not name are
    dropped, and an identifier of our own is added. A submission that breaks the contract is kept apart, in quarantine
    beside the landed files. An object is released to its delivery once it is verified.
    """
    recipe = EventRecipe(environment.mobile_event_bytes)
    filtering = open_filtering(recipe, landing, lake, ledger, environment, context.run.run_id)
    yield from filter_landed(context, config, filtering, uploads, environment, {})


@dg.asset(
    key=TABLE,
    group_name="mobile",
    owners=OWNERS,
    kinds={"parquet", "arrow"},
    deps=[events],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    pool="mobile_events_table",
    output_required=False,
    metadata={
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in SCHEMA]),
        "queue": TABLE.to_user_string(),
    },
)
def events_table(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> Iterator[dg.MaterializeResult[None]]:
    """All events of an hour, one row each: a parquet file that is made again whole when a submission is added.

    The submissions are read as they are exported, each compared with what was verified.
    """
    policy = RetryPolicy(attempts=environment.mobile_attempts)
    lineage = {"dagster/column_lineage": places("postaldistrict", "localauthority")}
    refuse_if_lost(ledger, lake)
    yield from make_tables(context, config, ledger, partial(make_hour, lake, ledger), environment, policy, lineage)
