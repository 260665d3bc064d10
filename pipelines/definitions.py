"""The code location: every folder of ``domains`` with a ``definitions.py``, and the resources bound once for all."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import dagster as dg

from pipelines.environment import Environment, at_load
from pipelines.resources import resources

HERE = Path(__file__).parent


def build(environment: Environment) -> dg.Definitions:
    """All definitions, with the outside systems that this environment names."""
    folders = sorted(path.parent.name for path in HERE.glob("domains/*/definitions.py"))
    parts = [import_module(f"pipelines.domains.{name}.definitions").defs for name in folders]
    common = dg.Definitions(resources=resources(environment), executor=dg.in_process_executor)
    return dg.Definitions.merge(*parts, common)


defs = build(at_load())
