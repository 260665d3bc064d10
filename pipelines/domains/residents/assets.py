"""The assets of the residents domain: sheets sent to the Here to Help API, and what is written back."""

import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from pipelines.adapters.drive import Drive
from pipelines.adapters.here_to_help import Access
from pipelines.adapters.installation import InstallationKey, hold_to
from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.assets import OWNERS, Scope, days, make_tables, share_of
from pipelines.core.retry import RetryPolicy
from pipelines.domains.residents import runs
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.filters import read_excluded
from pipelines.domains.residents.receipts import SCHEMA, SHEETS_SCHEMA, write_day
from pipelines.domains.residents.sheets import RECEIPTS, Work, outcomes_queue
from pipelines.domains.residents.terms import Terms
from pipelines.domains.residents.totals import Totals, alarms
from pipelines.domains.residents.writing import Writing
from pipelines.environment import Environment
from pipelines.lost import refuse_if_lost
from pipelines.resources import excluded_ids

drive = dg.AssetSpec(
    ["residents", "drive"],
    group_name="residents",
    description="The drive: sheets that council staff drop into the inbound folder of a feed.",
    owners=OWNERS,
    kinds={"googledrive", "excel"},
)

api = dg.AssetSpec(
    runs.API,
    group_name="residents",
    description="The Here to Help API: residents, their help requests and case notes.",
    owners=OWNERS,
    kinds={"https"},
    deps=[dg.AssetKey(["residents", feed]) for feed in FEEDS],
)


def _columns(schema: Any) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in schema])


def _sheets(feed: Feed) -> dg.AssetsDefinition:
    @dg.asset(
        key=["residents", feed.name],
        group_name="residents",
        owners=OWNERS,
        kinds={"https", "parquet"},
        deps=[drive],
        description=f"Sheets of the feed {feed.name}, each of its rows sent to the API once, or told why not.\n\n"
        "Rows of one person go one after another, in the order of the sheet; an edited sheet sends what changed. The "
        "day's table has a line for each sheet: counts and hashes, no name.",
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version="1",
        pool="residents_here_to_help",  # one run at a time, over all feeds: they share the API's limits
        output_required=False,
        metadata={"queue": sheets_queue(feed), "dagster/column_schema": _columns(SHEETS_SCHEMA)},
    )
    def sheets(
        context: dg.AssetExecutionContext,
        config: Scope,
        environment: dg.ResourceParam[Environment],
        lake: dg.ResourceParam[Objects],
        ledger: dg.ResourceParam[Ledger],
        drive: dg.ResourceParam[Drive],
        here_to_help: dg.ResourceParam[Access],
        installation_key: dg.ResourceParam[InstallationKey],
    ) -> Iterator[dg.MaterializeResult[None]]:
        _begin(ledger, lake, installation_key)
        ends_at = time.monotonic() + share_of(context, config, environment.run_seconds)
        work = Work(
            feed,
            drive,
            ledger,
            here_to_help.open,
            _terms(environment),
            installation_key.secret,
            read_excluded(excluded_ids()),
            context.run.run_id,
            has_time=lambda: time.monotonic() < ends_at,
            told=runs.teller(context),
        )
        told: dict[str, Totals] = {}
        report = partial(runs.report_day, feed, lake, ledger, environment, told)
        unseen = yield from runs.send(context, config, work, here_to_help.destination, environment, report)
        raised = alarms(told, environment.residents_rejected_share)
        runs.finish(context, ledger, feed, here_to_help.destination, [*unseen, *raised])

    return sheets


def _outcomes(feed: Feed) -> dg.AssetsDefinition:
    @dg.asset(
        key=["residents", f"{feed.name}_outcomes"],
        group_name="residents",
        owners=OWNERS,
        kinds={"excel", "googledrive"},
        deps=[dg.AssetKey(["residents", feed.name])],
        description=f"Sheets of the feed {feed.name} written back, with what became of each row and why.\n\n"
        "They are in the outbound folder of the drive, whole or not at all; one that was deleted is written again, and "
        "nothing is sent for that.",
        partitions_def=days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version="1",
        pool=f"residents_{feed.name}_outcomes",
        output_required=False,
        metadata={"queue": outcomes_queue(feed)},
    )
    def outcomes(
        context: dg.AssetExecutionContext,
        config: Scope,
        environment: dg.ResourceParam[Environment],
        lake: dg.ResourceParam[Objects],
        ledger: dg.ResourceParam[Ledger],
        drive: dg.ResourceParam[Drive],
        installation_key: dg.ResourceParam[InstallationKey],
    ) -> Iterator[dg.MaterializeResult[None]]:
        _begin(ledger, lake, installation_key)
        policy = RetryPolicy(environment.residents_attempts)
        secret, excluded = installation_key.secret, read_excluded(excluded_ids())
        writing = Writing(feed, drive, ledger, policy, secret, excluded)
        yield from runs.write(context, config, writing, environment)

    return outcomes


sheets = [_sheets(feed) for feed in FEEDS.values()]
outcomes = [_outcomes(feed) for feed in FEEDS.values()]


@dg.asset(
    key=dg.AssetKey.from_user_string(RECEIPTS),
    group_name="residents",
    owners=OWNERS,
    kinds={"parquet"},
    deps=[dg.AssetKey(["residents", feed]) for feed in FEEDS],
    partitions_def=days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version="1",
    pool="residents_receipts",
    output_required=False,
    metadata={"queue": RECEIPTS, "dagster/column_schema": _columns(SCHEMA)},
)
def receipts(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
) -> Iterator[dg.MaterializeResult[None]]:
    """What became of every sheet of a day and of every effect of its rows, without personal values.

    Reports read it, and `pipelines ledger restore` rebuilds a lost ledger from it.
    """
    refuse_if_lost(ledger, lake)
    policy = RetryPolicy(environment.residents_attempts)
    yield from make_tables(context, config, ledger, partial(write_day, lake, ledger), environment, policy, {})


def _begin(ledger: Ledger, lake: Objects, key: InstallationKey) -> None:
    refuse_if_lost(ledger, lake)
    hold_to(key, ledger, utc_now())


def _terms(environment: Environment) -> Terms:
    return Terms(
        environment.residents_connections,
        timedelta(seconds=environment.lease_seconds),
        environment.residents_connect_seconds + environment.residents_total_seconds,
        environment.residents_late_seconds,
        RetryPolicy(environment.residents_attempts, environment.residents_pause_start),
    )
