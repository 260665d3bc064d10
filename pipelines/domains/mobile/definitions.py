"""The mobile domain: privacy-filtered analytics packages."""

import dagster as dg

from pipelines.domains.mobile.assets import landed_packages, packages, privacy_mapping
from pipelines.domains.mobile.checks import packages_checks
from pipelines.domains.mobile.sensors import (
    accept_mapping,
    filter_packages,
    mobile_packages_uploaded,
    mobile_privacy_mapping_changed,
)

defs = dg.Definitions(
    assets=[landed_packages, privacy_mapping, packages],
    asset_checks=[packages_checks],
    jobs=[accept_mapping, filter_packages],
    sensors=[mobile_privacy_mapping_changed, mobile_packages_uploaded],
)
