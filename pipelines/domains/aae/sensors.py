"""What makes deliveries run: objects that are released, and a sweep every ten minutes."""

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.receipts import RECEIPTS
from pipelines.domains.aae.assets import events, packages, receipts
from pipelines.domains.aae.exports import EVENTS, PACKAGES
from pipelines.environment import Environment
from pipelines.sensors import RUNNING, SCHEDULED, Feed, due_job, due_run, schedule, sensor

deliver_packages = due_job([packages], "aae_deliver_packages", "Deliver the released packages that are due.")
deliver_events = due_job([events], "aae_deliver_events", "Deliver the released events that are due.")
write_receipts = due_job([receipts], "aae_write_receipts", "Write the receipts of the days that changed.")


def _packages(environment: Environment) -> Feed:
    destination = environment.aae_url(PACKAGES.name)
    enabled = environment.aae_packages_enabled
    return Feed(PACKAGES.queue, deliver_packages.name, packages.key, enabled, destination)


def _events(environment: Environment) -> Feed:
    destination, stays = environment.aae_url(EVENTS.name), environment.events_stay_seconds
    return Feed(EVENTS.queue, deliver_events.name, events.key, environment.aae_events_enabled, destination, stays=stays)


@sensor(job=deliver_packages, minimum_interval_seconds=10, default_status=RUNNING)
def aae_packages_released(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a delivery as soon as released packages are due."""
    return due_run(_packages(environment), ledger, context.instance, environment, utc_now(), "sensor")


@sensor(job=deliver_events, minimum_interval_seconds=5, default_status=RUNNING)
def aae_events_released(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a delivery as soon as released events are due; it stays a while and takes what follows."""
    return due_run(_events(environment), ledger, context.instance, environment, utc_now(), "sensor")


@sensor(job=write_receipts, minimum_interval_seconds=600, default_status=RUNNING)
def aae_receipts_outdated(
    context: dg.SensorEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Ask every ten minutes for the receipts of the days of which objects were delivered or given up."""
    feed = Feed(RECEIPTS, write_receipts.name, receipts.key)
    return due_run(feed, ledger, context.instance, environment, utc_now(), "sensor")


@schedule(job=deliver_packages, cron_schedule="*/10 * * * *", default_status=SCHEDULED)
def aae_packages_every_ten_minutes(
    context: dg.ScheduleEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Deliver packages that are due every ten minutes, whether or not the sensor is switched on."""
    return due_run(_packages(environment), ledger, context.instance, environment, utc_now(), "schedule")


@schedule(job=deliver_events, cron_schedule="*/10 * * * *", default_status=SCHEDULED)
def aae_events_every_ten_minutes(
    context: dg.ScheduleEvaluationContext,
    environment: dg.ResourceParam[Environment],
    ledger: dg.ResourceParam[Ledger],
) -> dg.RunRequest | dg.SkipReason:
    """Deliver events that are due every ten minutes, whether or not the sensor is switched on."""
    return due_run(_events(environment), ledger, context.instance, environment, utc_now(), "schedule")
