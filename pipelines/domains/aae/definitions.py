"""The AAE domain: delivery of every released object to the Advanced Analytics Environment."""

import dagster as dg

from pipelines.domains.aae.assets import endpoint, events, packages, receipts
from pipelines.domains.aae.checks import delivery_checks, receipts_checks
from pipelines.domains.aae.jobs import operations
from pipelines.domains.aae.sensors import (
    aae_events_every_ten_minutes,
    aae_events_released,
    aae_packages_every_ten_minutes,
    aae_packages_released,
    aae_receipts_outdated,
    deliver_events,
    deliver_packages,
    write_receipts,
)

defs = dg.Definitions(
    assets=[packages, events, receipts, endpoint],
    asset_checks=[*delivery_checks, receipts_checks],
    jobs=[deliver_packages, deliver_events, write_receipts, *operations],
    sensors=[aae_packages_released, aae_events_released, aae_receipts_outdated],
    schedules=[aae_packages_every_ten_minutes, aae_events_every_ten_minutes],
)
