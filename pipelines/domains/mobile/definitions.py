"""The mobile domain: privacy-filtered analytics packages and epidemiological events."""

import dagster as dg

from pipelines.domains.mobile.assets import privacy_mapping
from pipelines.domains.mobile.checks import events_table_checks, landed_checks
from pipelines.domains.mobile.events.assets import events, events_table, landed_events
from pipelines.domains.mobile.jobs import operations
from pipelines.domains.mobile.packages.assets import landed_packages, packages
from pipelines.domains.mobile.sensors import (
    accept_mapping,
    filter_events,
    filter_packages,
    make_events_table,
    mobile_events_table_outdated,
    mobile_events_uploaded,
    mobile_packages_uploaded,
    mobile_privacy_mapping_changed,
    mobile_raw_retention,
)

defs = dg.Definitions(
    assets=[landed_packages, landed_events, privacy_mapping, packages, events, events_table],
    asset_checks=[*landed_checks, events_table_checks],
    jobs=[accept_mapping, filter_packages, filter_events, make_events_table, *operations],
    sensors=[
        mobile_privacy_mapping_changed,
        mobile_packages_uploaded,
        mobile_events_uploaded,
        mobile_events_table_outdated,
    ],
    schedules=[mobile_raw_retention],
)
