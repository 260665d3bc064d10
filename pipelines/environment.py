"""Every outside system as one URL with a local default, and every setting with its unit: one typed table.

This is the only module that reads the process's variables. ``pipelines doctor --settings`` prints the table. Secrets
are not in it: they are read by ``secret`` when a run opens what needs them, never when code loads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipelines.adapters.secret_stores import SecretStores, SecretUnavailable, decoded, is_reference

PREFIX = "PIPELINES_"
SANDBOX = "sandbox"

_OF_AAE = [f"AAE_{feed}" for feed in ("", "PACKAGES_", "EVENTS_")]
TEXTS = (
    "LEDGER_PASSWORD",
    "HERE_TO_HELP_API_KEY",
    "INSTALLATION_KEY",
    "RESIDENTS_EXCLUDED_IDS",
    *(f"{of}{what}" for of in _OF_AAE for what in ("SUBSCRIPTION_KEY", "CLIENT_CERTIFICATE_PASSWORD")),
)
FILES = (
    "HERE_TO_HELP_CERTIFICATE_AUTHORITY",
    *(f"{of}{what}" for of in _OF_AAE for what in ("CLIENT_CERTIFICATE", "CERTIFICATE_AUTHORITY")),
)
"""Secrets, by the names of their variables without ``PIPELINES_``: texts, and what is a file elsewhere."""

_SCHEMES = {
    "landing": ("file", "memory", "s3"),
    "lake": ("file", "memory", "s3"),
    "uploads": ("list", "sqs"),
    "ledger": ("sqlite", "postgresql"),
}
_LOCAL = ("file", "memory", "sqlite")
_PLAIN = ("http", "https", "s3")


def _canonical(url: str) -> str:
    """One spelling for one system: receipts name it. Nothing secret may be part of it."""
    parts = urlsplit(url)
    if "@" in parts.netloc or (parts.scheme in _PLAIN and (parts.query or parts.fragment)):
        raise ValueError("a URL must hold no user, password or token: secrets stand in variables of their own")
    if parts.scheme.startswith("http"):
        return f"{parts.scheme}://{parts.netloc.lower().removesuffix(':443')}{parts.path.rstrip('/')}"
    return url.rstrip("/") if parts.scheme == "s3" else url


def _without_password(url: str) -> str:
    """A database's URL may name its user, which is no secret; its query holds the driver's own options."""
    parts = urlsplit(url)
    if parts.scheme != "postgresql":
        return _canonical(url)
    # Not by its parts: of a password with a slash in it these would show the beginning as the host.
    named = re.fullmatch(r"postgresql://([^:/?#@]+@)?[^@]*", url)
    if named is None or {"password", "sslpassword"} & parse_qs(parts.query, keep_blank_values=True).keys():
        raise ValueError("a URL must hold no password: it stands in a variable of its own, PIPELINES_LEDGER_PASSWORD")
    return url


Url = Annotated[str, AfterValidator(_canonical)]
DatabaseUrl = Annotated[str, AfterValidator(_without_password)]


def _url(default: str, what: str) -> str:
    """A field for a URL; ``~home`` in a default stands for the data folder."""
    field: str = Field(default, description=what)
    return field


class Environment(BaseSettings):
    """Where everything is and how it behaves. Variables are these names in upper case behind ``PIPELINES_``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    home: Path = Field(Path(".pipelines"), description="Folder of all local data")
    dagster_home: Path = Field(Path(), description="Dagster's own home; empty is DAGSTER_HOME, else below the data")
    start: date = Field(date(2025, 1, 1), description="First day of every time partition (UTC)")
    automation: bool = Field(True, description="Whether sensors and schedules start switched on")
    port: int = Field(3000, description="Port of the UI on 127.0.0.1")
    code_port: int = Field(4266, description="Port of the code server on 127.0.0.1")
    reference_data: Path = Field(
        Path("../shared/data"), description="Folder of the real reference data, if there is one"
    )
    run_seconds: float = Field(600, description="Time after which a run takes no more work, in seconds")
    lease_seconds: float = Field(90, description="How long a run holds what it works on without renewing, in seconds")

    landing: Url = _url("", "Where uploads land: file://, memory://, s3://bucket/folder")
    lake: Url = _url("", "Where results are kept: file://, memory://, s3://bucket/folder")
    uploads: Url = _url("list://", "How uploads are noticed: list://, sqs://queue, sqs://account/queue")
    ledger: DatabaseUrl = _url("", "The record of all work: sqlite://, postgresql://user@host/database")
    privacy_mapping: Url = _url(
        "", "The privacy mapping's file: a path, file://, s3://bucket/key; empty is the shipped sample"
    )
    population: Url = _url(
        "", "Populations of the mapping's cells: a path, file://, s3://; empty is the sample's, for the sample"
    )

    uploads_recent_hours: int = Field(3, description="Hour folders listed at every tick")
    uploads_window_days: int = Field(4, description="Day folders listed every hour")
    uploads_quiet_seconds: float = Field(
        3, description="A local file is taken when unchanged for this long, in seconds"
    )
    uploads_tick_seconds: float = Field(20, description="A tick stops taking in after this time, in seconds")
    uploads_visibility_seconds: float = Field(
        120, le=43_200, description="How long a message that is worked on is hidden, longer than a tick, in seconds"
    )

    mobile_packages_enabled: bool = Field(True, description="Whether landed packages are filtered; off keeps them")
    mobile_record_bytes: int = Field(1_048_576, description="The longest record that is read, in bytes")
    mobile_rejected_share: float = Field(0.05, description="Bound on the share of quarantined records in an hour")
    mobile_unknown_share: float = Field(0.05, description="Bound on the share of records mapped to UNKNOWN in an hour")
    mobile_events_enabled: bool = Field(True, description="Whether landed events are filtered; off keeps them")
    mobile_event_bytes: int = Field(262_144, description="The longest submission of events that is read, in bytes")
    mobile_raw_hours: float = Field(
        72, description="Landed files are deleted this long after they are settled, in hours; 0 keeps them for good"
    )
    mobile_attempts: int = Field(5, description="Attempts at a landed file before it is given up")

    aae: Url = _url(f"{SANDBOX}://aae", "The Advanced Analytics Environment: https://, sandbox://")
    aae_packages: Url = _url("", "The same for packages alone; empty is PIPELINES_AAE")
    aae_packages_enabled: bool = Field(True, description="Whether packages are delivered; off keeps the backlog")
    aae_events: Url = _url("", "The same for events alone; empty is PIPELINES_AAE")
    aae_events_enabled: bool = Field(True, description="Whether events are delivered; off keeps the backlog")
    events_stay_seconds: float = Field(
        60, description="How long a run over events stays for those that follow, in seconds"
    )
    aae_connections: int = Field(16, description="Objects on their way at once")
    aae_connect_seconds: float = Field(10, description="Time to connect, in seconds")
    aae_total_seconds: float = Field(30, description="Time for a whole request, in seconds")
    aae_attempts: int = Field(5, description="Attempts at an object before it is a dead letter")
    aae_pause_start: float = Field(30, gt=0, le=86_400, description="Pause after the first failed attempt, in seconds")
    aae_pause_factor: float = Field(4, ge=1, description="Factor from pause to pause")
    aae_pause_cap: float = Field(3600, gt=0, le=86_400, description="Longest pause, a day at most, in seconds")
    aae_pause_jitter: float = Field(0.2, ge=0, le=1, description="Share of a pause that chance may add")
    aae_backlog_seconds: float = Field(3600, description="Age of the oldest waiting object that fails a delivery run")
    aae_dead_letters: int = Field(0, description="Dead letters above which a delivery run fails after sending")

    drive: Url = _url("", "Where staff drop sheets: file://folder, gdrive://")
    drive_folders: str = Field(
        "", description="For gdrive://, each feed's folders by id: feed=inbound:outbound, with commas between feeds"
    )
    drive_typed_seconds: float = Field(
        120, description="A native Google Sheet is taken when nobody typed in it for this long, in seconds"
    )
    here_to_help: Url = _url(f"{SANDBOX}://here-to-help", "The Here to Help API, up to /api: https://, sandbox://")
    residents_contact_tracing_enabled: bool = Field(True, description="Whether these sheets are sent; off keeps them")
    residents_nsss_enabled: bool = Field(True, description="The same for nsss")
    residents_spl_enabled: bool = Field(True, description="The same for spl")
    residents_self_isolation_enabled: bool = Field(True, description="The same for self_isolation")
    residents_generic_enabled: bool = Field(True, description="The same for generic")
    residents_seconds: int = Field(10, description="How often the drive is looked at, in seconds")
    residents_tick_seconds: float = Field(5, description="A tick looks into no more new sheets after this, in seconds")
    residents_connections: int = Field(16, description="Calls of the API under way at once")
    residents_calls_per_second: float = Field(90, description="Calls of the API a second; its gateway allows 100")
    residents_connect_seconds: float = Field(10, description="Time to connect, in seconds")
    residents_total_seconds: float = Field(
        40, description="Time for a whole call, more than the 29 after which the gateway gives up, in seconds"
    )
    residents_late_seconds: float = Field(
        35, description="Time by which a call is over whose answer was lost, in seconds"
    )
    residents_attempts: int = Field(5, description="Attempts at an effect before it is given up")
    residents_pause_start: float = Field(30, description="Pause after the first failed attempt, in seconds")
    residents_rejected_share: float = Field(0.05, description="Bound on the share of rejected rows in a day")
    residents_outcome_days: int = Field(7, description="Days for which a lost outcome is written again")

    @model_validator(mode="before")
    @classmethod
    def _local_defaults(cls, values: dict[str, object]) -> dict[str, object]:
        home = Path(str(values.get("home") or ".pipelines")).absolute()
        defaults = {
            "landing": (home / "landing").as_uri(),
            "lake": (home / "lake").as_uri(),
            "drive": (home / "drive").as_uri(),
            "ledger": f"sqlite:///{home / 'ledger.db'}",
            "dagster_home": Path(os.environ.get("DAGSTER_HOME") or home / "dagster"),
        }
        return defaults | {name: value for name, value in values.items() if value != ""} | {"home": home}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, known in _SCHEMES.items():
            if urlsplit(getattr(self, name)).scheme not in known:
                raise ValueError(f"{_variable(name)}: a scheme that is not known; known are {', '.join(known)}")
        landing, lake = self.landing.rstrip("/") + "/", self.lake.rstrip("/") + "/"
        if not landing.startswith("memory:") and (landing.startswith(lake) or lake.startswith(landing)):
            raise ValueError("PIPELINES_LANDING and PIPELINES_LAKE must not overlap: one would be read as the other")
        if self.uploads.startswith("sqs:") and not self.landing.startswith("s3:"):
            raise ValueError("PIPELINES_UPLOADS names a queue, which tells of what lands under s3:// only")
        if self.uploads_visibility_seconds < 2 * self.uploads_tick_seconds:
            raise ValueError(
                "PIPELINES_UPLOADS_VISIBILITY_SECONDS must be at least two ticks, else messages come twice"
            )
        far = [name for name in ("landing", "ledger", "drive") if urlsplit(getattr(self, name)).scheme not in _LOCAL]
        outside = ["aae", "aae_packages", "aae_events", *(["here_to_help"] if self.sends_residents() else [])]
        pretended = [name for name in outside if getattr(self, name).startswith(f"{SANDBOX}:")]
        if far and pretended:
            raise ValueError(
                f"{_variable(pretended[0])} is the sandbox while {_variable(far[0])} is not local: name the real system"
            )
        return self

    def sends_residents(self) -> bool:
        """Whether any feed of residents is switched on."""
        return any(
            getattr(self, name) for name in type(self).model_fields if re.fullmatch("residents_.*_enabled", name)
        )

    @property
    def sandbox(self) -> Path:
        """Folder of the sandbox: its keys, certificates and what its stand-ins received."""
        return self.home / "sandbox"

    @property
    def ledger_file(self) -> Path | None:
        """The ledger's file, if it is in one."""
        return Path(self.ledger.removeprefix("sqlite:///")) if self.ledger.startswith("sqlite:") else None

    @property
    def has_own_drive(self) -> bool:
        """Whether the drive is the one below the data folder, whose folders are ours to make."""
        return self.drive == (self.home / "drive").as_uri()

    def aae_url(self, feed: str) -> str:
        """The destination of a feed (``packages``, ``events``): its own or the common one."""
        own: str = getattr(self, f"aae_{feed}")
        return own or self.aae

    @classmethod
    def read(cls) -> Environment:
        """The environment from the process's variables.

        Raises:
            ValueError: variables are wrong; the message names each with what is wrong, never with its value.
        """
        try:
            return cls()
        except ValidationError as error:
            faults = [
                (_variable(str(fault["loc"][0])) + ": " if fault["loc"] else "") + fault["msg"]
                for fault in error.errors()
            ]
            raise ValueError("; ".join(fault.replace("Value error, ", "") for fault in faults)) from None


@cache
def at_load() -> Environment:
    """The environment as it was when code loaded: for what Dagster fixes then, as partitions and which sensors run."""
    return Environment.read()


def child_variables(**changes: str) -> dict[str, str]:
    """This process's variables for a child process, with some changed."""
    return {**os.environ, **changes}


def secret(*names: str) -> SecretStr | None:
    """The first of these secrets that is set, without the ``PIPELINES_`` of its variable; ``None`` if none is.

    A variable holds the secret itself, or a reference to where it is kept: see ``SecretStores``.

    Raises:
        ValueError: it can't be had; the message names the variable and why, never what it holds.
    """
    found = _first(names)
    if found is None:
        return None
    name, value = found
    if not is_reference(value):
        return SecretStr(value)
    try:
        return SecretStr(_kept(name, value).decode())
    except UnicodeDecodeError:
        raise ValueError(f"{_variable(name)}: the secret that it names is no text") from None


def secret_file(*names: str) -> bytes | None:
    """What the first of these files holds that is set, by its path or by a reference to a secret; else as ``secret``.

    Raises:
        ValueError: as ``secret``.
    """
    found = _first(names)
    if found is None:
        return None
    name, value = found
    if is_reference(value):
        return decoded(_kept(name, value))
    try:
        return _path(value).read_bytes()
    except OSError as error:
        raise ValueError(f"{_variable(name)}: the file that it names can't be read ({type(error).__name__})") from None


def secrets_set() -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Each secret that is set: its variable, what kind of place it is in, and what reads it, as ``secret`` does."""
    for name in (*TEXTS, *FILES):
        found = _first([name])
        if found is not None:
            scheme = urlsplit(found[1]).scheme if is_reference(found[1]) else ""
            place = f"{scheme}://" if scheme else "a file" if name in FILES else "the variable itself"
            yield _variable(name), place, partial(secret_file if name in FILES else secret, name)


def unknown_variables() -> list[str]:
    """Variables that are set, and that no setting and no secret has the name of."""
    known = {_variable(name) for name in (*Environment.model_fields, *TEXTS, *FILES)}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def ledger_password() -> SecretStr | None:
    """The password of the ledger's user; without one the database's driver finds it in its own ways."""
    return secret("LEDGER_PASSWORD")


def _first(names: Iterable[str]) -> tuple[str, str] | None:
    return next(((name, value) for name in names if (value := os.environ.get(PREFIX + name))), None)


def _path(value: str) -> Path:
    return Path(unquote(urlsplit(value).path) if value.startswith("file://") else value)


def _kept(name: str, reference: str) -> bytes:
    try:
        return secret_stores().read(reference)
    except SecretUnavailable as error:
        raise ValueError(f"{_variable(name)}: the secret that it names can't be had: {error}") from None


@cache
def secret_stores() -> SecretStores:
    """Where secrets are kept that variables name: one for this process, with what it remembers."""
    return SecretStores()


def _variable(name: str) -> str:
    return PREFIX + name.upper()
