"""What can be wrong with an hour's deliveries. The checks report what the ledger holds."""

from collections.abc import Iterator

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.assets import hours
from pipelines.checks import Evaluation, evaluate_partitions
from pipelines.core.summary import Summary, summarise
from pipelines.core.work import State

PACKAGES = dg.AssetKey(["aae", "packages"])
CHECKS = {
    "nothing_pending": "No released object of the hour still waits for its delivery.",
    "every_object_settled": "Every released object of the hour was delivered; none is a dead letter.",
}


def judge_hour(standing: Summary) -> Iterator[Evaluation]:
    """Each check of an hour: its name, whether it passes, and the counts that say why."""
    dead = standing.items[State.DEAD]
    yield "nothing_pending", standing.waiting == 0, {"waiting": standing.waiting}
    yield (
        "every_object_settled",
        dead + standing.waiting == 0,
        {
            "dead": dead,
            "waiting": standing.waiting,
            "reasons": dict(standing.reasons),
        },
    )


@dg.multi_asset_check(
    name="aae_packages_checks",
    specs=[
        dg.AssetCheckSpec(name, asset=PACKAGES, description=text, partitions_def=hours) for name, text in CHECKS.items()
    ],
    can_subset=True,
)
def packages_checks(
    context: dg.AssetCheckExecutionContext, ledger: dg.ResourceParam[Ledger]
) -> Iterator[dg.AssetCheckResult]:
    """Judge the hours by what the ledger holds now."""
    queue = PACKAGES.to_user_string()
    yield from evaluate_partitions(context, lambda span: judge_hour(summarise(ledger.standings(queue, span))))
