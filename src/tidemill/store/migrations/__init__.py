"""Alembic migrations, run by `database.migrate`."""
