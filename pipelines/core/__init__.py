"""Decisions, as pure functions of plain values: no Dagster, no input or output, no clock."""
