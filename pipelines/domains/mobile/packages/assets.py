"""Packages: what lands, and the parquet that it becomes."""

from collections.abc import Iterator

import dagster as dg

from pipelines.adapters.ledger import Ledger
from pipelines.adapters.objects import Objects
from pipelines.adapters.uploads import Uploads
from pipelines.assets import OWNERS, Scope, hours
from pipelines.domains.mobile.assets import MAPPING, filter_landed, open_filtering, places
from pipelines.domains.mobile.feeds import PACKAGES
from pipelines.domains.mobile.packages.columns import SCHEMA
from pipelines.domains.mobile.packages.recipe import PackageRecipe
from pipelines.environment import Environment

landed_packages = dg.AssetSpec(
    ["mobile", "landed_packages"],
    group_name="mobile",
    description="Batches of analytics packages as they land, under `mobile/packages/YYYY/MM/DD/HH/`.",
    owners=OWNERS,
    kinds={"json", "gzip"},
    partitions_def=hours,
)


@dg.asset(
    key_prefix="mobile",
    group_name="mobile",
    owners=OWNERS,
    kinds={"parquet", "arrow"},
    deps=[landed_packages, MAPPING],
    partitions_def=hours,
    backfill_policy=dg.BackfillPolicy.single_run(),
    code_version=PACKAGES.code_version,
    pool="mobile_packages",
    output_required=False,
    metadata={
        "dagster/column_schema": dg.TableSchema([dg.TableColumn(field.name, str(field.type)) for field in SCHEMA]),
        "queue": PACKAGES.queue,
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
    recipe = PackageRecipe(environment.mobile_record_bytes)
    filtering = open_filtering(recipe, landing, lake, ledger, environment, context.run.run_id)
    lineage = {"dagster/column_lineage": places("postaldistrict", "localauthority")}
    yield from filter_landed(context, config, filtering, uploads, environment, lineage)
