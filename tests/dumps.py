"""What a database holds, to see that nothing of it was changed, and to look for texts in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import psycopg

from tidemill.app import App

#: What changes by being asked: who is there, and what was refused.
BY_ASKING = frozenset({"audit_log", "sign_in_failures"})


def tables(app: App) -> dict[str, tuple[int, str]]:
    """The rows of each of our tables: how many, and a digest of all of them."""
    with psycopg.connect(app.postgres.dsn) as session:
        row = "(to_jsonb(t) - 'last_seen_at' - 'seen_at')::text"  # that somebody is there changes nothing else
        names = [name for schema, name in _names(session) if schema == "tidemill" and name not in BY_ASKING]
        counted = " UNION ALL ".join(
            f"SELECT '{name}', count(*), md5(coalesce(string_agg({row}, ' ' ORDER BY {row}), '')) "
            f'FROM tidemill."{name}" t'
            for name in names
        )
        return {name: (number, digest) for name, number, digest in session.execute(counted)}


def changed(before: dict[str, tuple[int, str]], after: dict[str, tuple[int, str]]) -> list[str]:
    """Names of the tables that are not as they were."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def texts(app: App, schemas: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """All rows of all schemas, or of these, as texts, each with its table."""
    with psycopg.connect(app.postgres.dsn) as session:
        for schema, name in _names(session):
            if not schemas or schema in schemas:
                for (text,) in session.execute(f'SELECT t::text FROM "{schema}"."{name}" t'):
                    yield f"{schema}.{name}", text


def _names(session: psycopg.Connection) -> list[tuple[str, str]]:
    found = session.execute(
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
        "AND table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
    )
    return [(str(schema), str(name)) for schema, name in found]
