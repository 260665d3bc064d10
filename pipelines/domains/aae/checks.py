"""What can be wrong with an hour's deliveries, and with the way out. The checks report what the ledger holds."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.assets import days, hours
from pipelines.checks import Evaluation, evaluate_partitions, table_checks
from pipelines.core.circuit import Circuit
from pipelines.core.receipts import RECEIPTS
from pipelines.core.summary import Summary, summarise
from pipelines.core.work import State
from pipelines.domains.aae.exports import EXPORTS, Export

CHECKS = {
    "nothing_pending": "No released object of the hour still waits for its delivery.",
    "every_object_settled": "Every released object of the hour was delivered; none is a dead letter.",
}


def judge_hour(standing: Summary) -> Iterator[Evaluation]:
    """Each check of an hour: its name, whether it passes, and the counts that say why."""
    dead, waiting = standing.items[State.DEAD], standing.waiting
    counts = {"dead": dead, "waiting": waiting, "reasons": dict(standing.reasons)}
    yield "nothing_pending", waiting == 0, {"waiting": waiting}
    yield "every_object_settled", dead + waiting == 0, counts


def told_of_circuit(circuit: Circuit) -> dict[str, Any]:
    """The state of a circuit, for people: whether the other side is in order, since when not, when it is probed."""
    told: dict[str, Any] = {"in_order": not circuit.is_open, "failures_in_a_row": circuit.failures}
    if circuit.opened_at is not None:
        told |= {"out_of_order_since": circuit.opened_at.isoformat(), "why": circuit.reason, "probes": circuit.probes}
    if circuit.probe_at is not None:
        told["next_probe_at"] = circuit.probe_at.isoformat()
    return told


def _checks(export: Export) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(
        name=f"aae_{export.name}_checks",
        specs=[
            dg.AssetCheckSpec(name, asset=["aae", export.name], description=text, partitions_def=hours)
            for name, text in CHECKS.items()
        ],
        can_subset=True,
    )
    def check(
        context: dg.AssetCheckExecutionContext, ledger: dg.ResourceParam[Ledger]
    ) -> Iterator[dg.AssetCheckResult]:
        """Judge the hours by what the ledger holds now."""
        yield from evaluate_partitions(
            context, lambda span: judge_hour(summarise(ledger.standings(export.queue, span)))
        )

    return check


delivery_checks = [_checks(export) for export in EXPORTS]
receipts_checks = table_checks(dg.AssetKey.from_user_string(RECEIPTS), days)
