"""The main job on sample uploads, without a screen: the real sensors, jobs and checks, and what they made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects, open_objects
from pipelines.core.work import State
from pipelines.domains.mobile import feeds, files
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.domains.mobile.totals import total
from pipelines.domains.residents import totals as residents
from pipelines.domains.residents.entries import sheets_queue
from pipelines.domains.residents.feeds import FEEDS
from pipelines.environment import Environment, ledger_password
from pipelines.sandbox.addresses import Sandbox
from pipelines.sandbox.landing import samples
from pipelines.sandbox.sheets import drop_samples
from pipelines.sandbox.uploads import UploadFile, land
from pipelines.settle import Ran, recorded_partitions, settle

REAL_MAPPING = "mobile/PD_LA_to_MergedPD_LA.csv"
REAL_POPULATION = "mobile/analytics-postcode-demographic-geographic-lookup.csv"

_SHEET_ROWS = 40


@dataclass(frozen=True, slots=True)
class Made:
    """What the demo made, and what is missing of what it should have made."""

    figures: dict[str, str]
    missing: list[str]


def demo_environment(environment: Environment) -> Environment:
    """An environment of its own, with the real mapping where there is one."""
    home = environment.home / "demo"
    mapping, population = environment.reference_data / REAL_MAPPING, environment.reference_data / REAL_POPULATION
    real = mapping.exists() and population.exists()
    return Environment(
        home=home,
        dagster_home=home / "dagster",
        landing="",
        lake="",
        ledger="",
        uploads="list://",
        aae="sandbox://aae",
        aae_packages="",
        aae_events="",
        privacy_mapping=str(mapping.absolute()) if real else "",
        population=str(population.absolute()) if real else "",
        uploads_quiet_seconds=0,
        drive="",
        here_to_help="sandbox://here-to-help",
    ).model_copy(update={name: True for name in Environment.model_fields if name.endswith("_enabled")})


def land_uploads(environment: Environment, packages: int, events: int, say: Callable[[str], None]) -> list[UploadFile]:
    """Land sample uploads of 48 hours, and say which."""
    pairs = [(entry.district, entry.authority) for entry in _mapping(environment).entries]
    say(f"Landing {packages:,} packages and {events:,} submissions of events over 48 hours in {environment.landing}")
    made = samples(pairs, utc_now(), packages=packages, events=events)
    return land(made, open_objects(environment.landing))


def drop_sheets(environment: Environment, say: Callable[[str], None]) -> dict[str, int]:
    """Drop a sample sheet of each feed of residents; returns the rows of each, by its feed."""
    dropped = drop_samples(environment.home / "drive", utc_now().date(), rows=_SHEET_ROWS)
    say(f"Dropping {len(dropped)} sheets of {_SHEET_ROWS} residents each in {environment.drive}")
    return dropped


def demonstrate(
    environment: Environment,
    landed: Sequence[UploadFile],
    dropped: Mapping[str, int],
    sandbox: Sandbox,
    say: Callable[[str], None],
) -> Made:
    """Make every run that the sensors ask for, and compare what came out with what went in.

    Args:
        environment: where everything is; its landing holds nothing but what landed.
        landed: those uploads.
        dropped: the rows of each feed's sheet that was dropped.
        sandbox: the stand-ins that the environment delivers to, which received nothing yet.
        say: is told of each run.
    """
    runs: list[Ran] = []
    for ran in settle(environment):
        say(f"  {ran}")
        runs.append(ran)
    received = Counter(one.name for one in sandbox.aae.received() if one.kept)
    stored = sandbox.here_to_help.count()
    lake = open_objects(environment.lake)
    mapping = _mapping(environment)
    figures: dict[str, str] = {}
    expected = {"every run succeeds": (sum(ran.success for ran in runs), len(runs))}
    with closing(open_ledger(environment.ledger, ledger_password(), waits=True)) as ledger:
        for feed in feeds.FEEDS.values():
            told, compared = _compare(feed, [file for file in landed if file.feed == feed.queue], ledger)
            figures |= told
            expected |= compared
        for feed_name, count in dropped.items():
            told, compared = _compare_sheet(environment, feed_name, count, ledger)
            figures |= told
            expected |= compared
    expected["nothing is sent twice"] = (received.total(), len(received))
    events_read = int(figures.get("mobile/events: events", "0").replace(",", ""))
    expected["every event is a row of the table"] = (_rows(lake, "mobile/events_table"), events_read)
    figures |= {
        "rows of receipts": f"{_rows(lake, 'aae/receipts'):,}",
        "residents, requests, notes in the sandbox's Here to Help": (
            f"{stored.residents:,}, {stored.help_requests:,}, {stored.case_notes:,}"
        ),
        "runs": f"{len(runs)}",
        "mapping": f"{mapping.rows:,} rows, version {mapping.version}",
        "hours recorded": str(recorded_partitions(environment, "aae/packages")),
        "lake": environment.lake,
        "received by the sandbox's AAE": str(sandbox.aae.folder / "objects"),
        "quarantine": f"{environment.landing}/quarantine",
    }
    missing = [f"{what}: {found:,} of {wanted:,}" for what, (found, wanted) in expected.items() if found != wanted]
    return Made(figures, missing)


def _compare(
    feed: feeds.Feed, landed: list[UploadFile], ledger: Ledger
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """What was made of a feed, and beside what should have been."""
    settled = list(ledger.items(feed.queue, states=[State.SETTLED]))
    delivered = list(ledger.items(feed.exports, states=[State.SETTLED]))
    totals = total(settled)
    outputs = sum(item.detail["output"] is not None for item in settled)
    rejected = ", ".join(f"{reason} {count}" for reason, count in totals.rejected.most_common())
    figures = {
        "files": f"{len(settled):,}",
        "records read": f"{totals.read:,}",
        "records in the lake": f"{totals.written:,}",
        "records in quarantine": rejected,
        "bytes in the lake": f"{totals.bytes:,}",
        "objects delivered": f"{len(delivered):,}",
        **{name.replace("_", " "): f"{count:,}" for name, count in totals.counts.items()},
    }
    expected = {
        "every landed file is settled": (len(settled), len(landed)),
        "every good record is in the lake": (totals.written, sum(file.good for file in landed)),
        "every bad record is in quarantine": (totals.rejected.total(), sum(len(file.bad) for file in landed)),
        "every output is delivered": (len(delivered), outputs),
    }
    told = {f"{feed.queue}: {name}": value for name, value in figures.items()}
    return told, {f"{feed.queue}: {what}": pair for what, pair in expected.items()}


def _compare_sheet(
    environment: Environment, feed: str, rows: int, ledger: Ledger
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """What became of a sheet's rows, and beside what should have."""
    of = FEEDS[feed]
    settled = [item for item in ledger.items(sheets_queue(of)) if item.state is State.SETTLED]
    totals = residents.total(settled)
    written = list((environment.home / "drive" / feed / "outbound").glob("*.xlsx"))
    figures = {f"residents/{feed}": ", ".join(f"{result} {count}" for result, count in sorted(totals.results.items()))}
    expected = {
        "every row is accounted for": (totals.results.total(), rows),
        "every sheet is written back": (len(written), len(of.books)),
    }
    return figures, {f"residents/{feed}: {what}": pair for what, pair in expected.items()}


def _mapping(environment: Environment) -> PrivacyMapping:
    return PrivacyMapping.parse(files.read_mapping(environment.privacy_mapping).raw)


def _rows(lake: Objects, folder: str) -> int:
    """The rows of all tables in a folder of the lake."""
    tables = [info.key for info in lake.list(f"{folder}/") if info.key.endswith(".parquet")]
    return sum(pq.read_metadata(pa.BufferReader(lake.get(key))).num_rows for key in tables)
