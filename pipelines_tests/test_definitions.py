"""The constitution of the code location: what holds for every asset, check, job, sensor and folder."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pipelines.definitions import HERE, build
from pipelines.environment import Environment

REPOSITORY = HERE.parent


@pytest.fixture(scope="module")
def defs(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build(Environment(home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> list[dg.AssetSpec]:
    return list(defs.resolve_all_asset_specs())


def test_the_location_loads_as_the_server_loads_it_with_the_network_blocked(
    defs: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("loading code made a call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    dg.Definitions.validate_loadable(build(Environment(home=Path("elsewhere"))))
    dg.Definitions.validate_loadable(defs)


def test_loading_needs_no_secret_and_leaves_nothing_on_disk(tmp_path: Path) -> None:
    """Secrets are read when a run opens what needs them; a fresh machine has none of them, and no folders yet."""
    home = tmp_path / "home"
    build(Environment(home=home, aae="https://aae.example/c19appdata"))
    assert not home.exists()


def test_loading_does_not_import_what_only_some_runs_need() -> None:
    """What each run pays: a process that imports everything. dagster-aws is 1,000 modules, pandas takes longest."""
    slow = "boto3 dagster_aws pandas gspread alembic aiohttp.web"
    code = f"import sys, pipelines.definitions; print([one for one in {slow.split()!r} if one in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert found.stdout.strip() == "[]"


def test_every_folder_of_domains_is_a_domain() -> None:
    folders = [one for one in (HERE / "domains").iterdir() if one.is_dir() and one.name != "__pycache__"]
    assert folders
    assert [one.name for one in folders if not (one / "definitions.py").is_file()] == []


def test_every_asset_says_whose_it_is_what_it_is_and_where_it_belongs(specs: list[dg.AssetSpec]) -> None:
    """Also catches a mistyped upstream: Dagster invents a stub for it, which has none of this."""
    domains = {one.parent.name for one in HERE.glob("domains/*/definitions.py")}
    for spec in specs:
        name = spec.key.to_user_string()
        assert spec.key.path[0] in domains, name
        assert spec.group_name == spec.key.path[0], name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.description, name
        assert len(spec.description.splitlines()[0]) <= 120, name


def test_every_sensor_and_schedule_says_what_it_does(defs: dg.Definitions) -> None:
    found = [*(defs.sensors or []), *(defs.schedules or [])]
    assert found
    assert [one.name for one in found if not one.description] == []


def test_nothing_that_a_domain_defines_is_forgotten_in_its_definitions(defs: dg.Definitions) -> None:
    """Listing by hand can forget; scanning the modules can't."""
    kinds = (dg.AssetsDefinition, dg.AssetSpec, dg.SensorDefinition, dg.ScheduleDefinition, dg.JobDefinition)
    registered = {id(one) for one in [*(defs.assets or []), *(defs.sensors or []), *(defs.schedules or [])]}
    registered |= {id(one) for one in defs.asset_checks or []} | {id(one) for one in defs.jobs or []}
    found = set[int]()
    for path in HERE.glob("domains/**/*.py"):
        module = sys.modules.get(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
        for name, value in vars(module).items() if module else []:
            for one in value if type(value) in (list, tuple) else [value]:
                if isinstance(one, kinds) or type(one).__name__ == "UnresolvedAssetJobDefinition":
                    found.add(id(one))
                    assert id(one) in registered, f"{path.relative_to(HERE)}: {name}"
    assert found == registered


def test_every_partitioned_asset_backfills_in_one_run_and_every_check_is_partitioned_alike(
    defs: dg.Definitions,
) -> None:
    graph = defs.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        if node.partitions_def is not None:
            assert node.backfill_policy is not None, key
            assert node.backfill_policy.max_partitions_per_run is None, key
    for check in graph.asset_check_keys:
        assert graph.get_check_spec(check).partitions_def == graph.get(check.asset_key).partitions_def, check


def test_names_that_are_global_in_dagster_begin_with_their_domain(defs: dg.Definitions) -> None:
    names = [one.name for one in [*(defs.jobs or []), *(defs.sensors or []), *(defs.schedules or [])]]
    domains = tuple(f"{one.parent.name}_" for one in HERE.glob("domains/*/definitions.py"))
    assert names
    assert [name for name in names if not name.startswith(domains)] == []


def test_automation_starts_switched_on(defs: dg.Definitions) -> None:
    for one in defs.sensors or []:
        assert isinstance(one, dg.SensorDefinition)
        assert one.default_status is dg.DefaultSensorStatus.RUNNING


def test_domains_never_import_each_other() -> None:
    for domain in (one.parent for one in HERE.glob("domains/*/definitions.py")):
        for path in domain.rglob("*.py"):
            imported = set(re.findall(r"pipelines\.domains\.(\w+)", path.read_text()))
            assert imported <= {domain.name}, path


def test_pure_modules_stay_pure() -> None:
    """The core imports nothing of ours but itself, and no clock, chance, or outside world."""
    for path in (HERE / "core").glob("*.py"):
        text = path.read_text()
        assert set(re.findall(r"from pipelines\.(\w+)", text)) <= {"core"}, path
        assert not re.search(r"^(?:import|from) (?:random|time|os|socket|pathlib|dagster)\b", text, re.MULTILINE), path
        assert not re.search(r"\.now\(|utcnow|time\(\)", text), path


def test_the_readme_has_a_row_for_every_domain() -> None:
    rows = re.findall(r"^\| `([a-z]+)` \|", (REPOSITORY / "README.md").read_text(), re.MULTILINE)
    assert set(rows) == {one.parent.name for one in HERE.glob("domains/*/definitions.py")}
