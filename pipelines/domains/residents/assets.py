"""The assets of the residents domain: sheets sent to the Here to Help API, and what is written back."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg

from pipelines.adapters.drive import Drive
from pipelines.adapters.here_to_help import Access
from pipelines.adapters.installation import InstallationKey, hold_to
from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.adapters.objects import Objects
from pipelines.assets import ALARM, OWNERS, Recorder, Report, Scope, days, make_tables, record_each, share_of
from pipelines.core.retry import RetryPolicy
from pipelines.core.summary import summarise
from pipelines.core.work import Reason, State
from pipelines.domains.residents import intake
from pipelines.domains.residents.checks import judge_day, judge_outcomes
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.feeds.filters import read_excluded
from pipelines.domains.residents.journey import Terms
from pipelines.domains.residents.memory import effects_queue, sheets_queue
from pipelines.domains.residents.receipts import SCHEMA, SHEETS_SCHEMA, write_day, write_sheets
from pipelines.domains.residents.sending import Sent
from pipelines.domains.residents.sheets import RECEIPTS, Work, outcomes_queue
from pipelines.domains.residents.totals import Totals, alarms, count_doubles, is_denied, total
from pipelines.domains.residents.writing import Writing, find_missing
from pipelines.environment import Environment
from pipelines.lost import refuse_if_lost
from pipelines.resources import excluded_ids

_TELLS_EVERY = 5.0
"""A run says this often how far it is, in seconds."""

drive = dg.AssetSpec(
    ["residents", "drive"],
    group_name="residents",
    description="The drive: sheets that council staff drop into the inbound folder of a feed.",
    owners=OWNERS,
    kinds={"googledrive", "excel"},
)

api = dg.AssetSpec(
    ["residents", "api"],
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
            told=_teller(context),
        )
        told: dict[str, Totals] = {}
        report = partial(_report, feed, lake, ledger, environment, told)
        yield from _send(context, config, work, here_to_help.destination, environment, report)
        raised = alarms(told, environment.residents_rejected_share)
        _finish(context, ledger, feed, here_to_help.destination, raised)

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
        yield from _write(context, config, writing, environment)

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


def _teller(context: dg.AssetExecutionContext) -> Callable[[int, Sent], None]:
    """Says in the run's log how far it is with a sheet, now and then."""
    tells_at = time.monotonic() + _TELLS_EVERY

    def tell(rows: int, sent: Sent) -> None:
        nonlocal tells_at
        if time.monotonic() >= tells_at:
            tells_at = time.monotonic() + _TELLS_EVERY
            context.log.info("%d rows: %s so far", rows, {str(one): count for one, count in sent.results.items()})

    return tell


def _send(
    context: dg.AssetExecutionContext,
    config: Scope,
    work: Work,
    destination: str,
    environment: Environment,
    report: Callable[[str], Report],
) -> Iterator[dg.MaterializeResult[None]]:
    """One run over sheets: those that are due, or those of the days that were asked for."""
    queue, ledger, policy = sheets_queue(work.feed), work.ledger, work.terms.policy
    seconds = share_of(context, config, environment.run_seconds)
    shift = Shift(owner=work.owner, lease=work.terms.lease, seconds=seconds)

    def go(shift: Shift, span: Span | None = None) -> None:
        sent = work_through(
            ledger,
            queue,
            lambda: work.outcome,
            policy,
            shift,
            span,
            destination=destination,
            releases=work.requests,
        )
        for item in sent:
            context.log.info("sheet %s: taken up", item.name)

    def work_on(partition: str) -> None:
        taken = intake.take_in([work.feed], work.drive, ledger, destination, work.secret, utc_now())[work.feed.name]
        if taken.failed is not None:
            context.log.error("not all that was dropped can be seen: %s", taken.failed)
        span = Span(partition, partition)
        dead = [item.id for item in ledger.items(queue, span, [State.DEAD])]
        ledger.reopen(dead, utc_now(), Reason.REPLAYED)
        go(shift, span)

    if not config.only_due:
        yield from record_each(context, ledger, queue, work_on, report)
        return
    recorder = Recorder(context, ledger, queue, report)
    try:
        go(replace(shift, stays=config.stays, idle=recorder.catch_up))
    finally:  # what was sent is recorded, whatever else went wrong
        recorder.finish()


def _report(
    feed: Feed, lake: Objects, ledger: Ledger, environment: Environment, told: dict[str, Totals], partition: str
) -> Report:
    """Write the day's table of a feed, and say what is in it; its totals are told, too."""
    span = Span(partition, partition)
    told[partition] = totals = total(ledger.items(sheets_queue(feed), span))
    doubles = count_doubles(ledger.items(effects_queue(feed), span, [State.SETTLED]))
    facts = write_sheets(lake, ledger, feed.name, partition)
    uri = {"dagster/uri": f"{lake.url.rstrip('/')}/{facts['output']}"}
    return Report({**_metadata(totals), **uri}, facts["version"], {}, judge_day(totals, doubles, environment))


def _metadata(totals: Totals) -> dict[str, Any]:
    return {
        "dagster/row_count": sum(totals.sheets.values()),
        "sheets": totals.sheets[State.SETTLED],
        "sheets_waiting": totals.waiting,
        "sheets_refused": totals.refused,
        "sheets_set_aside": totals.sheets[State.ASIDE],
        "bytes": totals.bytes,
        "rows_read": totals.rows,
        **{f"rows_{result.replace(' ', '_')}": count for result, count in sorted(totals.results.items())},
        "rows_replaced": totals.replaced,
        "row_reasons": dict(totals.row_reasons),
        "reasons": dict(totals.reasons),
    }


def _finish(
    context: dg.AssetExecutionContext, ledger: Ledger, feed: Feed, destination: str, asks: Sequence[str]
) -> None:
    """Observe the API, and fail the run if that, or what was sent, asks for a person."""
    queue = sheets_queue(feed)
    standing = summarise(ledger.standings(queue, destination=destination, unsettled=True))
    circuit = ledger.circuit(f"{queue} {destination}")
    metadata: dict[str, Any] = {
        "feed": feed.name,
        "destination": destination,
        "sheets_waiting": standing.waiting,
        "sheets_refused": standing.items[State.DEAD],
        "in_order": not circuit.is_open,
        "failures_in_a_row": circuit.failures,
        "reasons": dict(standing.reasons),
    }
    context.log_event(dg.AssetObservation(api.key, metadata=metadata))
    if is_denied(ledger.items(queue, states=[State.PENDING])):
        asks = ["the API does not let us in, or the drive does not: all is pending until that is mended", *asks]
    for alarm in asks:
        context.log.error(alarm)
    if asks:
        context.instance.add_run_tags(context.run.run_id, {ALARM: "true"})
        raise dg.Failure("; ".join(asks))


def _write(
    context: dg.AssetExecutionContext, config: Scope, writing: Writing, environment: Environment
) -> Iterator[dg.MaterializeResult[None]]:
    queue, ledger, policy = outcomes_queue(writing.feed), writing.ledger, writing.policy
    lease = timedelta(seconds=environment.lease_seconds)
    seconds = share_of(context, config, environment.run_seconds)
    shift = Shift(owner=context.run.run_id, lease=lease, seconds=seconds)

    def report(partition: str) -> Report:
        items = list(ledger.items(queue, Span(partition, partition)))
        settled = [item for item in items if item.state is State.SETTLED]
        told = {
            "outcomes": len(settled),
            "spreadsheets": sum(item.detail["books"] for item in settled),
            "outcomes_waiting": sum(item.state in (State.PENDING, State.CLAIMED) for item in items),
            "outcomes_given_up": sum(item.state is State.DEAD for item in items),
        }
        version = " ".join(f"{item.id}.{item.fence}" for item in settled[-20:])
        return Report(told, f"{len(settled)} {version}", {}, judge_outcomes(items))

    def go(shift: Shift, span: Span | None = None) -> None:
        for _ in work_through(ledger, queue, lambda: writing.outcome, policy, shift, span):
            pass

    def work_on(partition: str) -> None:
        span = Span(partition, partition)
        dead = [item.id for item in ledger.items(queue, span, [State.DEAD])]
        ledger.reopen([*dead, *find_missing(writing, span)], utc_now(), Reason.NOT_INTACT)
        go(shift, span)

    if not config.only_due:
        yield from record_each(context, ledger, queue, work_on, report)
        return
    recorder = Recorder(context, ledger, queue, report)
    try:
        go(replace(shift, idle=recorder.catch_up))
    finally:
        recorder.finish()
