"""What is to be deleted of persons on request, until it is deleted in all tables: then nothing is kept of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from tidemill.store.database import Database
from tidemill.store.loads import part_of
from tidemill.store.tables import SCHEMA, chunks, rejects, runs
from tidemill.store.tables import erasures as table

#: Texts, by what they are. Those of `distinct_ids` say whom it is about.
Values = Mapping[str, Collection[str]]
IDS = "distinct_ids"
#: Where DuckLake has its catalog; and the columns of events that say something of a person.
_CATALOG = "tidemill_events"
_OF_PEOPLE = ("properties", "set", "set_once", "elements", "envelope", "distinct_id", "ip")


class Erasures:
    """The repository of erasures."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, team_id: int, wanted: Values, instead_of: Collection[int] = ()) -> int:
        """Keep what is to be deleted, in the place of others. Gives the number by which it is forgotten again."""
        text = json.dumps({name: sorted(values) for name, values in wanted.items()}).encode()
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.id.in_(list(instead_of))))
            statement = sa.insert(table).values(team_id=team_id, wanted=text).returning(table.c.id)
            return int(connection.execute(statement).scalar_one())

    def add(self, number: int, name: str, value: str) -> None:
        """Keep one value more."""
        with self._database.begin() as connection:
            kept = connection.scalar(sa.select(table.c.wanted).where(table.c.id == number).with_for_update())
            wanted: dict[str, list[str]] = json.loads(kept or b"{}")
            wanted.setdefault(name, []).append(value)
            change = sa.update(table).where(table.c.id == number)
            connection.execute(change.values(wanted=json.dumps(wanted).encode()))

    def open(self, team_id: int, distinct_id: str) -> dict[int, dict[str, list[str]]]:
        """What is to be deleted still of this id, by numbers."""
        with self._database.begin() as connection:
            rows = connection.execute(sa.select(table.c.id, table.c.wanted).where(table.c.team_id == team_id)).all()
        found = {int(row.id): json.loads(row.wanted) for row in rows}
        return {number: wanted for number, wanted in found.items() if distinct_id in wanted[IDS]}

    def teams(self, distinct_id: str) -> set[int]:
        """Teams in which something is to be deleted still of this id."""
        with self._database.begin() as connection:
            rows = connection.execute(sa.select(table.c.team_id, table.c.wanted)).all()
        return {int(row.team_id) for row in rows if distinct_id in json.loads(row.wanted)[IDS]}

    def forget(self, number: int) -> None:
        """All of that is deleted."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(table).where(table.c.id == number))

    def clear_catalog(self) -> None:
        """Remove what DuckLake's catalog keeps of deleted events: rows of small commits, and the first and last texts
        of each file. To be called while nobody commits.

        Nothing is looked for by those values: they are of people, and events are in the order in which they came.
        """
        blank = (
            f"UPDATE {_CATALOG}.{name} s SET min_value = NULL, max_value = NULL FROM {_CATALOG}.ducklake_column c "
            "WHERE c.table_id = s.table_id AND c.column_id = s.column_id AND c.column_name = ANY(:names)"
            for name in ("ducklake_file_column_stats", "ducklake_table_column_stats")
        )
        with self._database.begin() as connection:
            inlined = connection.scalars(sa.text(f"SELECT table_name FROM {_CATALOG}.ducklake_inlined_data_tables"))
            for name in list(inlined):
                deleted = sa.table(sa.sql.quoted_name(name, quote=True), schema=_CATALOG)
                connection.execute(sa.delete(deleted).where(sa.text("end_snapshot IS NOT NULL")))
            for statement in blank:
                connection.execute(sa.text(statement), {"names": list(_OF_PEOPLE)})

    def remove_traces(self, team_id: int, ids: Collection[str], rows: Collection[str]) -> None:
        """Delete what is kept beside the persons: on which devices these distinct_ids were seen (their events must be
        deleted: they are found by that); which of these rows (by what names them in their team) runs set aside; and the
        ends of what runs wrote that are over."""
        parts = [part_of(f"{team_id}:{name}") for name in rows]
        aside = (rejects.c.kind == "run") & (rejects.c.part == sa.any_(sa.cast(parts, pg.ARRAY(sa.Text))))
        # Not deleted: who has a device now is told by its newest line, which must not be the one before.
        devices = f"UPDATE {SCHEMA}.device_users SET user_id = device_id WHERE team_id = :team AND user_id = ANY(:ids)"
        given: dict[str, Any] = {"team": team_id, "ids": list(ids)}
        over = sa.select(runs.c.id).where(runs.c.status != "running")
        with self._database.begin() as connection:
            connection.execute(sa.delete(rejects).where(aside))
            connection.execute(sa.update(chunks).where(chunks.c.run_id.in_(over)).values(bounds=None))
            connection.execute(sa.text(devices), given)
