"""`pipelines run` over a folder of its own, and what it is looked at with from outside the browser."""

from __future__ import annotations

import csv
import io
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

from pydantic import TypeAdapter

from pipelines.adapters.ledger import open_ledger
from pipelines.core.periods import hour_key, hour_start
from pipelines.core.work import Item, State
from pipelines.domains.mobile.files import read_mapping
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.environment import Environment
from pipelines.sandbox import here_to_help
from pipelines.sandbox.aae import Behaviour
from pipelines.sandbox.addresses import sandbox_running
from pipelines.sandbox.certificates import Certificates
from pipelines.sandbox.landing import land_samples
from pipelines.sandbox.sheets import drop_samples
from pipelines_tests.domains.residents.people import cells
from pipelines_tests.servers.programs import free_port
from pipelines_tests.test_run import answers, wait_for

_BEHAVIOURS = TypeAdapter(list[Behaviour])
_HOURS = 8


@dataclass(frozen=True)
class Platform:
    """A running platform and its folder."""

    environment: Environment

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment.port}"

    def hours(self, count: int) -> list[str]:
        """The partitions of so many hours that are over, oldest first."""
        return [hour_key(datetime.now(UTC) - timedelta(hours=back)) for back in range(count, 0, -1)]

    def landed(self, feed: str, hour: str | None = None) -> list[Path]:
        """The landed files of a feed, or of one of its hours."""
        folder = self.environment.home / "landing" / feed
        within = folder if hour is None else folder / f"{hour_start(hour):%Y/%m/%d/%H}"
        return [path for path in within.rglob("*") if path.is_file()]

    def drop(self, name: str) -> str:
        """Land a file of packages now, as a person does with a copy; returns the name of its object at AAE."""
        with closing(open_ledger(self.environment.ledger)) as ledger:  # not every sample holds an acceptable record
            made = [item.name for item in ledger.items("mobile/packages") if item.detail.get("output")]
        source = next(name for name in made if name.endswith(".jsonl"))
        now = datetime.now(UTC)
        folder = self.environment.home / f"landing/mobile/packages/{now:%Y/%m/%d/%H}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.environment.home / "landing" / source, folder / name)
        return f"{now:%Y-%m-%d-%H}-{name}.parquet"

    def drop_sheet(self, feed: str, name: str, *rows: Mapping[str, str]) -> None:
        """Drop a sheet of residents, sound rows with changes, as a person does with a copy."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(FEEDS[feed].needed)
        writer.writerows(cells(FEEDS[feed], row).values() for row in rows)
        (self.environment.home / "drive" / feed / "inbound" / name).write_text(text.getvalue())

    def outcomes(self, feed: str) -> list[Path]:
        """The sheets of residents that were written back."""
        return sorted((self.environment.home / "drive" / feed / "outbound").glob("*.xlsx"))

    def sheets(self, feed: str) -> list[Item]:
        """Every version of every sheet of residents."""
        with closing(open_ledger(self.environment.ledger)) as ledger:
            return list(ledger.items(sheets_queue(FEEDS[feed])))

    def has_received(self, name: str) -> bool:
        """Whether the stand-in for AAE took the object in."""
        return (self.environment.sandbox / "aae/objects" / name).exists()

    def dead(self, queue: str) -> list[Item]:
        """The dead letters of a queue."""
        with closing(open_ledger(self.environment.ledger)) as ledger:
            return list(ledger.items(queue, states=[State.DEAD]))

    def journal(self) -> list[tuple[str, str, str]]:
        """Who did what, and why, newest first."""
        with closing(open_ledger(self.environment.ledger)) as ledger:
            return [(entry.action, entry.who, entry.why) for entry in ledger.journal(100)]

    def refuse(self, last_name: str = "") -> None:
        """Tell the stand-in for Here to Help to refuse residents of a name; without one all is well again."""
        sandbox = self.environment.sandbox
        url = (sandbox / "here-to-help.url").read_text().removesuffix("/api") + "/sandbox/behaviour"
        told = [here_to_help.Behaviour(status=400, last_names=last_name)] if last_name else []
        body = TypeAdapter(list[here_to_help.Behaviour]).dump_json(told)
        key = {"x-api-key": (sandbox / "here-to-help.key").read_text()}
        request = urllib.request.Request(url, body, key, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == HTTPStatus.NO_CONTENT

    def behave(self, *behaviours: Behaviour) -> None:
        """Tell the stand-in for AAE how to answer; without arguments all is well again."""
        sandbox = self.environment.sandbox
        certificates = Certificates(sandbox / "certificates")
        trusted = ssl.create_default_context(cafile=certificates.authority)
        trusted.load_cert_chain(certificates.client)
        url = (sandbox / "aae.url").read_text().replace("/c19appdata", "/sandbox/behaviour")
        key = {"Ocp-Apim-Subscription-Key": (sandbox / "aae.key").read_text()}
        request = urllib.request.Request(url, _BEHAVIOURS.dump_json(list(behaviours)), key, method="PUT")
        with urllib.request.urlopen(request, timeout=30, context=trusted) as answer:
            assert answer.status == HTTPStatus.NO_CONTENT


@contextmanager
def platform_running(home: Path) -> Iterator[Platform]:
    """The platform with its samples filtered and delivered, until the block ends."""
    environment = Environment(home=home, port=free_port(), code_port=free_port())
    variables = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home.parent),
        "PIPELINES_HOME": str(home),
        "PIPELINES_PORT": str(environment.port),
        "PIPELINES_CODE_PORT": str(environment.code_port),
        "PIPELINES_UPLOADS_QUIET_SECONDS": "0",
    }
    command = [sys.executable, "-m", "pipelines"]
    mapping = PrivacyMapping.parse(read_mapping("").raw)
    pairs = [(entry.district, entry.authority) for entry in mapping.entries]
    land_samples(environment.landing, pairs, datetime.now(UTC), hours=_HOURS, packages=200 * _HOURS, events=8 * _HOURS)
    drop_samples(home / "drive", datetime.now(UTC).date())
    with sandbox_running(environment.sandbox, datetime.now(UTC)):  # all is made before somebody looks
        subprocess.run([*command, "settle"], env=variables, cwd=home.parent, check=True, timeout=300)
    process = subprocess.Popen([*command, "run"], env=variables, cwd=home.parent)
    platform = Platform(environment)
    try:
        wait_for(lambda: answers(environment.port), 120, "the UI answers")
        yield platform
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
