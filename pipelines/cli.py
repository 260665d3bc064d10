"""The command line: each command reads the environment, calls what does the work, prints, and exits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.environment import SANDBOX, Environment, ledger_password

if TYPE_CHECKING:
    from pipelines.adapters.ledger import Ledger
    from pipelines.core.work import Item
    from pipelines.domains.residents.tracing import Looked
    from pipelines.sandbox.addresses import Sandbox

console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


_UNITS = {"s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[timedelta]):
    """A time such as 30s, 10m or 2h."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """From its text."""
        text = str(value)
        if not text[:-1].isdigit() or text[-1] not in _UNITS:
            self.fail("a number with s, m or h behind it is wanted, as in 10m", param, ctx)
        return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])


class _Commands(click.Group):
    """Commands that end with one line where an outside system is not there."""

    def invoke(self, ctx: click.Context) -> Any:
        """Call a command."""
        from pipelines.adapters.ledger import LedgerUnavailable
        from pipelines.adapters.objects import ObjectsUnavailable

        try:
            return super().invoke(ctx)
        except LedgerUnavailable as error:
            raise click.ClickException(str(error)) from None
        except ObjectsUnavailable as error:
            raise click.ClickException(f"landing or lake does not do what it is asked: {error}") from None


@click.group(cls=_Commands)
def main() -> None:
    """Uploads in, privacy-safe analytics and verified exports out."""
    os.umask(0o077)  # what lands here is raw, and so is its quarantine: readable by the owner alone


def _environment() -> Environment:
    try:
        return Environment.read()
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _existing_ledger(environment: Environment) -> Ledger:
    """The ledger, for who only reads: none is made where nothing was ever done."""
    from pipelines.adapters.ledger import open_ledger

    file = environment.ledger_file
    if file is not None and not file.exists():
        raise click.ClickException(f"there is no ledger in {file}: name the right PIPELINES_HOME")
    return open_ledger(environment.ledger, ledger_password())


def _table(*columns: str) -> Table:
    """A table whose first column is never cut, so that it can be copied."""
    table = Table(box=box.SIMPLE)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return table


def _is_sandbox(url: str) -> bool:
    return urlsplit(url).scheme == SANDBOX


def _delivers_to_sandbox(environment: Environment) -> bool:
    """Whether no sample that lands could come to the real AAE."""
    return all(_is_sandbox(environment.aae_url(feed)) for feed in ("packages", "events"))


def _uses_sandbox(environment: Environment) -> bool:
    urls = [environment.here_to_help, *(environment.aae_url(feed) for feed in ("packages", "events"))]
    return any(_is_sandbox(url) for url in urls)


@main.command()
@click.option("--samples/--no-samples", default=True, help="Land sample uploads if nothing has landed yet.")
def run(samples: bool) -> None:
    """Run everything on this machine: sandbox, UI, sensors and schedules."""
    from pipelines.supervisor import supervise

    environment = _environment()
    if samples and _delivers_to_sandbox(environment):
        _land_first_samples(environment)
    if samples and _is_sandbox(environment.here_to_help):
        _drop_first_sheets(environment)
    with ExitStack() as stack:
        if _uses_sandbox(environment):
            console.print("Starting the sandbox")
            stack.enter_context(_sandbox(environment))
        sys.exit(supervise(environment, console.print))


@contextmanager
def _sandbox(environment: Environment, *, anew: bool = False) -> Iterator[Sandbox]:
    from pipelines.adapters.ledger.leases import utc_now
    from pipelines.sandbox.addresses import SandboxRunning, all_running

    try:
        with all_running(environment.sandbox, utc_now(), anew=anew) as sandbox:
            yield sandbox
    except SandboxRunning as error:
        raise click.ClickException(f"{error}: stop what runs it, or name another PIPELINES_HOME") from None


def _land_first_samples(environment: Environment) -> None:
    from pipelines.adapters.ledger.leases import utc_now
    from pipelines.adapters.objects import open_objects
    from pipelines.domains.mobile import files
    from pipelines.domains.mobile.mapping import PrivacyMapping
    from pipelines.sandbox.landing import land_samples

    if next(iter(open_objects(environment.landing).list("mobile/")), None) is not None:
        return
    mapping = PrivacyMapping.parse(files.read_mapping(environment.privacy_mapping).raw)
    pairs = [(entry.district, entry.authority) for entry in mapping.entries]
    landed = land_samples(environment.landing, pairs, utc_now(), packages=9_600, events=200)
    console.print(f"Landed {len(landed)} sample files in {environment.landing}")


def _drop_first_sheets(environment: Environment) -> None:
    from pipelines.adapters.ledger.leases import utc_now
    from pipelines.sandbox.sheets import drop_samples

    if not environment.has_own_drive or any((environment.home / "drive").glob("*/*/*")):
        return
    dropped = drop_samples(environment.home / "drive", utc_now().date())
    console.print(f"Dropped {len(dropped)} sample sheets in {environment.drive}")


@main.command()
@click.option("--packages", default=20_000, show_default=True, help="Sample packages to land.")
@click.option("--events", default=500, show_default=True, help="Sample submissions of events to land.")
def demo(packages: int, events: int) -> None:
    """Do the main job on sample uploads and print what was made."""
    from pipelines.demo import demo_environment, demonstrate, drop_sheets, land_uploads
    from pipelines.sandbox.addresses import empty

    environment = demo_environment(_environment())
    with _sandbox(environment, anew=True) as sandbox:  # two demos at once would be in each other's way
        empty(environment.home, keep=environment.sandbox)
        landed = land_uploads(environment, packages, events, console.print)
        dropped = drop_sheets(environment, console.print)
        made = demonstrate(environment, landed, dropped, sandbox, console.print)
    table = _table("made", "")
    for name, value in made.figures.items():
        table.add_row(name, value)
    console.print(table)
    for fault in made.missing:
        console.print(f"[red]Missing[/red] {fault}")
    if not made.missing:
        console.print("Nothing is missing")
    sys.exit(1 if made.missing else 0)


@main.command()
@click.option("--wait", type=Duration(), default="0s", help="Also wait for what becomes due by then, as in 10m.")
def settle(wait: timedelta) -> None:
    """Do all that is due, without a daemon. Exit status: 0 all settled, 1 something failed, 3 work remains."""
    from pipelines.adapters.ledger import open_ledger
    from pipelines.adapters.objects import open_objects
    from pipelines.lost import LedgerLost, refuse_if_lost
    from pipelines.settle import FAILED, verdict
    from pipelines.settle import settle as settle_all

    environment = _environment()
    with closing(open_ledger(environment.ledger, ledger_password())) as ledger:
        try:
            refuse_if_lost(ledger, open_objects(environment.lake))
        except LedgerLost as error:
            raise click.ClickException(str(error)) from None
    failed = set[str]()
    for ran in settle_all(environment, wait):
        console.print(str(ran))
        if ran.mends:
            failed.discard(ran.job)
        elif not ran.success:
            failed.add(ran.job)
    with closing(open_ledger(environment.ledger, ledger_password(), waits=True)) as ledger:
        rows, status = verdict(ledger)
    table = _table("queue", "state", "reason", "items", "bytes")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    sys.exit(FAILED if failed else status)


@main.command()
@click.argument("key")
def trace(key: str) -> None:
    """Where is my file? Every item, and every sheet in the drive, whose name holds KEY, with what became of it."""
    environment = _environment()
    with closing(_existing_ledger(environment)) as ledger:
        items = ledger.search(key)
        for item in items:  # before the drive is asked, which may be away, and takes its time
            _tell(item.name, _told_of(item, environment.port))
        looked = _sheets(environment, ledger, key)
    for one in looked.found:
        if one.item is None:
            _tell(one.sheet.name, ["not taken in yet"])
        else:
            changed = ["changed since; not taken in yet"] if one.is_changed else []
            _tell(f"{one.sheet.name}, sheet {one.item.name}", _told_of(one.item, environment.port) + changed)
    for reason in looked.unseen:
        console.print(f"Not all of the drive was looked into: {reason}", markup=False)
    if not items and not looked.found:
        off = ", ".join(feed for feed, is_on in _feeds(environment).items() if not is_on)
        but = f", not in the folders of what is switched off: {off}" if off else ""
        console.print(f"Nothing that was seen has {key!r} in its name; looked in {environment.ledger}{but}")
    sys.exit(0 if items or looked.found else 1)


def _tell(name: str, told: Sequence[str]) -> None:
    console.print(name, *(f"    {line}" for line in told), sep="\n", markup=False)


def _sheets(environment: Environment, ledger: Ledger, key: str) -> Looked:
    """Sheets of residents, which the ledger knows by ids that say nothing of their names."""
    from pipelines.adapters.ledger.leases import utc_now
    from pipelines.domains.residents.feeds import FEEDS
    from pipelines.domains.residents.tracing import trace
    from pipelines.resources import configured_drive, existing_installation_key

    feeds = [FEEDS[name] for name, is_on in _feeds(environment).items() if is_on]
    find_key, open_drive = partial(existing_installation_key, environment), partial(configured_drive, environment)
    return trace(feeds, find_key, open_drive, ledger, key, utc_now())


def _feeds(environment: Environment) -> dict[str, bool]:
    """Those of residents, and whether they are switched on."""
    from pipelines.domains.residents.feeds import FEEDS

    return {name: getattr(environment, f"residents_{name}_enabled") for name in FEEDS}


def _told_of(item: Item, port: int) -> list[str]:
    reason = f" ({item.reason})" if item.reason else ""
    told = [f"{item.queue} {item.partition}", f"{item.state}{reason} since {item.changed_at:%Y-%m-%d %H:%M:%S} UTC"]
    told += [f"attempts {item.attempts}"] if item.attempts else []
    told += _told_of_records(item.detail) if "read" in item.detail else []
    told += [f"rows: {results}"] if (results := _listed(item.detail.get("results", {}))) else []
    told += [item.detail["refused"]] if "refused" in item.detail else []
    return [*told, f"http://127.0.0.1:{port}/runs/{item.owner}"] if item.owner else told


def _told_of_records(facts: Mapping[str, Any]) -> list[str]:
    reasons = _listed(facts["rejected"])
    told = [f"{facts['written']} of {facts['read']} records" + (f"; in quarantine: {reasons}" if reasons else "")]
    return [*told, "the file is damaged or ends early"] if facts["broken"] else told


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counts.items())


@contextmanager
def _stopped(environment: Environment) -> Iterator[None]:
    """While the platform does not run, and can't be started here."""
    from filelock import FileLock, Timeout

    environment.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with FileLock(environment.home / "running.lock", timeout=0):
            yield
    except Timeout:
        raise click.ClickException(f"The platform in {environment.home} runs: stop it first") from None


@main.group()
def ledger() -> None:
    """The record of all work."""


@ledger.command()
@click.option("--who", required=True, help="Who does it, for the journal.")
@click.option("--why", required=True, help="Why, for the journal.")
def restore(who: str, why: str) -> None:
    """Rebuild a lost ledger from receipts and lake, with the platform stopped; nothing is sent again."""
    from pipelines.adapters.ledger import open_ledger
    from pipelines.adapters.ledger.leases import utc_now
    from pipelines.adapters.objects import open_objects
    from pipelines.restore import LedgerInUse
    from pipelines.restore import restore as rebuild

    environment = _environment()
    with _stopped(environment), closing(open_ledger(environment.ledger, ledger_password())) as opened:
        try:
            landing, lake = open_objects(environment.landing), open_objects(environment.lake)
            restored = rebuild(opened, landing, lake, environment, who, why, utc_now())
        except LedgerInUse as error:
            raise click.ClickException(str(error)) from None
    console.print(f"Restored {restored.landed:,} landed files and {restored.delivered:,} deliveries")
    if restored.doubtful:
        console.print(
            f"{restored.doubtful:,} outputs are dead letters: nobody knows whether they were delivered. "
            "The job aae_replay_dead_letters sends them"
        )
    console.print("Pauses and the journal are lost: pause again what was paused, then start the platform")


@ledger.command()
@click.option("--limit", default=50, show_default=True, help="The newest entries to print.")
def journal(limit: int) -> None:
    """What people did: when, who, why, and what came of it."""
    with closing(_existing_ledger(_environment())) as opened:
        entries = opened.journal(limit)
    table = _table("when (UTC)", "action", "who", "why", "effect")
    for entry in entries:
        effect = "ended without a word" if entry.effect is None else str(dict(entry.effect))
        table.add_row(f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.action, entry.who, entry.why, effect)
    console.print(table)


@main.command()
@click.option("--settings", "shown", is_flag=True, help="Print every setting instead.")
def doctor(shown: bool) -> None:
    """For each outside system: reachable, allowed, configured? Exit status 1 if one is not."""
    from pipelines.doctor import examine, settings
    from pipelines.resources import aae_endpoint

    environment = _environment()
    if shown:
        table = _table("variable", "value", "meaning")
        for line in settings(environment):
            table.add_row(*line)
        console.print(table)
        return
    well = True
    for finding in examine(environment, lambda feed: aae_endpoint(environment, feed)):
        mark = "[green]ok[/green]  " if finding.well else "[red]fails[/red]"
        console.print(f"{mark} {finding.system:16} {finding.url}  {finding.words}", soft_wrap=True)
        well = well and finding.well
    sys.exit(0 if well else 1)


@main.command()
def sandbox() -> None:
    """Run the sandbox's stand-ins alone, until Ctrl-C."""
    from threading import Event

    with _sandbox(_environment()) as running:
        console.print(f"AAE: {running.aae.url}")
        console.print(f"Here to Help: {running.here_to_help.url}")
        try:
            Event().wait()
        except KeyboardInterrupt:
            console.print("Stopped")
