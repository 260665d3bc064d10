"""The assets of the mobile domain: what lands, the mapping that protects it, and what comes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.ledger.working import Held, Shift, work_through
from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads import Uploads
from pipelines.assets import OWNERS, Recorder, Report, Scope, record_each
from pipelines.core.periods import hive_path
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import Item, Outcome, State
from pipelines.domains.mobile import accepted, files, intake
from pipelines.domains.mobile.checks import judge_hour
from pipelines.domains.mobile.landed import Filtering, Recipe, reopen_damaged
from pipelines.domains.mobile.mapping import DUPLICATE_KEY, MappingError, Place, PrivacyMapping
from pipelines.domains.mobile.mapping_checks import Finding, check_mapping, parse_population
from pipelines.domains.mobile.mapping_versions import Differences, diff, differences_over_bounds
from pipelines.domains.mobile.totals import Totals, total
from pipelines.environment import Environment
from pipelines.lost import refuse_if_lost

MAPPING_CHECKS = {
    "keys_are_unique": "No district and authority has two answers.",
    "groups_are_closed": "A merged district holds exactly the districts that are mapped to it.",
    "members_are_right": "Each district is a member of the merged district that it is mapped to.",
    "special_values_are_known": "Answers that are no district are among the known ones.",
    "populations_over_bounds": "No cell is smaller than the bound on its population, where populations are given.",
    "differences_over_bounds": "What can be subtracted between two accepted versions is no smaller than a cell may be.",
}
MAPPING = dg.AssetKey(["mobile", "privacy_mapping"])


@dg.asset(
    key=MAPPING,
    group_name="mobile",
    owners=OWNERS,
    kinds={"csv", "parquet"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(name, asset=MAPPING, description=text, blocking=True) for name, text in MAPPING_CHECKS.items()
    ],
    output_required=False,
)
def privacy_mapping(
    environment: dg.ResourceParam[Environment], lake: dg.ResourceParam[Objects]
) -> Iterator[dg.MaterializeResult[pa.Table] | dg.AssetCheckResult]:
    """The districts and authorities that may be published, as last accepted.

    A new version of the file is checked first. One that fails a check is not accepted: the version before it stays in
    force for all packages, and this asset keeps showing it.
    """
    source = files.read_mapping(environment.privacy_mapping)
    populations = files.read_population(environment.population, environment.privacy_mapping)
    try:
        mapping = PrivacyMapping.parse(source.raw)
    except MappingError as error:
        if any(fault.kind == DUPLICATE_KEY for fault in error.faults):
            yield dg.AssetCheckResult(passed=False, check_name="keys_are_unique", asset_key=MAPPING)
        raise dg.Failure(str(error)) from None
    people = parse_population(populations.raw) if populations else None
    differences = _compare(lake, mapping, people or {})
    findings = {**check_mapping(mapping, people), differences_over_bounds.__name__: list(differences.findings)}
    unjudged = {differences_over_bounds.__name__: differences.unjudged}
    yield from (_result(name, findings.get(name), unjudged.get(name, ())) for name in MAPPING_CHECKS)
    if any(findings.values()):
        raise dg.Failure("this version of the privacy mapping was not accepted; the one before it stays in force")
    before = _last_accepted(lake)
    metadata: dict[str, Any] = {
        "sha256": mapping.sha256,
        "version": mapping.version,
        "populations_checked": populations is not None,
        "dagster/row_count": mapping.rows,
        "changes": dg.MetadataValue.md(diff(before, mapping).to_markdown() if before else "the first version"),
    }
    yield dg.MaterializeResult(value=mapping.to_table(), metadata=metadata, data_version=dg.DataVersion(mapping.sha256))
    accepted.accept(lake, source.raw, mapping)  # once its table is stored, so that what is in force is also shown


def _result(name: str, found: list[Finding] | None, unjudged: Sequence[Finding]) -> dg.AssetCheckResult:
    """The result of one check of the mapping; what of it could not be made it says, and that blocks nothing."""
    if found is None:
        severity, words = dg.AssetCheckSeverity.WARN, "not checked: PIPELINES_POPULATION names no populations"
        return dg.AssetCheckResult(
            passed=False, asset_key=MAPPING, check_name=name, severity=severity, description=words
        )
    metadata: dict[str, Any] = {"findings": len(found), "first": _show(found)}
    if unjudged:
        metadata |= {"not_judged": len(unjudged), "first_not_judged": _show(unjudged)}
    return dg.AssetCheckResult(
        passed=not found and not unjudged,
        asset_key=MAPPING,
        check_name=name,
        severity=dg.AssetCheckSeverity.WARN if unjudged and not found else dg.AssetCheckSeverity.ERROR,
        description="not judged in full" if unjudged else None,
        metadata=metadata,
    )


def _show(findings: Sequence[Finding]) -> list[str]:
    """The first findings, with the first of their lines."""
    return [f"{one.detail} {list(one.lines)[:20]}" for one in findings[:20]]


def _compare(lake: Objects, mapping: PrivacyMapping, populations: Mapping[Place, int]) -> Differences:
    """What a version gives away together with any that was accepted before: outputs of each may have left."""
    together = Differences()
    for sha256 in dict.fromkeys([*accepted.kept(lake), accepted.named(lake)]):
        if sha256 is None or sha256 == mapping.sha256:
            continue
        try:
            earlier = accepted.version(lake, sha256)
        except (LookupError, ValueError):  # a lost one must not keep the next from being accepted
            lost = Finding(differences_over_bounds.__name__, "an earlier version is lost: nothing was compared", ())
            together |= Differences(unjudged=(lost,))
        else:
            together |= differences_over_bounds(earlier, mapping, populations)
    return together


def _last_accepted(lake: Objects) -> PrivacyMapping | None:
    """The version before, if it can be read: a lost one must not keep the next from being accepted."""
    try:
        return accepted.current(lake)
    except (LookupError, ValueError):
        return None


def places(district: str, authority: str) -> dg.TableColumnLineage:
    """Where the places in an output come from: never from what landed."""
    return dg.TableColumnLineage(
        {
            district: [dg.TableColumnDep(MAPPING, "merged_district")],
            authority: [dg.TableColumnDep(MAPPING, "merged_authority")],
        }
    )


def open_filtering(
    recipe: Recipe, landing: Objects, lake: Objects, ledger: Ledger, environment: Environment, run_id: str
) -> Filtering:
    """What a run filters with, and under which mapping."""
    mapping = accepted.current(lake)
    if mapping is None:
        raise dg.Failure("no privacy mapping is accepted yet: materialise mobile/privacy_mapping first")
    return Filtering(
        recipe,
        landing,
        lake,
        ledger,
        mapping,
        destination=environment.aae_url(recipe.feed.exports.rpartition("/")[-1]),
        policy=RetryPolicy(attempts=environment.mobile_attempts),
        cause=run_id,
        now=utc_now,
    )


def filter_landed(
    context: dg.AssetExecutionContext,
    config: Scope,
    filtering: Filtering,
    uploads: Uploads,
    environment: Environment,
    metadata: Mapping[str, Any],
) -> Iterator[dg.MaterializeResult[None]]:
    """One run over landed files: what is due, or all of the hours that were asked for."""
    feed, ledger = filtering.recipe.feed, filtering.ledger
    refuse_if_lost(ledger, filtering.lake)
    ledger.reopen_outdated(feed.queue, filtering.made_with, utc_now())

    def report(partition: str) -> Report:
        totals = total(ledger.items(feed.queue, Span(partition, partition)))
        uri = {"dagster/uri": f"{filtering.lake.url}/{feed.queue}/{hive_path(partition)}/"}
        inputs = {MAPPING.to_user_string(): filtering.mapping.sha256}
        return Report({**_metadata(totals), **uri, **metadata}, totals.version, inputs, judge_hour(totals, environment))

    def outcomes() -> Callable[[Item, Held], Outcome]:
        nonlocal filtering
        filtering = filtering.renewed()
        return filtering.outcome

    shift = Shift(
        owner=context.run.run_id,
        lease=timedelta(seconds=environment.lease_seconds),
        at_once=filtering.recipe.at_once,
    )
    if config.only_due:
        recorder = Recorder(context, ledger, feed.queue, report)
        shift = replace(shift, seconds=environment.run_seconds, stays=config.stays, idle=recorder.catch_up)
        try:
            for _ in work_through(ledger, feed.queue, outcomes, filtering.policy, shift):
                pass
        finally:  # what was filtered is recorded, whatever else went wrong
            recorder.finish()
        return

    def work(partition: str) -> None:
        span = Span(partition, partition)
        intake.take_in_hour(feed, uploads, ledger, partition, utc_now())
        kept, damaged = reopen_damaged(filtering, span)
        made = sum(1 for _ in work_through(ledger, feed.queue, outcomes, filtering.policy, shift, span))
        context.log.info("%s: %d files kept, %d not intact, %d worked on", partition, kept, damaged, made)

    yield from record_each(context, ledger, feed.queue, work, report)


def _metadata(totals: Totals) -> dict[str, Any]:
    return {
        "dagster/row_count": totals.written,
        "files": totals.files[State.SETTLED],
        "files_waiting": totals.waiting,
        "files_dead": totals.files[State.DEAD],
        "files_set_aside": totals.files[State.ASIDE],
        "files_superseded": totals.files[State.SUPERSEDED],
        "bytes": totals.bytes,
        "records_read": totals.read,
        "records_rejected": sum(totals.rejected.values()),
        "reject_reasons": dict(totals.rejected),
        "records_of_unknown_places": totals.unknown,
        "mapping_versions": sorted(totals.mappings),
        "reasons": dict(totals.reasons),
        **totals.counts,
        **totals.least,
    }
