"""Mobile analytics, privacy-filtered."""
