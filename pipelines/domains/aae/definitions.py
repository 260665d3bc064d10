"""The AAE domain: delivery of every released object to the Advanced Analytics Environment."""

import dagster as dg

from pipelines.domains.aae.assets import endpoint, packages
from pipelines.domains.aae.checks import packages_checks
from pipelines.domains.aae.sensors import aae_packages_every_ten_minutes, aae_packages_released, deliver_packages

defs = dg.Definitions(
    assets=[packages, endpoint],
    asset_checks=[packages_checks],
    jobs=[deliver_packages],
    sensors=[aae_packages_released],
    schedules=[aae_packages_every_ten_minutes],
)
