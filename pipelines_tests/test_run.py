"""`pipelines run` as a user has it: real processes, the daemon's own pace, nothing clicked."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.domains.residents.feeds import FEEDS
from pipelines_tests.servers.programs import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LAUNCH = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } } }"""
PROGRESS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill {
    status runs(limit: 100) { id status } assetBackfillData { assetBackfillStatuses {
    ... on AssetPartitionsStatusCounts { assetKey { path } numPartitionsMaterialized numPartitionsFailed } } } } } }"""
TICKS = """{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "pipelines"})
    { ... on Sensors { results { name sensorState { status } } } }
    schedulesOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "pipelines"})
    { ... on Schedules { results { name scheduleState { status } } } } }"""
GRAPH = "{ assetNodes { assetKey { path } dependencyKeys { path } } }"


@dataclass(frozen=True)
class Running:
    home: Path
    port: int

    def ask(self, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())["data"]

    def received(self) -> list[str]:
        return [one.name for one in (self.home / "sandbox/aae/objects").glob("*")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("run") / "home"
    port, code_port = free_port(), free_port()
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home.parent),
        "PIPELINES_HOME": str(home),
        "PIPELINES_PORT": str(port),
        "PIPELINES_CODE_PORT": str(code_port),
    }
    process = subprocess.Popen([sys.executable, "-m", "pipelines", "run"], env=variables, cwd=home.parent)
    try:
        wait_for(lambda: answers(port), 120, "the UI answers")
        yield Running(home, port)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not answers(port)
        assert not answers(code_port)


def answers(port: int) -> bool:
    with closing(socket.socket()) as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_for(holds: Callable[[], bool], seconds: float, what: str) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.5)


def test_the_samples_are_filtered_and_delivered_without_a_click(running: Running) -> None:
    landed = [one for one in (running.home / "landing/mobile/packages").rglob("*") if one.is_file()]
    assert len(landed) == 192
    wait_for(lambda: len(running.received()) > 180, 180, "the samples are at AAE")


def test_the_ui_shows_the_lineage_from_landing_to_aae_with_sensors_and_schedules_running(running: Running) -> None:
    edges = {
        ("/".join(up["path"]), "/".join(node["assetKey"]["path"]))
        for node in running.ask(GRAPH)["assetNodes"]
        for up in node["dependencyKeys"]
    }
    assert edges == {
        ("mobile/landed_packages", "mobile/packages"),
        ("mobile/privacy_mapping", "mobile/packages"),
        ("mobile/packages", "aae/packages"),
        ("mobile/landed_events", "mobile/events"),
        ("mobile/privacy_mapping", "mobile/events"),
        ("mobile/events", "mobile/events_table"),
        ("mobile/events", "aae/events"),
        *((f"aae/{feed}", f"aae/{asset}") for feed in ("packages", "events") for asset in ("endpoint", "receipts")),
        *(("residents/drive", f"residents/{feed}") for feed in FEEDS),
        *((f"residents/{feed}", f"residents/{to}") for feed in FEEDS for to in ("api", "receipts", f"{feed}_outcomes")),
    }
    automation = running.ask(TICKS)
    assert {one["sensorState"]["status"] for one in automation["sensorsOrError"]["results"]} == {"RUNNING"}
    assert {one["scheduleState"]["status"] for one in automation["schedulesOrError"]["results"]} == {"RUNNING"}


def test_a_dropped_file_comes_to_aae_by_itself(running: Running) -> None:
    now = datetime.now(UTC)
    source = next((running.home / "landing/mobile/packages").rglob("*.jsonl"))
    folder = running.home / f"landing/mobile/packages/{now:%Y/%m/%d/%H}"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, folder / "dropped.jsonl")
    name = f"{now:%Y-%m-%d-%H}-dropped.jsonl.parquet"
    wait_for(lambda: name in running.received(), 180, "the file is at AAE")  # how soon is measured in benchmarks


def test_a_backfill_of_48_hours_takes_few_runs_and_records_each_hour(running: Running) -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [f"{this_hour - timedelta(hours=back):%Y-%m-%d-%H:%M}" for back in range(47, -1, -1)]
    assets = [{"path": ["mobile", "packages"]}, {"path": ["aae", "packages"]}]
    launched = running.ask(LAUNCH, params={"assetSelection": assets, "partitionNames": hours})
    backfill = launched["launchPartitionBackfill"]["backfillId"]

    def progress() -> Any:
        return running.ask(PROGRESS, id=backfill)["partitionBackfillOrError"]

    wait_for(lambda: progress()["status"].startswith("COMPLETED"), 300, "the backfill completes")
    done = progress()
    assert done["status"] == "COMPLETED_SUCCESS"
    assert len(done["runs"]) <= 2
    for one in done["assetBackfillData"]["assetBackfillStatuses"]:
        assert (one["numPartitionsMaterialized"], one["numPartitionsFailed"]) == (48, 0), one["assetKey"]
