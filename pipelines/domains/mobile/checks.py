"""What can be wrong with an hour of landed files. The checks report what the ledger holds; the gate itself is there."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.assets import hours
from pipelines.checks import Evaluation, evaluate_partitions, table_checks
from pipelines.core.work import Reason, State
from pipelines.domains.mobile.feeds import FEEDS, Feed
from pipelines.domains.mobile.totals import Totals, total
from pipelines.environment import Environment

FEW = 2
"""So many records break no bound on a share: of ten it would take one."""

CHECKS = {
    "nothing_pending": "Every landed file of the hour is filtered or given up.",
    "every_file_settled": "No landed file of the hour was given up.",
    "files_are_whole": "No landed file of the hour ended early.",
    "outputs_are_those_delivered": "No output was made again with other bytes than those that were delivered.",
    "rejects_within_bound": "The share of quarantined records is within its bound.",
    "unknown_places_within_bound": "The share of records that the mapping does not know is within its bound.",
}


def judge_hour(totals: Totals, environment: Environment) -> Iterator[Evaluation]:
    """Each check of an hour: its name, whether it passes, and the counts that say why."""
    dead = totals.files[State.DEAD]
    yield "nothing_pending", totals.waiting == 0, {"waiting": totals.waiting}
    yield "every_file_settled", dead == 0, {"dead": dead, "reasons": dict(totals.reasons)}
    yield "files_are_whole", totals.broken == 0, {"broken": totals.broken}
    differing = totals.reasons[Reason.REBUILT_DIFFERENTLY]
    yield "outputs_are_those_delivered", differing == 0, {"differing": differing}
    bounds = environment.mobile_rejected_share, environment.mobile_unknown_share
    yield "rejects_within_bound", *_within(totals.rejected.total(), totals.read, bounds[0])
    yield "unknown_places_within_bound", *_within(totals.unknown, totals.written, bounds[1])


def _within(count: int, of: int, bound: float) -> tuple[bool, Mapping[str, Any]]:
    """Whether a share keeps its bound, which one or two records of an hour with few do not break."""
    share = count / of if of else 0.0
    return share <= bound or (count <= FEW and bound > 0), {"share": share, "bound": bound, "records": count}


def _checks(feed: Feed) -> dg.AssetChecksDefinition:
    asset = dg.AssetKey.from_user_string(feed.queue)

    @dg.multi_asset_check(
        name=f"{'_'.join(asset.path)}_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=asset, description=text, partitions_def=hours)
            for name, text in CHECKS.items()
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext,
        environment: dg.ResourceParam[Environment],
        ledger: dg.ResourceParam[Ledger],
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the hours by what the ledger holds now."""
        yield from evaluate_partitions(
            context, lambda span: judge_hour(total(ledger.items(feed.queue, span)), environment)
        )

    return check


landed_checks = [_checks(feed) for feed in FEEDS.values()]
events_table_checks = table_checks(dg.AssetKey(["mobile", "events_table"]), hours)
