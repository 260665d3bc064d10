"""Dagster's face of the adapters: each resource opens one outside system when a run or a tick needs it.

Secrets are read here, at that moment, and handed to the adapter; nothing of them is in a resource's configuration.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from pipelines.adapters.drive import Drive, Folders, open_drive
from pipelines.adapters.endpoints import Endpoint, Limits
from pipelines.adapters.here_to_help import Access
from pipelines.adapters.https import Credentials
from pipelines.adapters.installation import InstallationKey, find_key, read_key
from pipelines.adapters.ledger import Ledger, open_ledger
from pipelines.adapters.objects import Objects, open_objects
from pipelines.adapters.uploads import Polling, Uploads, open_uploads
from pipelines.core.rhythms import Cadence
from pipelines.environment import SANDBOX, Environment, ledger_password, secret, secret_file
from pipelines.io_managers import ParquetIOManager

DRIVE_FEEDS = ("contact_tracing", "nsss", "spl", "self_isolation", "generic")
"""The feeds that have folders in the drive; a test compares them with the domain's."""


class ObjectsResource(dg.ConfigurableResource[Objects]):
    """Objects under one URL."""

    url: str

    def create_resource(self, context: dg.InitResourceContext) -> Objects:
        """Open the store."""
        return open_objects(self.url)


class LedgerResource(dg.ConfigurableResource[Ledger]):
    """The record of all work."""

    url: str

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Ledger]:
        """Open the ledger, and close it when the run or tick is over."""
        ledger = open_ledger(self.url, ledger_password(), waits=True)
        try:
            yield ledger
        finally:
            ledger.close()


class UploadsResource(dg.ConfigurableResource[Uploads]):
    """How uploads are noticed."""

    url: str
    landing: dg.ResourceDependency[Objects]
    ledger: dg.ResourceDependency[Ledger]
    recent_hours: int
    window_days: int
    quiet_seconds: float
    tick_seconds: float
    visibility_seconds: float

    def create_resource(self, context: dg.InitResourceContext) -> Uploads:
        """Open the way in, with its marks in the ledger."""
        cadence = Cadence(self.recent_hours, self.window_days)
        appear_whole = urlsplit(self.landing.url).scheme != "file"
        quiet = timedelta(seconds=0 if appear_whole else self.quiet_seconds)
        # The other half of a tick is for what is listed, however much the queue tells.
        polling = Polling(self.tick_seconds / 2, timedelta(seconds=self.visibility_seconds))
        return open_uploads(self.url, self.landing, self.ledger, cadence=cadence, quiet=quiet, polling=polling)


class AaeResource(dg.ConfigurableResource[Endpoint]):
    """The Advanced Analytics Environment, for one feed."""

    feed: str
    environment: dg.ResourceDependency[Environment]

    def create_resource(self, context: dg.InitResourceContext) -> Endpoint:
        """Read the credentials; the connection is opened by whoever sends."""
        return aae_endpoint(self.environment, self.feed)


class DriveResource(dg.ConfigurableResource[Drive]):
    """Where staff drop sheets."""

    environment: dg.ResourceDependency[Environment]

    def create_resource(self, context: dg.InitResourceContext) -> Drive:
        """Open the drive."""
        return open_configured_drive(self.environment)


class HereToHelpResource(dg.ConfigurableResource[Access]):
    """The Here to Help API."""

    environment: dg.ResourceDependency[Environment]

    def create_resource(self, context: dg.InitResourceContext) -> Access:
        """Read the key; the connection is opened by whoever sends."""
        return here_to_help_access(self.environment)


class InstallationKeyResource(dg.ConfigurableResource[InstallationKey]):
    """What digests of personal values are made with."""

    environment: dg.ResourceDependency[Environment]

    def create_resource(self, context: dg.InitResourceContext) -> InstallationKey:
        """Read the key, or make it."""
        return installation_key(self.environment)


def open_configured_drive(environment: Environment) -> Drive:
    """The drive; of the one below the data folder the folders are made."""
    if environment.has_own_drive:
        root = environment.home / "drive"
        for feed in DRIVE_FEEDS:
            for folder in ("inbound", "outbound"):
                (root / feed / folder).mkdir(parents=True, exist_ok=True, mode=0o700)
    return configured_drive(environment)


def configured_drive(environment: Environment) -> Drive:
    """The drive as it is, for who only looks."""
    is_typed = urlsplit(environment.drive).scheme == "gdrive"
    quiet = timedelta(seconds=environment.drive_typed_seconds if is_typed else environment.uploads_quiet_seconds)
    return open_drive(environment.drive, read_folders(environment.drive_folders), quiet=quiet)


def read_folders(setting: str) -> dict[str, Folders]:
    """The folders of each feed, from a setting.

    Raises:
        ValueError: it is not of that form. The message does not repeat it.
    """
    folders: dict[str, Folders] = {}
    for part in filter(None, map(str.strip, setting.split(","))):
        feed, named, ids = part.partition("=")
        inbound, both, outbound = ids.partition(":")
        if not (named and both and inbound and outbound):
            raise ValueError("PIPELINES_DRIVE_FOLDERS is written as feed=inbound:outbound,feed=inbound:outbound")
        folders[feed.strip()] = Folders(inbound.strip(), outbound.strip())
    return folders


def here_to_help_access(environment: Environment) -> Access:
    """The API with its key."""
    url, key = environment.here_to_help, secret("HERE_TO_HELP_API_KEY")
    address, authority = url, secret_file("HERE_TO_HELP_CERTIFICATE_AUTHORITY")
    if urlsplit(url).scheme == SANDBOX:
        from pipelines.sandbox.addresses import sandbox_here_to_help  # noqa: PLC0415 (as above)

        address, key = sandbox_here_to_help(url, environment.sandbox)
    if key is None:
        raise ValueError("PIPELINES_HERE_TO_HELP_API_KEY is not set")
    return Access(
        url,
        address,
        key,
        authority,
        environment.residents_connections,
        environment.residents_calls_per_second,
        environment.residents_connect_seconds,
        environment.residents_total_seconds,
    )


def installation_key(environment: Environment) -> InstallationKey:
    """The key of a secret, or of a file below the data folder."""
    return read_key(secret("INSTALLATION_KEY"), environment.home / "installation.key")


def existing_installation_key(environment: Environment) -> InstallationKey | None:
    """The same, but never made."""
    return find_key(secret("INSTALLATION_KEY"), environment.home / "installation.key")


def excluded_ids() -> str:
    """Ids that are not to be sent: a secret, since they are people's."""
    ids = secret("RESIDENTS_EXCLUDED_IDS")
    return "" if ids is None else ids.get_secret_value()


def aae_endpoint(environment: Environment, feed: str) -> Endpoint:
    """Where a feed is delivered, with its credentials."""
    url = environment.aae_url(feed)
    limits = Limits(environment.aae_connections, environment.aae_connect_seconds, environment.aae_total_seconds)
    if urlsplit(url).scheme == SANDBOX:
        from pipelines.sandbox.addresses import sandbox_endpoint  # noqa: PLC0415 (a real deployment needs none of it)

        return sandbox_endpoint(url, environment.sandbox, limits)
    return Endpoint(url, url, aae_credentials(feed), limits)


def aae_credentials(feed: str) -> Credentials:
    """The credentials of a feed: its own, or those common to all feeds."""

    def named(what: str) -> tuple[str, str]:
        return f"AAE_{feed.upper()}_{what}", f"AAE_{what}"

    key = secret(*named("SUBSCRIPTION_KEY"))
    if key is None:
        raise ValueError("PIPELINES_AAE_SUBSCRIPTION_KEY is not set")
    return Credentials(
        key,
        secret_file(*named("CLIENT_CERTIFICATE")),
        secret(*named("CLIENT_CERTIFICATE_PASSWORD")),
        secret_file(*named("CERTIFICATE_AUTHORITY")),
    )


def resources(environment: Environment) -> dict[str, Any]:
    """Every resource, bound once for all domains."""
    landing = ObjectsResource(url=environment.landing)
    lake = ObjectsResource(url=environment.lake)
    ledger = LedgerResource(url=environment.ledger)
    return {
        "environment": environment,
        "landing": landing,
        "lake": lake,
        "ledger": ledger,
        "uploads": UploadsResource(
            url=environment.uploads,
            landing=landing,
            ledger=ledger,
            recent_hours=environment.uploads_recent_hours,
            window_days=environment.uploads_window_days,
            quiet_seconds=environment.uploads_quiet_seconds,
            tick_seconds=environment.uploads_tick_seconds,
            visibility_seconds=environment.uploads_visibility_seconds,
        ),
        "aae_packages": AaeResource(feed="packages", environment=environment),
        "aae_events": AaeResource(feed="events", environment=environment),
        "drive": DriveResource(environment=environment),
        "here_to_help": HereToHelpResource(environment=environment),
        "installation_key": InstallationKeyResource(environment=environment),
        "io_manager": ParquetIOManager(lake=lake),
    }
