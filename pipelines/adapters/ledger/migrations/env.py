"""Alembic's entry: runs the migrations on the connection that the ledger opened."""

from alembic import context

from pipelines.adapters.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
