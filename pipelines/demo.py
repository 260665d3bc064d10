"""The main job on sample uploads, without a screen: the real sensors, jobs and checks, and what they made."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.core.work import State
from pipelines.domains.mobile import files
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.environment import Environment
from pipelines.sandbox.addresses import sandbox_running
from pipelines.sandbox.landing import land_samples
from pipelines.sandbox.uploads import UploadFile
from pipelines.settle import Ran, recorded_partitions, settle

REAL_MAPPING = "mobile/PD_LA_to_MergedPD_LA.csv"
REAL_POPULATION = "mobile/analytics-postcode-demographic-geographic-lookup.csv"


@dataclass(frozen=True, slots=True)
class Made:
    """What the demo made, and what is missing of what it should have made."""

    figures: dict[str, str]
    missing: list[str]


def demo_environment(environment: Environment) -> Environment:
    """An environment of its own, emptied first, with the real mapping where there is one."""
    home = environment.home / "demo"
    shutil.rmtree(home, ignore_errors=True)
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
        privacy_mapping=str(mapping.absolute()) if real else "",
        population=str(population.absolute()) if real else "",
        uploads_quiet_seconds=0,
    )


def demonstrate(environment: Environment, packages: int, say: Callable[[str], None]) -> Made:
    """Land the samples, make every run that the sensors ask for, and compare what came out with what went in."""
    mapping = PrivacyMapping.parse(files.read_mapping(environment.privacy_mapping).raw)
    pairs = [(entry.district, entry.authority) for entry in mapping.entries]
    say(f"Landing {packages:,} packages over 48 hours in {environment.landing}")
    landed = land_samples(environment.landing, pairs, utc_now(), packages=packages)
    ledger = open_ledger(environment.ledger)
    runs: list[Ran] = []
    with sandbox_running(environment.sandbox, utc_now()) as aae:
        for ran in settle(environment):
            say(f"  {ran}")
            runs.append(ran)
        received = [one for one in aae.received() if one.kept]
    made = _compare(landed, ledger, runs, Counter(one.name for one in received))
    folders = {
        "mapping": f"{mapping.rows:,} rows, version {mapping.version}",
        "hours recorded": str(recorded_partitions(environment, "aae/packages")),
        "lake": environment.lake,
        "received by the sandbox's AAE": str(environment.sandbox / "aae" / "objects"),
        "quarantine": f"{environment.landing}/quarantine",
    }
    ledger.close()
    return Made(made.figures | folders, made.missing)


def _compare(landed: list[UploadFile], ledger: Ledger, runs: list[Ran], received: Counter[str]) -> Made:
    settled = list(ledger.items("mobile/packages", states=[State.SETTLED]))
    delivered = list(ledger.items("aae/packages", states=[State.SETTLED]))
    read, written = (sum(item.detail[name] for item in settled) for name in ("read", "written"))
    rejected: Counter[str] = sum((Counter(item.detail["rejected"]) for item in settled), Counter())
    good = sum(file.good for file in landed)
    bad = sum(len(file.bad) for file in landed)
    outputs = sum(item.detail["output"] is not None for item in settled)
    expected = {
        "every run succeeds": (sum(ran.success for ran in runs), len(runs)),
        "every landed file is settled": (len(settled), len(landed)),
        "every good record is in the lake": (written, good),
        "every bad record is in quarantine": (rejected.total(), bad),
        "every output is delivered": (len(delivered), outputs),
        "nothing is sent twice": (received.total(), len(received)),
    }
    missing = [f"{what}: {found:,} of {wanted:,}" for what, (found, wanted) in expected.items() if found != wanted]
    figures = {
        "files": f"{len(settled):,}",
        "records read": f"{read:,}",
        "records in the lake": f"{written:,}",
        "records in quarantine": ", ".join(f"{reason} {count}" for reason, count in rejected.most_common()),
        "bytes of parquet": f"{sum(item.size for item in delivered):,}",
        "objects delivered": f"{len(delivered):,}",
        "runs": f"{len(runs)}",
    }
    return Made(figures, missing)
