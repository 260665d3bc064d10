"""What runs of the residents domain do: sheets are sent, outcomes are written, and all of it is told.

Here: due work, or that of the days that were asked for, recorded as it is done. Not here: the assets that it makes, a
sheet's way, and an outcome's.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.working import Shift, work_through
from pipelines.adapters.objects import Objects
from pipelines.assets import ALARM, Recorder, Report, Scope, record_each, share_of
from pipelines.core.summary import summarise
from pipelines.core.work import Reason, State
from pipelines.domains.residents import intake
from pipelines.domains.residents.checks import judge_day, judge_outcomes
from pipelines.domains.residents.entries import effects_queue, sheets_queue
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.receipts import write_sheets
from pipelines.domains.residents.sending import Sent
from pipelines.domains.residents.sheets import Work, outcomes_queue
from pipelines.domains.residents.totals import Totals, count_doubles, is_denied, total
from pipelines.domains.residents.writing import Writing, find_missing
from pipelines.environment import Environment

_TELLS_EVERY = 5.0
"""A run says this often how far it is, in seconds."""

API = dg.AssetKey(["residents", "api"])


def teller(context: dg.AssetExecutionContext) -> Callable[[int, Sent], None]:
    """Says in the run's log how far it is with a sheet, now and then."""
    tells_at = time.monotonic() + _TELLS_EVERY

    def tell(rows: int, sent: Sent) -> None:
        nonlocal tells_at
        if time.monotonic() >= tells_at:
            tells_at = time.monotonic() + _TELLS_EVERY
            context.log.info("%d rows: %s so far", rows, {str(one): count for one, count in sent.results.items()})

    return tell


def send(
    context: dg.AssetExecutionContext,
    config: Scope,
    work: Work,
    destination: str,
    environment: Environment,
    report: Callable[[str], Report],
) -> Generator[dg.MaterializeResult[None], None, list[str]]:
    """One run over sheets: those that are due, or those of the days that were asked for.

    Returns:
        What asks for a person: why not all sheets of the days that were asked for could be seen. Those that were are
        sent all the same.
    """
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
        span = Span(partition, partition)
        dead = [item.id for item in ledger.items(queue, span, [State.DEAD])]
        ledger.reopen(dead, utc_now(), Reason.REPLAYED)
        go(shift, span)

    if not config.only_due:
        taken = intake.take_in([work.feed], work.drive, ledger, destination, work.secret, utc_now())[work.feed.name]
        # What can't be seen may be of any of the days: a version that is put back is of the day on which it came first.
        yield from record_each(context, ledger, queue, work_on, report, is_all=taken.failed is None)
        return [] if taken.failed is None else [f"not all that was dropped can be seen: {taken.failed}"]
    recorder = Recorder(context, ledger, queue, report)
    try:
        go(replace(shift, stays=config.stays, idle=recorder.catch_up))
    finally:  # what was sent is recorded, whatever else went wrong
        recorder.finish()
    return []


def report_day(
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


def finish(
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
    context.log_event(dg.AssetObservation(API, metadata=metadata))
    waiting = ledger.items(queue, states=[State.PENDING])
    if is_denied(item for item in waiting if item.destination == destination):
        asks = ["the API does not let us in, or the drive does not: all is pending until that is mended", *asks]
    for alarm in asks:
        context.log.error(alarm)
    if asks:
        context.instance.add_run_tags(context.run.run_id, {ALARM: "true"})
        raise dg.Failure("; ".join(asks))


def write(
    context: dg.AssetExecutionContext, config: Scope, writing: Writing, environment: Environment
) -> Iterator[dg.MaterializeResult[None]]:
    """One run over outcomes: those that are due, or those of the days that were asked for."""
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
