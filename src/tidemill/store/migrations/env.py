"""Alembic's entry: runs the migrations on the connection that `database.migrate` gives it."""

from __future__ import annotations

from alembic import context

from tidemill.store import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    version_table_schema=tables.SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
