"""What makes deliveries run: objects that are released, and a sweep every ten minutes."""

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.domains.aae.assets import QUEUE, packages
from pipelines.environment import Environment
from pipelines.sensors import RUNNING, SCHEDULED, Feed, due_run

deliver_packages = dg.define_asset_job(
    "aae_deliver_packages",
    selection=dg.AssetSelection.assets(packages).without_checks(),
    description="Deliver the released packages that are due.",
    tags={"domain": "aae"},
)


def _feed(environment: Environment) -> Feed:
    return Feed(
        QUEUE, deliver_packages.name, packages.key, environment.aae_packages_enabled, environment.aae_url("packages")
    )


@dg.sensor(job=deliver_packages, minimum_interval_seconds=10, default_status=RUNNING)
def aae_packages_released(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a delivery as soon as released packages are due."""
    return due_run(_feed(environment), ledger, context.instance, environment, utc_now(), "sensor")


@dg.schedule(job=deliver_packages, cron_schedule="*/10 * * * *", default_status=SCHEDULED)
def aae_packages_every_ten_minutes(
    context: dg.ScheduleEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Deliver what is due every ten minutes, whether or not the sensor is switched on."""
    return due_run(_feed(environment), ledger, context.instance, environment, utc_now(), "schedule")
