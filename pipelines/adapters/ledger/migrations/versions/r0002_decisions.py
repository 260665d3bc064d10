"""Pauses, the journal, what Dagster was not told yet; what is unsettled has an index; circuits know their objects."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

NAME = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Add tables, columns and an index; what is stored stays as it is."""
    unsettled = sa.text("state IN ('aside', 'claimed', 'dead', 'pending')")
    op.create_index(
        "work_unsettled",
        "work",
        ["queue", "partition", "name"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )
    # An open circuit stays open; what failed before is counted, though not of how many objects.
    op.add_column("circuits", sa.Column("objects", sa.Integer, nullable=False, server_default="0"))
    op.add_column("circuits", sa.Column("last", sa.BigInteger))
    op.create_table(
        "changes",
        sa.Column("queue", NAME, primary_key=True),
        sa.Column("partition", NAME, primary_key=True),
        sa.Column("made", sa.BigInteger, nullable=False),
        sa.Column("told", sa.BigInteger, nullable=False),
    )
    untold = sa.text("told != made")
    op.create_index("changes_untold", "changes", ["queue", "partition"], sqlite_where=untold, postgresql_where=untold)
    op.create_table(
        "pauses",
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("action", "who", "why", "run")),
        sa.Column("scope", sa.JSON, nullable=False),
        sa.Column("effect", sa.JSON),
        sa.Column("ended_at", sa.BigInteger),
    )
