"""Epidemiological events: submissions of phones, privacy-filtered as JSON for export, and as one table an hour."""
