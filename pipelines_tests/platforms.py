"""The whole platform over one folder, as its users have it: landed files, sensors and jobs, a stand-in for AAE."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import orjson

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects, open_objects
from pipelines.core.periods import hour_key
from pipelines.core.work import Item, State
from pipelines.definitions import build
from pipelines.domains.residents.feeds import FEEDS
from pipelines.environment import Environment
from pipelines.restore import Restored, restore
from pipelines.sandbox.aae import Aae
from pipelines.sandbox.addresses import Sandbox, all_running
from pipelines.sandbox.certificates import Certificates
from pipelines.settle import Ran, settle
from pipelines.supervisor import prepare_dagster_home
from pipelines_tests.domains.mobile.events.submissions import submission

_METADATA = {"postalDistrict": "QA1", "localAuthority": "E99000001", "deviceModel": "iPhone11,2"}
_VERSIONS = {"operatingSystemVersion": "iPhone OS 13.5.1", "latestApplicationVersion": "4.30"}
_PACKAGE = {
    "metadata": _METADATA | _VERSIONS,
    "analyticsWindow": {"startDate": "2026-02-27T00:00:00Z", "endDate": "2026-02-28T00:00:00Z"},
    "includesMultipleApplicationVersions": False,
}


@dataclass
class Platform:
    """An environment, and the stand-in that it delivers to; ``hour`` is when files land."""

    environment: Environment
    aae: Aae
    hour: datetime

    @property
    def partition(self) -> str:
        return hour_key(self.hour)

    @property
    def lake(self) -> Objects:
        return open_objects(self.environment.lake)

    @property
    def landing(self) -> Objects:
        return open_objects(self.environment.landing)

    def land_packages(self, name: str, *, good: int = 3, bad: int = 0, seed: int = 1) -> str:
        """A file of packages; the bad ones are no packages at all."""
        made = ({**_PACKAGE, "metrics": {"totalBackgroundTasks": seed * 100 + number}} for number in range(good))
        lines = [*map(orjson.dumps, made), *[b'{"no": "package"}'] * bad]
        return self._land(f"mobile/packages/{self.hour:%Y/%m/%d/%H}/{name}", b"".join(line + b"\n" for line in lines))

    def land_events(self, name: str) -> str:
        """A submission of events."""
        return self._land(f"mobile/events/{self.hour:%Y/%m/%d/%H}/{name}", orjson.dumps(submission()))

    def _land(self, key: str, content: bytes) -> str:
        self.landing.put(key, content)
        return key

    def settle(self, **changes: Any) -> list[Ran]:
        """Every sensor and every run that it asks for, until nothing is due."""
        return list(settle(self.environment.model_copy(update=changes)))

    def run(self, job: str, config: dict[str, Any], *, dry_run: bool | None = None) -> dg.ExecuteInProcessResult:
        """A job of one op, as a person starts it."""
        definition = build(self.environment).resolve_job_def(job)
        (op,) = definition.graph.node_dict
        asked = {"who": "Ann", "why": "a test", **config} | ({} if dry_run is None else {"dry_run": dry_run})
        with self.instance() as instance:
            return definition.execute_in_process({"ops": {op: {"config": asked}}}, instance, raise_on_error=False)

    def materialise(self, asset: str, partition: str) -> dg.ExecuteInProcessResult:
        """One partition of an asset, as a person asks for it."""
        key = dg.AssetKey.from_user_string(asset)
        job = build(self.environment).resolve_implicit_global_asset_job_def()
        with self.instance() as instance:
            return job.execute_in_process(
                asset_selection=[key], partition_key=partition, instance=instance, raise_on_error=False
            )

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(prepare_dagster_home(self.environment))) as instance:
            yield instance

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        with closing(open_ledger(self.environment.ledger)) as ledger:
            yield ledger

    def items(self, queue: str) -> list[Item]:
        with self.ledger() as ledger:
            return list(ledger.items(queue))

    def states(self, queue: str) -> dict[str, State]:
        """The state of each item that no newer version took the place of, by the last part of its name."""
        items = [item for item in self.items(queue) if item.state is not State.SUPERSEDED]
        return {item.name.rpartition("/")[-1]: item.state for item in items}

    def lose_the_ledger(self) -> None:
        for path in self.environment.home.glob("ledger.db*"):
            path.unlink()

    def restore(self) -> Restored:
        with self.ledger() as ledger:
            return restore(ledger, self.landing, self.lake, self.environment, "Ann", "lost", utc_now())

    def kept(self) -> Counter[str]:
        """How often the stand-in took each object in."""
        return Counter(one.name for one in self.aae.received() if one.kept)

    def receipts(self) -> dict[str, bytes]:
        """The receipts as they are."""
        return {info.key: self.lake.get(info.key) for info in self.lake.list("aae/receipts/")}

    def put_back(self, receipts: dict[str, bytes]) -> None:
        """The receipts as they were: the ledger was lost before they were written anew."""
        for info in list(self.lake.list("aae/receipts/")):
            self.lake.delete(info.key)
        for key, body in receipts.items():
            self.lake.put(key, body)


WITHOUT_RESIDENTS = {f"PIPELINES_RESIDENTS_{feed.upper()}_ENABLED": "false" for feed in FEEDS}
"""The variables of a platform that sends no residents, and so need not name their API."""


def an_hour_ago() -> datetime:
    """The start of the hour before this one; if that ends in a moment, not before it has ended."""
    while (rest := 3600 - time.time() % 3600) < 1:
        time.sleep(rest)
    return (utc_now() - timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)


@contextmanager
def outside(folder: Path) -> Iterator[tuple[Sandbox, dict[str, str]]]:
    """Stand-ins of which the platform knows no more than of the real ones, and the variables by which it does."""
    with all_running(folder, utc_now()) as sandbox:
        certificates = Certificates(folder / "certificates")
        facts = {
            "AAE": sandbox.aae.url,
            "AAE_SUBSCRIPTION_KEY": (folder / "aae.key").read_text(),
            "AAE_CLIENT_CERTIFICATE": str(certificates.client),
            "AAE_CERTIFICATE_AUTHORITY": str(certificates.authority),
            "HERE_TO_HELP": sandbox.here_to_help.url,
            "HERE_TO_HELP_API_KEY": (folder / "here-to-help.key").read_text(),
        }
        yield sandbox, {f"PIPELINES_{name}": value for name, value in facts.items()}
