"""The assets of the mobile domain: what lands, the mapping that protects it, and what comes out."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import dagster as dg
import pyarrow as pa

from pipelines.adapters.ledger import Ledger, Span
from pipelines.adapters.ledger.leases import utc_now
from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads import Uploads
from pipelines.assets import OWNERS, Report, Scope, hours, record, result, span_of
from pipelines.core.periods import hive_path
from pipelines.core.retry import RetryPolicy
from pipelines.core.work import State
from pipelines.domains.mobile import accepted, files, intake, releases
from pipelines.domains.mobile.checks import judge_hour
from pipelines.domains.mobile.filtering import CODE_VERSION, Filtering
from pipelines.domains.mobile.mapping import DUPLICATE_KEY, MappingError, PrivacyMapping
from pipelines.domains.mobile.mapping_checks import Finding, check_mapping, diff, parse_population
from pipelines.domains.mobile.packages.columns import SCHEMA
from pipelines.domains.mobile.totals import Totals, total
from pipelines.domains.mobile.working import reopen_damaged, work_through
from pipelines.environment import Environment

MAPPING_CHECKS = {
    "keys_are_unique": "No district and authority has two answers.",
    "groups_are_closed": "A merged district holds exactly the districts that are mapped to it.",
    "members_are_right": "Each district is a member of the merged district that it is mapped to.",
    "special_values_are_known": "Answers that are no district are among the known ones.",
    "populations_over_bounds": "No cell is smaller than the bound on its population, where populations are given.",
}
MAPPING = dg.AssetKey(["mobile", "privacy_mapping"])

PLACES = dg.TableColumnLineage(
    {
        "postaldistrict": [dg.TableColumnDep(MAPPING, "merged_district")],
        "localauthority": [dg.TableColumnDep(MAPPING, "merged_authority")],
    }
)
"""Where the places in the output come from: never from what landed."""

landed_packages = dg.AssetSpec(
    ["mobile", "landed_packages"],
    group_name="mobile",
    description="Batches of analytics packages as they land, under `mobile/packages/YYYY/MM/DD/HH/`.",
    owners=OWNERS,
    kinds={"json", "gzip"},
    partitions_def=hours,
)


@dg.asset(
    key=MAPPING,
    group_name="mobile",
    owners=OWNERS,
    kinds={"csv", "parquet"},
    code_version=CODE_VERSION,
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
    findings = check_mapping(mapping, parse_population(populations.raw) if populations else None)
    yield from (_result(name, findings.get(name)) for name in MAPPING_CHECKS)
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


def _result(name: str, found: list[Finding] | None) -> dg.AssetCheckResult:
    """The result of one check of the mapping; one that could not be made says so, and blocks nothing."""
    if found is None:
        severity, words = dg.AssetCheckSeverity.WARN, "not checked: PIPELINES_POPULATION names no populations"
        return dg.AssetCheckResult(
            passed=False, asset_key=MAPPING, check_name=name, severity=severity, description=words
        )
    first = [f"{one.detail} {list(one.lines)[:20]}" for one in found[:20]]
    return dg.AssetCheckResult(
        passed=not found, asset_key=MAPPING, check_name=name, metadata={"findings": len(found), "first": first}
    )


def _last_accepted(lake: Objects) -> PrivacyMapping | None:
    """The version before, if it can be read: a lost one must not keep the next from being accepted."""
    try:
        return accepted.current(lake)
    except (LookupError, ValueError):
        return None


@dg.asset(
    key_prefix="mobile",
    group_name="mobile",
    owners=OWNERS,
    kinds={"parquet", "arrow"},
    deps=[landed_packages, MAPPING],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version=CODE_VERSION,
    pool="mobile_packages",
    output_required=False,
    metadata={
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in SCHEMA])
    },
)
def packages(
    context: dg.AssetExecutionContext,
    config: Scope,
    environment: dg.ResourceParam[Environment],
    landing: dg.ResourceParam[Objects],
    lake: dg.ResourceParam[Objects],
    ledger: dg.ResourceParam[Ledger],
    uploads: dg.ResourceParam[Uploads],
) -> Iterator[dg.MaterializeResult[None]]:
    """Analytics packages, privacy-filtered: one verified parquet file for each landed file.

    Districts and authorities are replaced by those of the privacy mapping; records that break the contract are kept
    apart, in quarantine beside the landed files. A file is released to its delivery once it is verified.
    """
    mapping = accepted.current(lake)
    if mapping is None:
        raise dg.Failure("no privacy mapping is accepted yet: materialise mobile/privacy_mapping first")
    filtering = Filtering(
        landing=landing,
        lake=lake,
        ledger=ledger,
        mapping=mapping,
        destination=environment.aae_url("packages"),
        record_bytes=environment.mobile_record_bytes,
        policy=RetryPolicy(attempts=environment.mobile_attempts),
        cause=context.run.run_id,
        now=utc_now,
        still_held=lambda _: False,
    )
    lease = timedelta(seconds=environment.lease_seconds)
    work = partial(work_through, filtering, owner=context.run.run_id, lease=lease)
    ledger.reopen_outdated(releases.QUEUE, filtering.made_with, utc_now())

    def report(partition: str) -> Report:
        totals = total(ledger.items(releases.QUEUE, Span(partition, partition)))
        metadata = _metadata(totals) | {"dagster/uri": f"{lake.url}/{releases.QUEUE}/{hive_path(partition)}/"}
        inputs = {MAPPING.to_user_string(): mapping.sha256}
        return Report(metadata, totals.version, inputs, judge_hour(totals, environment))

    if config.only_due:
        done = work(span=span_of(context), seconds=environment.run_seconds)
        touched: set[str] = set()
        try:
            touched.update(item.partition for item in done)
        finally:  # what was filtered is recorded, whatever else went wrong
            for partition in sorted(touched):
                record(context, partition, report(partition))
        return
    reports: dict[str, Report] = {}
    for partition in context.partition_keys:
        span = Span(partition, partition)
        intake.take_in_hour(uploads, ledger, partition, utc_now())
        kept, damaged = reopen_damaged(filtering, span)
        made = sum(1 for _ in work(span=span, seconds=float("inf")))
        context.log.info("%s: %d files kept, %d not intact, %d worked on", partition, kept, damaged, made)
        reports[partition] = report(partition)
        if len(context.partition_keys) > 1:
            record(context, partition, reports[partition])
    yield from result(context, reports)


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
        "numbers_filled_with_zero": totals.zero_filled,
        "records_of_unknown_places": totals.unknown,
        "mapping_versions": sorted(totals.mappings),
        "reasons": dict(totals.reasons),
        "dagster/column_lineage": PLACES,
    }
