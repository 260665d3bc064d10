"""Alembic's entry: runs the migrations on the connection that the ledger opened."""

from alembic import context

from pipelines.adapters.ledger.connection import version_table
from pipelines.adapters.ledger.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, version_table=version_table(connection))
with context.begin_transaction():
    context.run_migrations()
