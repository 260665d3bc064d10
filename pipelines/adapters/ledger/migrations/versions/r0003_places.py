"""What keeps a place is found by it, and by its version."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

PLACE = {"sqlite": """JSON_EXTRACT(detail, '$."place"')""", "postgresql": "(CAST((detail ->> 'place') AS VARCHAR))"}


def upgrade() -> None:
    """Add two indexes over few rows; what is stored stays as it is."""
    place = PLACE[op.get_bind().dialect.name]
    kept = sa.text(f"{place} IS NOT NULL")
    for name, column in (("work_place", sa.text(place)), ("work_alike", "version")):
        op.create_index(name, "work", ["queue", column], sqlite_where=kept, postgresql_where=kept)
