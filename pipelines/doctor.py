"""For each outside system: is it there, does it let us in, is it configured? One line each.

Nothing is made of what is looked at; only that the lake can be written to is tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice

from pipelines.adapters.endpoints import Endpoint
from pipelines.adapters.here_to_help import Access
from pipelines.adapters.installation import is_unclaimed
from pipelines.adapters.ledger import LedgerUnavailable, open_ledger
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import open_objects
from pipelines.adapters.uploads import standing
from pipelines.domains.mobile import files
from pipelines.domains.mobile.mapping import PrivacyMapping
from pipelines.environment import FILES, TEXTS, Environment, ledger_password, secrets_set, unknown_variables
from pipelines.resources import DRIVE_FEEDS, configured_drive, existing_installation_key, here_to_help_access

_PROBE = "doctor/probe"


@dataclass(frozen=True, slots=True)
class Finding:
    """One system: whether it is well, and what was found, without a secret."""

    system: str
    url: str
    well: bool
    words: str


def examine(environment: Environment, aae: Callable[[str], Endpoint]) -> Iterator[Finding]:
    """Look at each configured system, one after another; none keeps the next from being looked at."""
    probes: list[tuple[str, str, Callable[[], str]]] = [
        ("landing", environment.landing, lambda: _readable(environment.landing)),
        ("lake", environment.lake, lambda: _writable(environment.lake)),
        ("uploads", environment.uploads, lambda: standing(environment.uploads)),
        ("ledger", environment.ledger, lambda: _ledger(environment)),
        ("privacy mapping", environment.privacy_mapping or "the shipped sample", lambda: _mapping(environment)),
        *(
            (f"aae {feed}", environment.aae_url(feed), partial(_endpoint_of, aae, feed))
            for feed in ("packages", "events")
        ),
        *(_probes_of_residents(environment) if environment.sends_residents() else ()),
        *((f"secret {variable}", place, partial(_secret, read)) for variable, place, read in secrets_set()),
        *(("variable", name, _unknown) for name in unknown_variables()),
    ]
    for system, url, probe in probes:
        try:
            yield Finding(system, url, True, probe())
        except Exception as error:
            yield Finding(system, url, False, str(error) or type(error).__name__)


def _probes_of_residents(environment: Environment) -> list[tuple[str, str, Callable[[], str]]]:
    return [
        ("drive", environment.drive, lambda: _drive(environment)),
        ("here to help", environment.here_to_help, lambda: _here_to_help(environment)),
        ("installation key", _place_of_key(environment), lambda: _installation_key(environment)),
    ]


def settings(environment: Environment) -> Iterator[tuple[str, str, str]]:
    """Every setting: its variable, its value, what it means with its unit; of a secret only where it is."""
    for name, field in type(environment).model_fields.items():
        yield f"PIPELINES_{name.upper()}", str(getattr(environment, name)), field.description or ""
    places = {variable: place for variable, place, _ in secrets_set()}
    for name in (*TEXTS, *FILES):
        yield f"PIPELINES_{name}", places.get(f"PIPELINES_{name}", ""), "A secret; here is only where it is"


def _readable(url: str) -> str:
    found = sum(1 for _ in islice(open_objects(url).list(""), 1))
    return "readable" if found else "readable, and empty"


def _writable(url: str) -> str:
    lake = open_objects(url)
    lake.put(_PROBE, b"probe")
    lake.delete(_PROBE)
    return "writable"


def _ledger(environment: Environment) -> str:
    if _is_ledger_to_be_made(environment):
        return "none yet: made when the first work is looked for"
    with closing(open_ledger(environment.ledger, ledger_password())) as ledger:
        return f"{sum(one.items for one in ledger.backlog(utc_now())):,} items due"


def _is_ledger_to_be_made(environment: Environment) -> bool:
    return environment.ledger_file is not None and not environment.ledger_file.exists()


def _unknown() -> str:
    raise ValueError("no setting has this name; `pipelines doctor --settings` prints all")


def _secret(read: Callable[[], object]) -> str:
    read()
    return "readable"


def _mapping(environment: Environment) -> str:
    mapping = PrivacyMapping.parse(files.read_mapping(environment.privacy_mapping).raw)
    return f"version {mapping.version}, {mapping.rows:,} rows"


def _drive(environment: Environment) -> str:
    feeds = [feed for feed in DRIVE_FEEDS if getattr(environment, f"residents_{feed}_enabled")]
    there = [feed for feed in feeds if not _is_to_be_made(environment, feed)]
    found = f"{len(configured_drive(environment).sheets(there, utc_now())):,} sheets in {len(there)} folders"
    return found if there == feeds else f"{found}; {len(feeds) - len(there)} more are made at the first look"


def _is_to_be_made(environment: Environment, feed: str) -> bool:
    return environment.has_own_drive and not (environment.home / "drive" / feed / "inbound").exists()


def _place_of_key(environment: Environment) -> str:
    places = {variable: place for variable, place, _ in secrets_set()}
    return places.get("PIPELINES_INSTALLATION_KEY", str(environment.home / "installation.key"))


def _installation_key(environment: Environment) -> str:
    key = existing_installation_key(environment)
    if not _is_ledger_to_be_made(environment):
        try:
            with closing(open_ledger(environment.ledger, ledger_password())) as ledger:
                if not is_unclaimed(key, ledger):
                    return "the one that the ledger was begun with"
        except LedgerUnavailable:  # which the ledger's own line tells of
            return "none yet" if key is None else "readable; whether it is the ledger's can't be told now"
    return "none yet: made at the first look at the drive" if key is None else "readable; the ledger has none yet"


def _here_to_help(environment: Environment) -> str:
    asyncio.run(_ping(here_to_help_access(environment)))
    return "reached, and lets us in"


async def _ping(access: Access) -> None:
    async with access.open() as api:
        reply = await api.ping()
    if reply.answer.status in (401, 403):
        raise ConnectionError(f"it refuses our key ({reply.answer.status})")
    if reply.body is not True:
        raise ConnectionError(f"not well: {reply.answer.status or reply.answer.failure}")


def _endpoint_of(aae: Callable[[str], Endpoint], feed: str) -> str:
    failure = asyncio.run(_reach(aae(feed)))
    if failure is not None:
        raise ConnectionError(f"not reached: {failure}")
    return "reached, and trusted on both sides"


async def _reach(endpoint: Endpoint) -> str | None:
    async with endpoint.open() as https:
        answer = await https.head()
    if answer.status in (401, 403):
        return f"it refuses our key ({answer.status})"
    return answer.failure
