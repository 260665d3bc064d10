"""What can be wrong with a day's sheets and with what was written back. The checks report what the ledger holds."""

from collections.abc import Iterable, Iterator

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.assets import days
from pipelines.checks import Evaluation, evaluate_partitions, table_checks
from pipelines.core.work import OPEN, Item, State
from pipelines.domains.residents.entries import effects_queue, sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.domains.residents.feeds.contract import Feed
from pipelines.domains.residents.outcomes import Result
from pipelines.domains.residents.sheets import RECEIPTS, outcomes_queue
from pipelines.domains.residents.totals import Totals, count_doubles, total
from pipelines.domains.residents.writing import SEEN
from pipelines.environment import Environment

CHECKS = {
    "nothing_pending": "No sheet of the day still waits, nor any of its rows.",
    "every_sheet_settled": "Every sheet of the day was read and sent; none was refused or given up.",
    "every_row_accounted_for": "Rows sent, skipped, rejected and unknown are as many as were read.",
    "no_row_replaced": "No version of a sheet was replaced while rows waited: were they in the next, they were sent.",
    "rejected_within_bound": "The share of rejected rows is within its bound.",
    "no_row_unknown": "Of no row it is unknown whether it was sent.",
    "no_duplicate_requests": "No key got two help requests.",
}
OUTCOME_CHECKS = {
    "nothing_pending": "Every outcome of the day is written.",
    "every_outcome_in_place": "Every outcome was seen in its folder after it was written.",
}


def judge_day(totals: Totals, doubles: int, environment: Environment) -> Iterator[Evaluation]:
    """Each check of a feed's day: its name, whether it passes, and the counts that say why."""
    reasons = {"reasons": dict(totals.reasons)}
    yield "nothing_pending", totals.waiting == 0, {"waiting": totals.waiting}
    yield "every_sheet_settled", totals.refused + totals.waiting == 0, {"refused": totals.refused, **reasons}
    yield "every_row_accounted_for", totals.unaccounted == 0, {"rows": totals.rows, **totals.results}
    yield "no_row_replaced", totals.replaced == 0, {"replaced": totals.replaced}
    bound = environment.residents_rejected_share
    shares = {"share": totals.rejected_share, "bound": bound, "reasons": dict(totals.row_reasons)}
    yield "rejected_within_bound", totals.rejected_share <= bound, shares
    unknown = totals.results[Result.UNKNOWN]
    yield "no_row_unknown", unknown == 0, {"unknown": unknown}
    yield "no_duplicate_requests", doubles == 0, {"duplicates": doubles}


def judge_outcomes(items: Iterable[Item]) -> Iterator[Evaluation]:
    """Each check of the outcomes of a feed's day."""
    found = list(items)
    waiting = sum(item.state in OPEN for item in found)
    dead = sum(item.state is State.DEAD for item in found)
    unseen = sum(item.state is State.SETTLED and not item.detail[SEEN] for item in found)
    yield "nothing_pending", waiting == 0, {"waiting": waiting}
    yield "every_outcome_in_place", dead + unseen == 0, {"given_up": dead, "not_seen": unseen}


def _sheet_checks(feed: Feed) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"residents_{feed.name}_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=["residents", feed.name], description=text, partitions_def=days)
            for name, text in CHECKS.items()
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        environment: dg.ResourceParam[Environment],
        ledger: dg.ResourceParam[Ledger],
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the days by what the ledger holds now."""
        yield from evaluate_partitions(
            context,
            lambda span: judge_day(
                total(ledger.items(sheets_queue(feed), span)),
                count_doubles(ledger.items(effects_queue(feed), span, [State.SETTLED])),
                environment,
            ),
        )

    return check


def _outcome_checks(feed: Feed) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"residents_{feed.name}_outcomes_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=["residents", f"{feed.name}_outcomes"], description=text, partitions_def=days)
            for name, text in OUTCOME_CHECKS.items()
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, ledger: dg.ResourceParam[Ledger]
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the days by what the ledger holds now."""
        yield from evaluate_partitions(context, lambda span: judge_outcomes(ledger.items(outcomes_queue(feed), span)))

    return check


sheet_checks = [_sheet_checks(feed) for feed in FEEDS.values()]
outcome_checks = [_outcome_checks(feed) for feed in FEEDS.values()]
receipts_checks = table_checks(dg.AssetKey.from_user_string(RECEIPTS), days)
