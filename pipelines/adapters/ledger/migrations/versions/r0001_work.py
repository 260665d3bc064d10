"""The first tables: work, marks and circuits."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

# Ledgers on PostgreSQL began after the second revision: what they need from the start stands in the first two.
# Names are put in order by their code points, as everywhere else here, whatever language a database speaks.
NAME = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables and the indexes that keep a tick's cost independent of what is done."""
    op.create_table(
        "work",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        *(sa.Column(name, NAME, nullable=False) for name in ("queue", "destination", "name", "version")),
        sa.Column("newest", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("partition", NAME, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("uncertain", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("reason", sa.Text),
        sa.Column("parent", sa.BigInteger, sa.ForeignKey("work.id")),
        sa.Column("made_with", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("settled_at", sa.BigInteger),
        sa.Column("detail", sa.JSON, nullable=False),
        sa.UniqueConstraint("queue", "destination", "name", "version", name="work_identity"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # Open work is found by small indexes over a table that only grows: to clear them must not wait for its growth.
        shares = "autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.01"
        op.execute(f"ALTER TABLE work SET ({shares})")
    is_open = sa.text("state IN ('claimed', 'pending')")
    in_hand = sa.text("state = 'claimed'")
    op.create_index(
        "work_open", "work", ["queue", "destination", "due_at"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index(
        "work_in_hand",
        "work",
        ["queue", "destination", "name"],
        unique=True,
        sqlite_where=in_hand,
        postgresql_where=in_hand,
    )
    op.create_index("work_partition", "work", ["queue", "partition", "name"])
    op.create_index("work_parent", "work", ["parent"])
    op.create_table(
        "marks",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger),
        sa.Column("position", sa.Text),
    )
    op.create_table(
        "circuits",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.BigInteger),
        sa.Column("probe_at", sa.BigInteger),
        sa.Column("probes", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
    )
