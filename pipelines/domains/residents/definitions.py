"""The residents domain: spreadsheets of residents, sent to the Here to Help API row by row."""

import dagster as dg

from pipelines.domains.residents.assets import api, drive, outcomes, receipts, sheets
from pipelines.domains.residents.checks import outcome_checks, receipts_checks, sheet_checks
from pipelines.domains.residents.jobs import operations
from pipelines.domains.residents.sensors import (
    residents_outcomes_due,
    residents_outcomes_lost,
    residents_receipts_outdated,
    residents_sheets_dropped,
    send,
    write_outcomes,
    write_receipts,
)

defs = dg.Definitions(
    assets=[drive, api, *sheets, *outcomes, receipts],
    asset_checks=[*sheet_checks, *outcome_checks, receipts_checks],
    jobs=[send, write_outcomes, write_receipts, *operations],
    sensors=[residents_sheets_dropped, residents_outcomes_due, residents_outcomes_lost, residents_receipts_outdated],
)
