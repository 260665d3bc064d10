"""Uploads in, privacy-safe analytics and verified exports out: a Dagster code location."""
