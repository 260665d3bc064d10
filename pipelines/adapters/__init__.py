"""The outside world: one module for each system, a protocol and how to open every form of it. No Dagster."""
